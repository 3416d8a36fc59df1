from schemas.symbols import Channel, Channels, SilenceEventKind
from tests.processors.silence.calls import FIVE_S, LOUD, QUIET, Call, run, stereo


def test_a_click_ends_no_silence_and_a_breath_no_speech():
    click = run(Call().say(QUIET).say(LOUD[:1280]).say(QUIET).close())
    assert click.spans(SilenceEventKind.SILENCE) == [("SILENCE", "EXTERNAL", 0, 2 * FIVE_S + 640, "CLOSED")]
    breath = run(Call().say(LOUD).say(QUIET[:3840]).say(LOUD).close())
    assert breath.spans(SilenceEventKind.SPEECH) == [("SPEECH", "EXTERNAL", 0, 2 * FIVE_S + 1920, "CLOSED")]


def test_dead_air_is_announced_after_its_minimum_and_again_as_an_alarm():
    call = Call(channels=Channels.EXTERNAL_INTERNAL)
    found = run(call.say(stereo((LOUD, QUIET), (QUIET, QUIET), (QUIET, QUIET), (QUIET, LOUD)), 640).close())
    dead = [event for event in found.events if event.channel is Channel.ALL]
    assert [(e.kind.value, e.start_samples, e.end_samples, e.alarm, e.ended_by.value) for e in dead] == [
        ("DEAD_AIR_STARTED", FIVE_S, -1, False, "ONGOING"),
        ("DEAD_AIR_STARTED", FIVE_S, -1, True, "ONGOING"),
        ("DEAD_AIR", FIVE_S, 3 * FIVE_S, True, "SPEECH"),
    ]
    rows = [row for row, record in found.found if record in dead]
    assert rows[:2] == [250 + 100, 250 + 400]
    assert {total.dead_air_ms for total in found.totals} == {10_000}


def test_overtalk_is_both_sides_speaking_for_its_minimum():
    call = Call(channels=Channels.EXTERNAL_INTERNAL)
    short = (LOUD[:2880], LOUD[:2880])
    found = run(call.say(stereo((LOUD, QUIET), short, (QUIET, LOUD), (LOUD, LOUD), (QUIET, LOUD)), 640).close())
    over = [event for event in found.events if event.kind is SilenceEventKind.OVERTALK]
    assert [(e.start_samples, e.end_samples) for e in over] == [(2 * FIVE_S + 1440, 3 * FIVE_S + 1440)]
    assert found.totals[0].overtalk_ms == 5000


def test_one_channel_of_two_alone_is_no_dead_air_but_both_mixed_are():
    assert all(event.channel is Channel.EXTERNAL for event in run(Call().say(QUIET).close()).events)
    mixed = run(Call(channels=Channels.MIXED).say(QUIET).close())
    assert SilenceEventKind.DEAD_AIR in {event.kind for event in mixed.events}


def test_dead_air_is_not_announced_while_its_end_is_only_not_yet_certain():
    almost = QUIET[: 2 * 15_840]
    call = Call(channels=Channels.EXTERNAL_INTERNAL)
    found = run(call.say(stereo((LOUD, LOUD), (almost, almost), (LOUD, LOUD)), 640).close())
    assert not [event for event in found.events if event.kind.value.startswith("DEAD_AIR")]


def talk(*seconds: tuple[float, float]) -> tuple[bytes, bytes]:
    """What two sides say, given as (external, internal) loudness of consecutive fifths of a second."""
    parts = [(LOUD[:3200] if left else QUIET[:3200], LOUD[:3200] if right else QUIET[:3200]) for left, right in seconds]
    return b"".join(left for left, _ in parts), b"".join(right for _, right in parts)


FIFTH = 1600
A, B, BOTH, NONE = (1, 0), (0, 1), (1, 1), (0, 0)


def turns(*parts: tuple[float, float]):
    call = Call(channels=Channels.EXTERNAL_INTERNAL)
    found = run(call.say(stereo(talk(*parts)), 640).close())
    responses = [
        (event.channel.value, event.start_samples / FIFTH, event.end_samples / FIFTH)
        for event in found.events
        if event.kind is SilenceEventKind.RESPONSE
    ]
    return responses, [(total.interruptions, total.responses, total.response_mean_ms) for total in found.totals]


def test_a_response_reaches_from_the_end_of_one_side_to_the_start_of_the_other():
    responses, totals = turns(*[A] * 5, *[NONE] * 3, *[B] * 5, NONE, *[A] * 5, NONE, NONE)
    assert responses == [("INTERNAL", 5, 8), ("EXTERNAL", 13, 14)]
    assert totals == [(0, 1, 200), (0, 1, 600)]


def test_going_on_after_a_pause_answers_nobody():
    responses, totals = turns(*[A] * 5, *[NONE] * 3, *[A] * 5, *[NONE] * 2)
    assert responses == []
    assert totals == [(0, 0, -1), (0, 0, -1)]


def test_who_begins_while_the_other_speaks_interrupts_and_does_not_answer():
    responses, totals = turns(*[A] * 5, *[BOTH] * 3, *[B] * 5, *[NONE] * 2)
    assert responses == []
    assert [total[0] for total in totals] == [0, 1]


def test_whether_it_was_an_answer_is_told_when_the_end_in_front_of_it_is_certain():
    call = Call(channels=Channels.EXTERNAL_INTERNAL)
    external, internal = talk(*[A] * 5)
    external, internal = external + QUIET[:1600] + LOUD[:3200], internal + QUIET[:1600] + LOUD[:3200]
    both = run(call.say(stereo((external, internal), (QUIET[:16_000], LOUD[:16_000])), 640).close())
    assert [total.interruptions for total in both.totals] == [0, 1], "the pause was none: the first side went on"
    assert not [event for event in both.events if event.kind is SilenceEventKind.RESPONSE]


def test_nobody_answers_across_a_hole():
    call = Call(channels=Channels.EXTERNAL_INTERNAL).say(stereo(talk(*[A] * 5)), 640)
    call.position += 800
    found = run(call.say(stereo(talk(*[B] * 5)), 640).close())
    assert not [event for event in found.events if event.kind is SilenceEventKind.RESPONSE]
    assert [total.talk_share_ratio for total in found.totals] == [0.5, 0.5]


def test_speech_full_of_short_pauses_is_one_speech_from_its_first_block():
    stutter = (LOUD[:640] + QUIET[:2560]) * 10
    found = run(Call().say(QUIET).say(stutter).say(QUIET).close())
    assert found.spans(SilenceEventKind.SPEECH) == [("SPEECH", "EXTERNAL", FIVE_S, FIVE_S + 9 * FIFTH + 320, "SILENCE")]


def test_blips_further_apart_than_a_pause_end_no_silence():
    blips = (LOUD[:640] + QUIET[:6400]) * 10
    found = run(Call().say(QUIET).say(blips).say(QUIET).close())
    assert [span[0] for span in found.spans()] == ["SILENCE_STARTED", "SILENCE"]
