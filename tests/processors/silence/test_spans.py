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
