"""Make conversation.wav and truth.json with `espeak-ng`: `python -m simulators.conversation.make_conversation`.

Each line of the script is synthesized alone, cut to where its energy begins and ends, and placed; so the true spans are
known by construction and not by listening to the mix. The energy rule: the level is the RMS over 20 ms; a line begins
with the first and ends with the last window above EDGE_DBFS, and nowhere inside does it stay below INNER_DBFS for
INNER_PAUSE_MS. Same espeak-ng, same bytes; no randomness but one seeded generator for the line noise.
"""

import io
import json
import struct
import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulators.conversation import mulaw

RATE_HZ: Final = 8000
BLOCK_SAMPLES: Final = RATE_HZ // 50
EDGE_DBFS: Final = -30.0
INNER_DBFS: Final = -38.0
INNER_PAUSE_MS: Final = 240
LOUD_DBFS: Final = -19.0
FADE_SAMPLES: Final = RATE_HZ * 5 // 1000
PAUSE_MIN_MS: Final = 500
NOISE_DBFS: Final = -65.0
NOISE_SEED: Final = 20250101
TAIL_MS: Final = 560
EDIT_MARGIN_SAMPLES: Final = RATE_HZ * 3 // 10

CUSTOMER: Final = 0
AGENT: Final = 1
VOICES: Final = {CUSTOMER: ("en-us+f3", "200", "55"), AGENT: ("en-gb", "200", "40")}
"""Per channel: espeak-ng voice, words a minute, pitch."""

SCRIPT: Final[tuple[tuple[int, int, str], ...]] = (
    # channel, start in ms after the end of the line before (negative: both speak), text
    (AGENT, 560, "Northwind support how can I help you"),
    (CUSTOMER, 580, "My coffee machine arrived broken"),
    (AGENT, 560, "I am sorry may I have the order number"),
    (CUSTOMER, 560, "One moment please"),
    (CUSTOMER, 700, "It is nine four seven eleven and the name is Miller"),
    (AGENT, -1200, "Thank you I am going to look that up"),
    (AGENT, 5040, "I have found it and we will send a new one today"),
    (CUSTOMER, -1100, "Oh wonderful I am really glad you can do that"),
    (CUSTOMER, 600, "And who will collect the old one"),
    (AGENT, -900, "Our driver will take it along"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One placed utterance; start and end are samples on the conversation's timeline, end exclusive."""

    channel: int
    start: int
    end: int
    text: str
    samples: NDArray[np.float64]


def synthesize(channel: int, text: str) -> NDArray[np.float64]:
    """Speak one line, at RATE_HZ and a fixed loudness, not yet cut."""
    voice, speed, pitch = VOICES[channel]
    command = ["espeak-ng", "-v", voice, "-s", speed, "-p", pitch, "-z", "--stdout", text]
    spoken = subprocess.run(command, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(spoken)) as source:
        rate_hz = source.getframerate()
    # espeak-ng streams, so its header's length is wrong: take everything behind the 44 header bytes
    raw = np.frombuffer(spoken[44 : 44 + (len(spoken) - 44) // 2 * 2], "<i2").astype(np.float64) / 32768.0
    resampled = resample(raw, rate_hz)
    levels = window_rms(resampled)
    active = levels[levels > levels.max() * 10 ** (-30 / 20)]
    loudness = np.sqrt(np.mean(active**2))
    spoken_loud: NDArray[np.float64] = np.clip(resampled * (10 ** (LOUD_DBFS / 20) / loudness), -0.95, 0.95)
    return spoken_loud


def resample(samples: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """Change the rate to RATE_HZ by cutting the spectrum at the new Nyquist frequency."""
    padded = np.concatenate([samples, np.zeros(-len(samples) % rate_hz)])
    length = len(padded) * RATE_HZ // rate_hz
    spectrum = np.fft.rfft(padded)[: length // 2 + 1].copy()
    spectrum[-1] = 0.0
    resampled: NDArray[np.float64] = np.fft.irfft(spectrum, length) * (length / len(padded))
    return resampled


def window_rms(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """RMS over every 20-ms window, one per start sample."""
    total = np.concatenate([[0.0], np.cumsum(samples**2)])
    power = np.maximum(total[BLOCK_SAMPLES:] - total[:-BLOCK_SAMPLES], 0.0) / BLOCK_SAMPLES
    levels: NDArray[np.float64] = np.sqrt(power)
    return levels


def cut(samples: NDArray[np.float64], text: str) -> NDArray[np.float64]:
    """Keep from the first to the last window above EDGE_DBFS, fade 5 ms, and check that no pause hides inside."""
    loud = np.flatnonzero(window_rms(samples) > 10 ** (EDGE_DBFS / 20))
    kept = samples[loud[0] : loud[-1] + BLOCK_SAMPLES].copy()
    fade = np.linspace(0.0, 1.0, FADE_SAMPLES)
    kept[:FADE_SAMPLES] *= fade
    kept[-FADE_SAMPLES:] *= fade[::-1]
    loud_inside = np.flatnonzero(window_rms(kept) > 10 ** (INNER_DBFS / 20))
    longest = int(np.diff(loud_inside).max()) + BLOCK_SAMPLES
    if longest >= INNER_PAUSE_MS * RATE_HZ // 1000:
        message = f"a pause of {longest * 1000 // RATE_HZ} ms inside {text!r}: say it in two lines"
        raise ValueError(message)
    return kept


def place() -> list[Line]:
    """Put every line of the script on the timeline."""
    lines: list[Line] = []
    end = 0
    for channel, gap_ms, text in SCRIPT:
        samples = cut(synthesize(channel, text), text)
        start = end + gap_ms * RATE_HZ // 1000
        end = start + len(samples)
        lines.append(Line(channel, start, end, text, samples))
    return lines


def silences(lines: list[Line], channel: int, length: int) -> list[dict[str, int | str]]:
    """Every stretch of a channel without a line; those shorter than PAUSE_MIN_MS are a mistake in the script."""
    spans = [(line.start, line.end) for line in lines if line.channel == channel]
    edges = [0, *(edge for span in spans for edge in span), length]
    found: list[dict[str, int | str]] = []
    for index, (start, end) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
        if (end - start) * 1000 < PAUSE_MIN_MS * RATE_HZ:
            message = f"channel {channel}: {end - start} samples of silence at {start} are too few for a pause"
            raise ValueError(message)
        at = "start" if index == 0 else "end" if end == length else "inside"
        found.append({"channel": channel, "start": start, "end": end, "at": at})
    return found


def intersect(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where a span of the one meets a span of the other."""
    pairs = [(max(a, c), min(b, d)) for a, b in first for c, d in second]
    return sorted((start, end) for start, end in pairs if start < end)


def describe(lines: list[Line], clean: NDArray[np.float64]) -> dict[str, object]:
    """Truth of the conversation, all spans in samples, end exclusive."""
    length = clean.shape[1]
    pauses = [silence for channel in (CUSTOMER, AGENT) for silence in silences(lines, channel, length)]
    quiet = [[(int(p["start"]), int(p["end"])) for p in pauses if p["channel"] == channel] for channel in (0, 1)]
    talk = [[(line.start, line.end) for line in lines if line.channel == channel] for channel in (0, 1)]
    overtalk = intersect(talk[0], talk[1])
    both = np.minimum(window_rms(clean[0]), window_rms(clean[1]))
    # an instant with 60 ms of loud speech in both channels on either side, EDIT_MARGIN_SAMPLES from the overtalk's ends
    around = np.array([both[max(0, i - 480) : i + 320 : 40].min() for i in range(len(both))])
    return {
        "sample_rate_hz": RATE_HZ,
        "length_samples": length,
        "channels": ["external", "internal"],
        "rule": f"RMS over 20 ms of the clean line above {EDGE_DBFS} dBFS at both ends; end exclusive",
        "speech": [{"channel": x.channel, "start": x.start, "end": x.end, "text": x.text} for x in lines],
        "pauses": pauses,
        "dead_air": [{"start": start, "end": end} for start, end in intersect(quiet[0], quiet[1])],
        "overtalk": [{"start": start, "end": end} for start, end in overtalk],
        "edit_points_samples": [
            start + EDIT_MARGIN_SAMPLES + int(around[start + EDIT_MARGIN_SAMPLES : end - EDIT_MARGIN_SAMPLES].argmax())
            for start, end in overtalk
        ],
    }


def write_wav(path: Path, payload: bytes, channels: int) -> None:
    """Write a mu-law WAV (format tag 7) with the `fact` chunk that a compressed format must have."""
    fmt = struct.pack("<HHIIHHH", 7, channels, RATE_HZ, RATE_HZ * channels, channels, 8, 0)
    fact = struct.pack("<I", len(payload) // channels)
    chunks = b"".join(
        name + struct.pack("<I", len(body)) + body
        for name, body in ((b"fmt ", fmt), (b"fact", fact), (b"data", payload))
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)


def main() -> None:
    """Write both files beside this one."""
    lines = place()
    length = -(-(lines[-1].end + TAIL_MS * RATE_HZ // 1000) // BLOCK_SAMPLES) * BLOCK_SAMPLES
    clean = np.zeros((2, length))
    for line in lines:
        clean[line.channel, line.start : line.end] += line.samples
    noisy = clean.copy()
    noisy[CUSTOMER] += np.random.default_rng(NOISE_SEED).normal(0.0, 10 ** (NOISE_DBFS / 20), length)
    encoded = mulaw.encode(noisy)
    # the agent's silence is digital, and like a platform's now 0xFF, now 0x7F
    stretch = (np.arange(length) // (RATE_HZ // 2)) % 3 == 0
    encoded[AGENT, (encoded[AGENT] == mulaw.SILENCE) & stretch] = mulaw.NEGATIVE_SILENCE
    folder = Path(__file__).parent
    write_wav(folder / "conversation.wav", encoded.T.tobytes(), channels=2)
    (folder / "truth.json").write_text(json.dumps(describe(lines, clean), indent=1) + "\n")


if __name__ == "__main__":
    main()
