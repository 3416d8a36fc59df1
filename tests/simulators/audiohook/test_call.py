from simulators.audiohook import scenario
from simulators.audiohook.call import Call, seeded


def test_open_states_who_calls_and_what_is_offered():
    call = Call(scenario=scenario.conversation(), language="de-DE", custom_config={"queue": "sales"}, ani="tel:+1")
    parameters = call.open_parameters()
    assert parameters["organizationId"] == call.headers()["Audiohook-Organization-Id"]
    assert parameters["language"] == "de-DE"
    assert parameters["customConfig"] == {"queue": "sales"}
    assert parameters["participant"]["ani"] == "tel:+1"
    assert parameters["media"][0] == {
        "type": "audio",
        "format": "PCMU",
        "channels": ["external", "internal"],
        "rate": 8000,
    }


def test_what_is_not_known_is_left_out():
    parameters = Call(scenario=scenario.conversation(), language=None).open_parameters()
    assert set(parameters) == {"organizationId", "conversationId", "participant", "media"}


def test_the_same_seed_gives_the_same_identities_and_another_seed_others():
    call = Call(scenario=scenario.conversation())
    assert seeded(call, "7/1") == seeded(Call(scenario=scenario.conversation()), "7/1")
    assert seeded(call, "7/1").conversation_id != seeded(call, "7/2").conversation_id
    assert Call(scenario=scenario.conversation()).conversation_id != call.conversation_id
