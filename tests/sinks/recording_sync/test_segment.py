import json

from audio.wav import WavFormat
from schemas.symbols import Channels, Codec
from sinks.recording_sync.entries import Fill, Put
from sinks.recording_sync.segment import Segment

STEREO = WavFormat(Codec.PCMU, Channels.EXTERNAL_INTERNAL, 8000)


def segment(base=0):
    return Segment(number=0, suffix="", form=STEREO, base_samples=base, anchor_us=0, numbered=False)


def test_a_frame_lies_at_its_position_behind_the_header_and_what_is_missing_before_it_is_silence():
    found = segment(base=100)
    assert list(found.place("a", 104, b"\x01\x02\x03\x04")) == [
        Put("a", 0, STEREO.header(0)),
        Fill("a", 58, 8, b"\xff"),
        Put("a", 66, b"\x01\x02\x03\x04"),
    ]
    assert (found.stop_samples, found.least_file_bytes) == (106, 70)


def test_a_frame_that_falls_into_a_hole_fills_nothing_and_what_was_there_is_counted():
    found = segment()
    list(found.place("a", 10, bytes(8)))
    assert list(found.place("a", 8, bytes(6))) == [Put("a", 74, bytes(6))]
    assert found.rewritten_samples == 1
    assert found.coverage.stretches == ((8, 14),)


def test_what_lies_before_the_start_or_beyond_the_longest_is_refused():
    found = segment(base=100)
    assert found.refusal(99, 1, 60) == "before_start"
    assert found.refusal(100, 60 * 8000, 60) is None
    assert found.refusal(101, 60 * 8000, 60) == "beyond_longest"


def test_the_state_survives_as_json():
    found = segment(base=7)
    list(found.place("a", 9, bytes(4)))
    list(found.place("a", 90, bytes(4)))
    again = Segment.from_json(json.loads(json.dumps(found.to_json())))
    assert again.to_json() == found.to_json()
    assert again.coverage.stretches == found.coverage.stretches
    assert again.form == found.form
