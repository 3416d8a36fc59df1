import struct
from itertools import pairwise

import numpy as np
import pytest

from simulators.conversation import script
from simulators.conversation.script import read_mulaw_wav

BLOCK = 160
CONVERSATION = script.load()


def levels_dbfs(channel):
    """Level of every 20-ms block of a channel, decoded here with the formula of G.711."""
    codes = np.frombuffer(CONVERSATION.payload, np.uint8)[channel::2]
    inverted = ~codes.astype(np.int64) & 0xFF
    magnitude = ((((inverted & 15) << 1) + 33) << (inverted >> 4 & 7)) - 33
    blocks = (magnitude / 8192.0)[: len(codes) // BLOCK * BLOCK].reshape(-1, BLOCK)
    return 10 * np.log10((blocks**2).mean(axis=1) + 1e-12)


def overlap(first, second):
    return sorted(
        (max(a.start_samples, b.start_samples), min(a.end_samples, b.end_samples))
        for a in first
        for b in second
        if max(a.start_samples, b.start_samples) < min(a.end_samples, b.end_samples)
    )


def of(spans, channel):
    return [span for span in spans if span.channel == channel]


@pytest.mark.parametrize("threshold_dbfs", [-35, -40, -45, -50])
@pytest.mark.parametrize("channel", [0, 1])
def test_a_plain_level_threshold_finds_exactly_the_true_pauses(channel, threshold_dbfs):
    loud = levels_dbfs(channel) > threshold_dbfs
    edges = np.flatnonzero(np.diff(np.concatenate([[True], loud, [True]]).astype(int))) * BLOCK
    found = [(start, end) for start, end in edges.reshape(-1, 2) if end - start >= 300 * 8]
    pauses = of(CONVERSATION.pauses, channel)
    assert len(found) == len(pauses)
    for (start, end), pause in zip(found, pauses, strict=True):
        assert abs(start - pause.start_samples) <= BLOCK
        assert abs(end - pause.end_samples) <= BLOCK


def test_pauses_and_speech_share_each_channel_without_a_rest():
    for channel in (0, 1):
        spans = sorted(
            (span.start_samples, span.end_samples)
            for span in of(CONVERSATION.pauses, channel) + of(CONVERSATION.speech, channel)
        )
        assert spans[0][0] == 0
        assert spans[-1][1] == CONVERSATION.length_samples
        assert all(end == start for (_, end), (start, _) in pairwise(spans))


def test_it_has_dead_air_of_five_seconds_and_overtalk_of_six_tenths():
    assert max(span.end_samples - span.start_samples for span in CONVERSATION.dead_air) >= 5 * 8000
    assert sum(span.end_samples - span.start_samples >= 0.6 * 8000 for span in CONVERSATION.overtalk) >= 3
    assert all(span.end_samples - span.start_samples >= 0.5 * 8000 for span in CONVERSATION.pauses)


def test_dead_air_and_overtalk_follow_from_the_channels():
    spoken = [of(CONVERSATION.speech, channel) for channel in (0, 1)]
    quiet = [of(CONVERSATION.pauses, channel) for channel in (0, 1)]
    assert [(s.start_samples, s.end_samples) for s in CONVERSATION.overtalk] == overlap(*spoken)
    assert [(s.start_samples, s.end_samples) for s in CONVERSATION.dead_air] == overlap(*quiet)


def test_both_speakers_are_loud_around_every_edit_point():
    for point in CONVERSATION.edit_points_samples:
        for channel in (0, 1):
            around = levels_dbfs(channel)[point // BLOCK - 2 : point // BLOCK + 3]
            assert around.min() > -30


def test_the_agents_silence_is_digital_in_both_codes_and_the_customers_line_has_noise():
    for pause in CONVERSATION.pauses:
        codes = CONVERSATION.payload[pause.channel :: 2][pause.start_samples : pause.end_samples]
        assert (set(codes) <= {0xFF, 0x7F}) == (pause.channel == 1)
    agent = CONVERSATION.payload[1::2]
    assert agent.count(0xFF) > 8000
    assert agent.count(0x7F) > 8000
    longest = max(of(CONVERSATION.pauses, 0), key=lambda span: span.end_samples - span.start_samples)
    quiet = levels_dbfs(0)[longest.start_samples // BLOCK + 1 : longest.end_samples // BLOCK]
    assert -67 < np.median(quiet) < -63


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF\x04\x00\x00\x00AVI ",
        b"RIFF\x04\x00\x00\x00WAVE",
        b"RIFF\x2c\x00\x00\x00WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
        + b"data\x02\x00\x00\x00ab",
    ],
)
def test_other_files_are_refused(content):
    with pytest.raises(ValueError, match="WAV"):
        read_mulaw_wav(content)
