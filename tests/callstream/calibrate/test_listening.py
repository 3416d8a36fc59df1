from uuid import UUID

import numpy as np
import pytest

from audio import g711
from audio.vad import VadState, VoiceDetector
from callstream.calibrate.listening import Heard, listen
from schemas.symbols import Channel, Channels, Codec, FrameKind
from simulators.conversation import script
from tests.callstream.calibrate.sounds import RATE_HZ, amplitude, as_l16, decoded, frame, noise, opened, session_id

LOUD = noise(1, -20)
SOFT = noise(1, -50, seed=2)


def heard(*values: bytes) -> Heard:
    return listen(*decoded(opened(0), *values))


def audio(sequence: int, samples: np.ndarray, position: int = 0, **fields) -> bytes:
    return frame(0, sequence, payload=as_l16(samples), position_samples=position, **fields)


def level(stream) -> float:
    return float(10 * np.log10(stream.sums.sum() / (len(stream.sums) * stream.block_samples * 32_768**2)))


def test_each_channel_of_a_session_is_a_stream_of_its_own_wherever_it_lies_in_the_samples():
    for channels, order in (
        (Channels.EXTERNAL_INTERNAL, (LOUD, SOFT)),
        (Channels.INTERNAL_EXTERNAL, (SOFT, LOUD)),
    ):
        found = heard(frame(0, 1, payload=as_l16(*order), channels=channels)).streams
        assert [stream.channel for stream in found] == [Channel.EXTERNAL, Channel.INTERNAL]
        assert [level(stream) for stream in found] == pytest.approx([-20, -50], abs=0.5)
        assert {stream.session_id for stream in found} == {str(UUID(bytes=session_id(0)))}


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA, Codec.L16_BE])
def test_levels_are_of_decoded_samples_whatever_the_codec(codec: Codec):
    tables = {Codec.PCMU: g711.PCMU, Codec.PCMA: g711.PCMA}
    square = np.tile([2000, -2000], 4000)
    if codec in tables:
        payload = np.abs(tables[codec].astype(int) - square[:, None]).argmin(axis=1).astype(np.uint8).tobytes()
    else:
        payload = square.astype(">i2").tobytes()
    (found,) = heard(frame(0, 1, payload=payload, codec=codec)).streams
    assert found.seconds == 1
    assert 1_900 < (found.sums[0] / 160) ** 0.5 < 2_100


def test_samples_stand_where_their_positions_say_and_those_that_came_twice_count_once():
    parts = (audio(1, LOUD[4000:], 4000), audio(2, LOUD[:4000], 0), audio(3, LOUD[3000:5000], 3000))
    (found,) = heard(*parts).streams
    (whole,) = heard(audio(1, LOUD)).streams
    assert found.starts.tolist() == whole.starts.tolist()
    assert found.sums.tolist() == whole.sums.tolist()


def test_a_repeated_record_is_not_heard_again():
    once = audio(1, LOUD)
    (found,) = heard(once, once).streams
    assert found.seconds == 1


def test_what_is_missing_is_left_out_and_an_unfinished_block_is_none():
    (found,) = heard(audio(1, LOUD[:200]), audio(2, SOFT[:400], 80_000)).streams
    assert found.starts.tolist() == [0, 80_000, 80_160]


def test_digital_silence_is_that_of_the_codec():
    lines = {Codec.PCMU: b"\xff\x7f", Codec.PCMA: b"\xd5\x55", Codec.L16_LE: bytes(4)}
    for codec, silent in lines.items():
        (found,) = heard(frame(0, 1, payload=silent * 800, codec=codec)).streams
        assert found.digital.all()
    (found,) = heard(audio(1, np.tile([0, 0, 1, 0], 2000))).streams
    assert not found.digital.any()


def test_samples_at_full_scale_are_counted():
    square = np.tile([32_767, -32_767, 100, -100], 2000)
    (found,) = heard(audio(1, square)).streams
    assert found.clipped_samples == 4000
    (found,) = heard(frame(0, 1, payload=b"\x80\x00\xff\xff" * 400, codec=Codec.PCMU)).streams
    assert found.clipped_samples == 800


def test_what_cannot_be_heard_is_told_by_its_rate_or_codec():
    found = heard(
        audio(1, LOUD, sample_rate_hz=44_100, duration_samples=22_050),
        frame(0, 2, payload=b"x" * 80, codec=Codec.OPUS, duration_samples=16_000),
    )
    assert found.streams == ()
    assert found.unheard_s == {"44100 Hz": 0.5, "OPUS": 2.0}


def test_higher_rates_are_heard_as_well():
    fast = noise(2, -30, 16_000)
    (found,) = heard(audio(1, fast, sample_rate_hz=16_000)).streams
    assert (found.sample_rate_hz, found.block_samples, found.seconds) == (16_000, 320, 2)
    assert level(found) == pytest.approx(-30, abs=0.2)


def test_marks_are_no_audio():
    found = heard(frame(0, 1, FrameKind.GAP, duration_samples=8000), audio(2, LOUD, 8000)).streams
    assert [stream.starts[0] for stream in found] == [8000]


def test_the_voices_of_a_real_conversation_are_told_from_its_line():
    talk = script.load()
    found = heard(frame(0, 1, payload=talk.payload, codec=Codec.PCMU, channels=Channels.EXTERNAL_INTERNAL)).streams
    assert len(found) == 2
    for side, stream in enumerate(found):
        truth = np.zeros(len(stream.starts), np.bool_)
        for span in talk.speech:
            if span.channel == side:
                truth[span.start_samples // 160 : span.end_samples // 160] = True
        assert (stream.speech == truth).mean() > 0.9


def test_streams_heard_together_are_heard_as_if_alone():
    talk = script.load().payload[: 2 * RATE_HZ * 6]
    alone = heard(frame(0, 1, payload=talk, codec=Codec.PCMU, channels=Channels.EXTERNAL_INTERNAL)).streams
    quiet = as_l16(noise(9, -60))
    together = listen(
        *decoded(
            opened(0),
            opened(1),
            frame(1, 1, payload=quiet),
            frame(0, 1, payload=talk, codec=Codec.PCMU, channels=Channels.EXTERNAL_INTERNAL),
        )
    )
    same = [stream for stream in together.streams if stream.session_id == alone[0].session_id]
    assert [(s.speech.tolist(), s.active.tolist()) for s in same] == [
        (s.speech.tolist(), s.active.tolist()) for s in alone
    ]
    assert together.sessions == 2


def test_an_answer_about_speech_is_of_the_block_it_was_given_for():
    talk = g711.decode_pcmu(script.load().payload[::2])[: 200 * 160].reshape(200, 160)
    detector, state = VoiceDetector(delay_frames=1), VadState.new(1)
    answers = [detector.step(state, slice(0, 1), block[None]) for block in talk]
    (found,) = heard(audio(1, talk.reshape(-1))).streams
    assert found.active.tolist() == [bool(answer.active[0]) for answer in answers]
    assert found.speech[:-1].tolist() == [bool(answer.speech[0]) for answer in answers[1:]]
    assert found.speech.any()


def test_what_comes_behind_the_end_of_a_call_is_not_heard():
    closed = frame(0, 2, FrameKind.CLOSED, position_samples=8000)
    (found,) = heard(audio(1, LOUD), closed, audio(3, SOFT, 8000)).streams
    assert found.seconds == 1


def test_nothing_is_heard_in_nothing():
    assert heard() == Heard(())
    assert amplitude(0) == 32_768
