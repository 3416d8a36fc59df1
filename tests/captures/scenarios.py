"""The scenarios by name: what happens to calls on a network, each with its truth. Same name, same packets."""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from tests.captures.packets import Packet
from tests.captures.sending import PCMA, Sender, Sent, StreamTruth, deliver, truth_of

SSRC, OTHER_SSRC = 0x1F2E3D4C, 0x0A0B0C0D
DYNAMIC = 96


class Scenario(NamedTuple):
    """Packets in order of arrival, and the truth about each SSRC. `payload_types`: dynamic ones, as in SDP's rtpmap."""

    name: str
    packets: tuple[Packet, ...]
    truth: Mapping[int, StreamTruth]
    payload_types: Mapping[int, str]


def scenario(name: str) -> Scenario:
    """Return a scenario. Raises `KeyError` for a name that is none of `NAMES`."""
    return _SCENARIOS[name](name)


def _made(  # noqa: PLR0913 - what a network does
    name: str,
    senders: Sequence[Sender],
    *,
    lost: Collection[int] = (),
    delays_us: Mapping[int, int] | None = None,
    copies_us: Mapping[int, int] | None = None,
    payload_types: Mapping[int, str] | None = None,
) -> Scenario:
    sent = sorted((one for sender in senders for one in sender.sent), key=lambda one: one.sent_us)
    arrivals = deliver(sent, lost=lost, delays_us=delays_us, copies_us=copies_us)
    truth = truth_of(sent, arrivals, {sender.ssrc: sender.clock_hz for sender in senders})
    return Scenario(name, tuple(one.packet for one in arrivals), truth, payload_types or {})


def _call(packets: int = 500, **fields: int) -> Sender:
    sender = Sender(SSRC, **fields)  # type: ignore[arg-type]  # all given here are whole numbers
    sender.audio(packets)
    return sender


def _random(name: str) -> random.Random:
    return random.Random(name)


def _clean(name: str) -> Scenario:
    return _made(name, [_call()])


def _a_law(name: str) -> Scenario:
    return _made(name, [_call(payload_type=PCMA)])


def _random_loss(name: str) -> Scenario:
    return _made(name, [_call(1000)], lost=_random(name).sample(range(1, 999), 50))


def _burst_loss(name: str) -> Scenario:
    lost = [first + step for first, length in ((100, 7), (300, 20), (700, 3), (703 + 9, 4)) for step in range(length)]
    return _made(name, [_call(1000)], lost=lost)


def _lost_ends(name: str) -> Scenario:
    return _made(name, [_call()], lost=[*range(10), *range(480, 500)])


def _duplicates(name: str) -> Scenario:
    return _made(name, [_call()], copies_us=dict.fromkeys(_random(name).sample(range(500), 10), 5_000))


def _duplicates_and_loss(name: str) -> Scenario:
    chosen = _random(name).sample(range(1, 499), 20)
    return _made(name, [_call()], lost=chosen[:10], copies_us=dict.fromkeys(chosen[10:], 5_000))


def _duplicate_of_lost_first(name: str) -> Scenario:
    """The first copy is lost, the second one comes 50 ms later: late, neither lost nor a duplicate."""
    return _made(name, [_call()], lost=[200], copies_us={200: 50_000})


def _reordered(name: str) -> Scenario:
    return _made(name, [_call()], delays_us=dict.fromkeys(_random(name).sample(range(1, 499), 25), 45_000))


def _reordered_at_wrap(name: str) -> Scenario:
    """65535 and 0 change places, and so do 65530 and 65531."""
    return _made(name, [_call(number=65_500)], delays_us={35: 25_000, 30: 25_000})


def _first_late(name: str) -> Scenario:
    return _made(name, [_call()], delays_us={0: 30_000})


def _wrap(name: str) -> Scenario:
    return _made(name, [_call(number=65_400)])


def _starts_at_65535(name: str) -> Scenario:
    return _made(name, [_call(number=65_535)])


def _loss_across_wrap(name: str) -> Scenario:
    return _made(name, [_call(number=65_400)], lost=range(130, 141))


def _several_wraps(name: str) -> Scenario:
    """Two full cycles of packets of 1 ms, with some loss."""
    sender = _call(140_000, number=60_000, frame_ticks=8, payload_bytes=8)
    return _made(name, [sender], lost=_random(name).sample(range(1, 139_999), 700))


def _timestamp_wrap(name: str) -> Scenario:
    return _made(name, [_call(ticks=2**32 - 40_000)])


def _restart(name: str) -> Scenario:
    """The sender begins anew twice, once lower and once higher; the first two runs lose something."""
    sender = _call(300, number=40_000)
    sender.restart(7, 99)
    sender.audio(300)
    sender.restart(30_000, 2_000_000_000)
    sender.audio(300)
    return _made(name, [sender], lost=[50, 51, 400])


def _two_ssrcs(name: str) -> Scenario:
    """Two directions of one call: the second begins 200 ms later and loses some."""
    caller = _call(500)
    agent = Sender(OTHER_SSRC, number=65_300, source=caller.destination, destination=caller.source)
    agent.now_us += 203_000
    agent.audio(480)
    gone = [index for index, one in enumerate(_in_time([caller, agent])) if one.ssrc == OTHER_SSRC][100:120:4]
    return _made(name, [caller, agent], lost=gone)


def _in_time(senders: Sequence[Sender]) -> list[Sent]:
    return sorted((one for sender in senders for one in sender.sent), key=lambda one: one.sent_us)


def _dtx(name: str) -> Scenario:
    """Talk, 2 s of quiet with comfort noise, talk with a marker; quiet again without any, talk with a marker."""
    sender = _call(100)
    sender.quiet(2000, noise_every_ms=200)
    sender.audio(100, marker=True)
    sender.quiet(1500)
    sender.audio(100, marker=True)
    return _made(name, [sender])


def _dtx_without_marker(name: str) -> Scenario:
    sender = _call(100)
    sender.quiet(2000)
    sender.audio(100)
    return _made(name, [sender])


def _telephone_events(name: str) -> Scenario:
    sender = _call(100)
    for digit in (1, 2, 11):
        sender.event(digit, 8)
        sender.audio(20)
    return _made(name, [sender], payload_types={101: "telephone-event/8000"})


def _dynamic_type(name: str) -> Scenario:
    """L16 mono at 16 kHz under a dynamic payload type."""
    fields = {"payload_type": DYNAMIC, "clock_hz": 16_000, "frame_ticks": 320, "payload_bytes": 640}
    sender = _call(300, **fields)
    return _made(name, [sender], lost=[100, 101], payload_types={DYNAMIC: "L16/16000/1"})


def _jitter(name: str) -> Scenario:
    """Each packet is up to 18 ms late: nothing changes places."""
    draw = _random(name)
    return _made(name, [_call(1000)], delays_us={index: draw.randrange(18_000) for index in range(1000)})


def _jitter_reordered(name: str) -> Scenario:
    """Each packet is up to 60 ms late: many change places."""
    draw = _random(name)
    return _made(name, [_call(1000)], delays_us={index: draw.randrange(60_000) for index in range(1000)})


def _stall(name: str) -> Scenario:
    """Half a second is held up and comes at once, in order."""
    return _made(name, [_call()], delays_us={index: 500_000 - (index - 200) * 20_000 for index in range(200, 225)})


_SCENARIOS: Mapping[str, Callable[[str], Scenario]] = {
    "clean": _clean,
    "a_law": _a_law,
    "random_loss": _random_loss,
    "burst_loss": _burst_loss,
    "lost_ends": _lost_ends,
    "duplicates": _duplicates,
    "duplicates_and_loss": _duplicates_and_loss,
    "duplicate_of_lost_first": _duplicate_of_lost_first,
    "reordered": _reordered,
    "reordered_at_wrap": _reordered_at_wrap,
    "first_late": _first_late,
    "wrap": _wrap,
    "starts_at_65535": _starts_at_65535,
    "loss_across_wrap": _loss_across_wrap,
    "several_wraps": _several_wraps,
    "timestamp_wrap": _timestamp_wrap,
    "restart": _restart,
    "two_ssrcs": _two_ssrcs,
    "dtx": _dtx,
    "dtx_without_marker": _dtx_without_marker,
    "telephone_events": _telephone_events,
    "dynamic_type": _dynamic_type,
    "jitter": _jitter,
    "jitter_reordered": _jitter_reordered,
    "stall": _stall,
}
NAMES = tuple(_SCENARIOS)
"""All scenarios. `several_wraps` is long (140 000 packets)."""
