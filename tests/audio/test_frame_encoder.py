from dataclasses import fields
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from audio.frame_encoder import FrameEncoder
from schemas.codec import SchemaStore
from schemas.records import AudioFrame
from schemas.symbols import Channels, Codec, FrameKind, Source

ENCODER = FrameEncoder(SchemaStore())
NUMBERS = st.integers(-1, 2**24)
OF_THE_SESSION = ("source", "session_id", "sequence", "captured_at_s")
FRAMES = st.builds(
    AudioFrame,
    kind=st.just(FrameKind.AUDIO),
    source=st.sampled_from(Source),
    codec=st.sampled_from(Codec),
    channels=st.sampled_from(Channels),
    late=st.booleans(),
    marker=st.booleans(),
    payload_type=NUMBERS,
    sample_rate_hz=NUMBERS,
    source_clock_hz=NUMBERS,
    source_sequence_bits=NUMBERS,
    source_timestamp_bits=NUMBERS,
    session_id=st.binary(min_size=16, max_size=16),
    stream=NUMBERS,
    sequence=NUMBERS,
    source_sequence=NUMBERS,
    source_timestamp=NUMBERS,
    position_samples=NUMBERS,
    duration_samples=NUMBERS,
    captured_at_s=st.floats(0, 2**32),
    payload=st.binary(max_size=300),
)


@given(FRAMES)
def test_audio_is_written_as_the_frame_of_its_fields(frame):
    given_whole = {field.name: getattr(frame, field.name) for field in fields(frame)}
    own = {name: given_whole.pop(name) for name in OF_THE_SESSION}
    assert ENCODER.encode_audio(SimpleNamespace(**given_whole), **own) == ENCODER.encode(frame)
