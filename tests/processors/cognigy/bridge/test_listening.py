from uuid import UUID

from audio.frames import FrameEncoder
from processors.cognigy.bridge.listening import Listening
from runtime.clock import ManualClock
from schemas.codec import SchemaStore
from schemas.records import AudioFrame
from schemas.symbols import Channels, Codec, FrameKind

STORE = SchemaStore()
ENCODE = FrameEncoder(STORE).encode
NOW_S = 1_700_000_000.0


def frame(number, *, age_s=0.0, kind=FrameKind.AUDIO, channels=Channels.EXTERNAL, session=1):
    return ENCODE(
        AudioFrame(
            kind=kind,
            codec=Codec.PCMU,
            channels=channels,
            sample_rate_hz=8000,
            session_id=UUID(int=session).bytes,
            sequence=number,
            position_samples=160 * number,
            duration_samples=160,
            captured_at_s=NOW_S - age_s,
            payload=b"\xff" * 160 if kind is FrameKind.AUDIO else b"",
        )
    )


class Room:
    def __init__(self, *known):
        self.spoken = []
        self.listening = Listening(
            STORE,
            ManualClock(NOW_S),
            lambda partition, call: (partition, call) in known,
            lambda call, piece: self.spoken.append((call, piece.position_samples, piece.samples)),
            chunk_ms=40,
            max_age_ms=500,
        )

    def hears(self, *values, partition=2, key=b"c"):
        self.listening(partition, values, [key] * len(values))
        return self.spoken


def test_the_frames_of_an_open_call_become_chunks():
    assert Room((2, "c")).hears(*(frame(n) for n in range(5))) == [("c", 0, 320), ("c", 320, 320)]


def test_nobody_hears_a_call_that_is_not_open_here():
    room = Room((2, "c"))
    assert room.hears(frame(0), frame(1), key=b"other") == []
    assert room.hears(frame(0), frame(1), partition=3) == []
    assert room.hears(frame(0), frame(1), key=None) == []


def test_what_is_older_than_half_a_second_is_left_out():
    room = Room((2, "c"))
    assert room.hears(frame(0, age_s=0.6), frame(1, age_s=0.51), frame(2, age_s=0.4), frame(3)) == [("c", 320, 320)]


def test_marks_other_channels_and_what_is_no_frame_are_passed_over():
    room = Room((2, "c"))
    odd = [frame(0, kind=FrameKind.PAUSED), frame(1, channels=Channels.INTERNAL), b"junk", None]
    assert room.hears(*odd, frame(2), frame(3)) == [("c", 320, 320)]


def test_sessions_are_cut_apart_and_forgotten_when_they_close():
    room = Room((2, "c"))
    room.hears(frame(0), frame(0, session=2), frame(1), frame(1, session=2))
    assert room.spoken == [("c", 0, 320)] * 2
    room.hears(frame(2), frame(2, session=2), frame(3, kind=FrameKind.CLOSED))
    assert len(room.listening._chunkers) == 1
