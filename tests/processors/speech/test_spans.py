"""Spans begin, end and are forgotten; what lies before the forgotten ones is touched, for nobody knows."""

from processors.speech.spans import Spans
from schemas.records import Origin, SilenceEvent
from schemas.symbols import Channel, SilenceEventKind

NOWHERE = Origin(topic="", partition=0, offset=0, index=0)
BOTH = (Channel.EXTERNAL, Channel.INTERNAL)


def event(kind: SilenceEventKind, start: int, end: int = -1, channel: Channel = Channel.EXTERNAL) -> SilenceEvent:
    return SilenceEvent(
        kind=kind,
        conversation_id="c",
        session_id="s",
        channel=channel,
        sample_rate_hz=1000,
        start_samples=start,
        end_samples=end,
        origin=NOWHERE,
    )


def noted(*events: SilenceEvent, keep_us: int = 10**9) -> Spans:
    spans = Spans()
    for each in events:
        spans.note(each, keep_us)
    return spans


def touched(spans: Spans, start_ms: int, end_ms: int, margin_ms: int = 0, channels=BOTH) -> bool:
    return spans.touch(channels, start_ms * 1000, end_ms * 1000, margin_ms * 1000)


def test_a_span_that_began_reaches_on_until_it_ended():
    spans = noted(event(SilenceEventKind.SPEECH_STARTED, 100))
    assert touched(spans, 5000, 5001)
    spans.note(event(SilenceEventKind.SPEECH, 100, 200), 0)
    assert [touched(spans, start, start + 10) for start in (89, 90, 91, 199, 200)] == [False, False, True, True, False]
    assert spans.known == {Channel.EXTERNAL.code: [[100_000, 200_000]]}


def test_the_margin_widens_both_ends():
    spans = noted(event(SilenceEventKind.SPEECH, 100, 200))
    found = [touched(spans, start, start + 10, margin_ms=20) for start in (70, 71, 219, 220)]
    assert found == [False, True, True, False]


def test_other_events_and_other_channels_touch_nothing():
    spans = noted(event(SilenceEventKind.SILENCE, 0, 100), event(SilenceEventKind.SPEECH, 0, 100, Channel.INTERNAL))
    assert not touched(spans, 0, 100, channels=(Channel.EXTERNAL,))
    assert touched(spans, 0, 100)


def test_old_spans_are_forgotten_and_what_lies_before_them_passes():
    ended = [event(SilenceEventKind.SPEECH, start, start + 50) for start in (0, 100, 5000)]
    spans = noted(*ended, keep_us=1_000_000)
    assert spans.known[Channel.EXTERNAL.code] == [[5_000_000, 5_050_000]]
    assert touched(spans, 60, 70)
    assert not touched(spans, 150, 160)
    assert touched(spans, 150, 160, margin_ms=1)
