import pytest

from simulators.platform.conversation import Conversation, read_pauses

STARTED_S = 1_700_000_000.0


def body(conversation: Conversation, after_s: float) -> dict:
    return conversation.body(STARTED_S, after_s)


def test_a_running_call_has_a_start_and_no_end():
    told = body(Conversation("c-1", queue_id="q", queue_name="Sales", agent_id="a"), 5)
    assert (told["id"], told["startTime"], told["state"]) == ("c-1", "2023-11-14T22:13:20.000Z", "connected")
    assert "endTime" not in told
    assert "media" not in told
    assert (told["securePause"], told["recordingState"]) == (False, "ACTIVE")
    customer, agent = told["participants"]
    assert (customer["purpose"], agent["purpose"]) == ("customer", "agent")
    assert (agent["queueId"], agent["queueName"], agent["userId"]) == ("q", "Sales", "a")
    assert "userId" not in customer
    assert agent["calls"][0]["state"] == "connected"


def test_a_pause_begins_and_ends_in_all_places_at_its_times():
    conversation = Conversation("c-1", pauses=((10, 20), (30, 31)))
    for after_s, paused in ((9.9, False), (10, True), (19.9, True), (20, False), (30.5, True), (31, False)):
        told = body(conversation, after_s)
        assert told["securePause"] is paused
        assert told["recordingState"] == ("PAUSED" if paused else "ACTIVE")
        calls = [call for participant in told["participants"] for call in participant["calls"]]
        assert {call["recordingState"] for call in calls} == {"paused" if paused else "active"}


def test_a_call_that_is_over_says_when_it_ended_everywhere():
    told = body(Conversation("c-1", pauses=((5, 99),), ends_after_s=60.5), 61)
    assert told["endTime"] == "2023-11-14T22:14:20.500Z"
    assert (told["state"], told["recordingState"], told["securePause"]) == ("disconnected", "NONE", False)
    for participant in told["participants"]:
        assert participant["endTime"] == told["endTime"]
        assert participant["calls"][0]["segments"][0]["endTime"] == told["endTime"]
    assert "endTime" not in body(Conversation("c-1", ends_after_s=60.5), 60)


def test_a_platform_that_says_nothing_of_pauses_leaves_the_fields_out():
    told = body(Conversation("c-1", pauses=((0, 99),), tells_pause=False), 1)
    assert "securePause" not in told
    assert not any("recordingState" in call for one in told["participants"] for call in one["calls"])


def test_a_call_is_known_from_one_time_until_another():
    conversation = Conversation("c-1", known_after_s=2, known_until_s=5)
    assert [conversation.is_known(after_s) for after_s in (1, 2, 4.9, 5)] == [False, True, True, False]


def test_pauses_are_read_from_a_command_line():
    assert read_pauses(["10:20", "30:30.5"]) == ((10, 20), (30, 30.5))
    for wrong in ("10", "20:10", "a:b"):
        with pytest.raises(ValueError, match=r"pause|convert"):
            read_pauses([wrong])
