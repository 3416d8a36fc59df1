import pytest

from audio.levels import FLOOR_DBFS
from schemas.symbols import Channel, Channels, Codec, FrameKind, SilenceEventKind
from tests.processors.silence.calls import LOUD, Call, run, sine


@pytest.mark.parametrize(("codec", "dtype"), [(Codec.L16_LE, "<i2"), (Codec.L16_BE, ">i2")])
def test_both_byte_orders_have_the_level_of_the_tone(codec, dtype):
    found = run(Call(codec=codec).say(sine(0.1, 8000, dtype)).close())
    assert found.windows[0].level_dbfs == pytest.approx(-20, abs=0.01)
    assert found.windows[0].peak_dbfs == pytest.approx(-17, abs=0.1)


@pytest.mark.parametrize("frame_bytes", [1, 7, 160, 641, 1000, 80_000])
def test_the_length_of_frames_does_not_matter(frame_bytes):
    payload = b"\xff" * 3000 + b"\x10\x90" * 3500 + b"\xff" * 6000
    usual = run(Call(codec=Codec.PCMU).say(payload, 160).close())
    found = run(Call(codec=Codec.PCMU).say(payload, frame_bytes).close())
    assert found.spans() == usual.spans()
    assert [w.level_dbfs for w in found.windows] == [w.level_dbfs for w in usual.windows]


def test_an_odd_byte_is_no_sample():
    call = Call()
    call.put(FrameKind.AUDIO, payload=LOUD[:16_001], duration_samples=8000)
    found = run(call.close())
    assert found.totals[0].audio_ms == 1000
    assert found.totals[0].bytes == 16_001


@pytest.mark.parametrize("layout", [Channels.EXTERNAL_INTERNAL, Channels.INTERNAL_EXTERNAL])
def test_each_channel_is_told_by_its_name_whatever_their_order(layout):
    loud_first = layout is Channels.EXTERNAL_INTERNAL
    pairs = bytearray()
    for at in range(0, 2 * 8000, 2):
        loud, quiet = LOUD[at : at + 2], b"\x00\x00"
        pairs += loud + quiet if loud_first else quiet + loud
    found = run(Call(channels=layout).say(bytes(pairs), 640).close())
    assert [(t.channel, t.speech_ms, t.silence_ms) for t in found.totals] == [
        (Channel.EXTERNAL, 1000, 0),
        (Channel.INTERNAL, 0, 1000),
    ]


def test_clipped_samples_are_counted():
    found = run(Call(codec=Codec.PCMU).say(b"\xff" * 100 + b"\x00\x80\x00" + b"\xff" * 100).close())
    assert found.totals[0].clipped_samples == 3


@pytest.mark.parametrize("silence", [b"\xff", b"\x7f"])
def test_frames_of_either_mulaw_zero_are_silent(silence):
    found = run(Call(codec=Codec.PCMU).say(silence * 16_000, 160).close())
    assert [event.kind for event in found.events] == [SilenceEventKind.SILENCE_STARTED, SilenceEventKind.SILENCE]
    assert found.totals[0].silence_ms == 2000
    assert found.totals[0].speech_ms == 0
    assert found.totals[0].level_dbfs == FLOOR_DBFS
    assert found.totals[0].frames_with_signal == 0
