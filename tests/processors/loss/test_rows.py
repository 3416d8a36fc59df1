import numpy as np

from audio.frames import decode
from processors.loss.rows import rows_of, table_of
from schemas.symbols import Channels, Codec, FrameKind
from tests.processors.loss.calls import ENCODER, STORE, Call


def rows(call: Call):
    frames = decode([ENCODER.encode(frame) for frame in call.frames], STORE)
    count = len(frames)
    return rows_of(table_of(frames, np.arange(count), np.arange(count) != 0))


def test_samples_are_counted_from_the_payload_where_the_codec_tells_else_taken_as_stated():
    call = Call().open()
    call.put(FrameKind.AUDIO, payload=bytes(320), duration_samples=7)
    call.put(FrameKind.AUDIO, payload=bytes(320), channels=Channels.INTERNAL)
    call.put(FrameKind.AUDIO, payload=bytes(320), codec=Codec.L16_BE)
    call.put(FrameKind.AUDIO, payload=bytes(30), codec=Codec.OPUS, duration_samples=960)
    call.put(FrameKind.AUDIO, payload=bytes(30), codec=Codec.OPUS)
    assert [row.samples for row in rows(call)] == [160, 320, 80, 960, 0]


def test_only_accepted_rows_come_in_their_order_with_their_fields():
    call = Call().open().packet(5, bits=24).state_position(FrameKind.ALIVE, 99)
    audio, alive = rows(call)
    assert (audio.row, audio.slot, audio.kind, audio.number, audio.number_bits) == (1, 1, FrameKind.AUDIO.code, 5, 24)
    assert (alive.row, alive.stated, alive.stated_bits) == (2, 99, 53)
