from callstream.diagnose_causes import CODES, STEPS, of_step


def test_every_event_of_the_platform_from_0001_to_0009_is_listed():
    assert list(CODES) == [f"AUDIOHOOK-{number:04}" for number in range(1, 10)]


def test_what_is_known_has_causes_and_steps_and_what_is_not_says_so():
    for code in CODES.values():
        assert set(code.steps) <= STEPS.keys()
        assert code.steps
        assert bool(code.causes) == (code.known != "unknown")


def test_every_step_names_the_events_it_can_show_as_and_none_that_nobody_knows():
    assert of_step("load") == ("AUDIOHOOK-0004", "AUDIOHOOK-0006", "AUDIOHOOK-0009")
    assert all(of_step(step) for step in STEPS)
    assert "AUDIOHOOK-0005" not in of_step("address")
