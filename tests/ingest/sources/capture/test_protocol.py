from collections.abc import Iterable

import pytest

from ingest.protocol import AudioReceived, EventReceived, Fact, Mark, SessionClosed, SessionOpened
from ingest.sources.capture import messages, protocol
from ingest.sources.capture.findings import Defect, Findings
from ingest.sources.capture.network import end_of
from ingest.sources.capture.payload_types import explained
from ingest.sources.capture.protocol import CaptureProtocol
from ingest.sources.capture.wanted import Pair, Timed, Wanted, choice_of
from schemas.symbols import CallEventKind, Channel, Channels, ClosedBy, Codec, FrameKind, Reason, Source
from tests.captures.packets import Packet
from tests.captures.scenarios import NAMES, OTHER_SSRC, SSRC, scenario
from tests.captures.sending import PCMA, START_US, Sender, Sent, deliver


class Taken:
    """A capture that was taken: its facts in order, and what was found."""

    def __init__(self, packets: Iterable[Packet], wanted: Wanted | None = None, **end: object) -> None:
        self.findings = Findings()
        self.protocol = CaptureProtocol(wanted or Wanted("file"), self.findings)
        self.timed: list[Timed] = []
        for one in packets:
            fields = (one.ssrc, one.sequence, one.timestamp, one.payload_type, one.marker, one.payload)
            ends = [end_of(f"{host}:{port}") for host, port in (one.source, one.destination)]
            self.timed += self.protocol.take(one.arrival_us / 1e6, *ends, messages.Packet(*fields))
        self.timed += self.protocol.end(end.pop("reason", Reason.END), **end)

    @property
    def facts(self) -> list[Fact]:
        return [timed.fact for timed in self.timed]

    def of(self, kind: type) -> list:
        return [fact for fact in self.facts if isinstance(fact, kind)]


def arrived(sent: Iterable[Sent]) -> list[Packet]:
    return [one.packet for one in deliver(sorted(sent, key=lambda one: one.sent_us))]


def wanted_for(name: str) -> Wanted:
    return Wanted(
        "file", meanings=explained(f"{number}={text}" for number, text in scenario(name).payload_types.items())
    )


@pytest.mark.parametrize("name", [name for name in NAMES if name != "several_wraps"])
def test_every_packet_of_a_stream_is_a_record_with_what_stood_in_it(name: str) -> None:
    made = scenario(name)
    taken = Taken(made.packets, wanted_for(name))
    for ssrc in made.truth:
        records = [fact for fact in taken.of(AudioReceived) if fact.stream == ssrc]
        packets = [one for one in made.packets if one.ssrc == ssrc]
        assert [(one.source_sequence, one.source_timestamp, one.payload_type, one.marker) for one in records] == [
            (one.sequence, one.timestamp, one.payload_type, one.marker) for one in packets
        ]
        assert all(
            record.payload == one.payload
            for record, one in zip(records, packets, strict=True)
            if record.codec is not Codec.TELEPHONE_EVENT
        )
        times = [at_s for at_s, fact in taken.timed if isinstance(fact, AudioReceived) and fact.stream == ssrc]
        assert [round(at_s * 1e6) for at_s in times] == [one.arrival_us for one in packets]
    assert len(taken.of(SessionOpened)) == len(taken.of(SessionClosed)) == len(made.truth)
    assert taken.findings.packets == len(made.packets)
    assert taken.findings.passed_over.total() == 0


@pytest.mark.parametrize(
    "name",
    [
        "clean",
        "random_loss",
        "reordered",
        "reordered_at_wrap",
        "wrap",
        "loss_across_wrap",
        "timestamp_wrap",
        "jitter",
        "jitter_reordered",
        "stall",
        "dtx",
        "dtx_without_marker",
        "duplicates",
        "starts_at_65535",
    ],
)
def test_positions_follow_the_timestamps_and_nothing_else(name: str) -> None:
    made = scenario(name)
    taken = Taken(made.packets)
    first = made.packets[0].timestamp
    steps = [((one.timestamp - first + 2**31) % 2**32) - 2**31 for one in made.packets]
    assert [fact.position_samples for fact in taken.of(AudioReceived)] == steps
    assert not taken.of(Mark)


def test_a_packet_before_the_first_has_no_place_and_is_late() -> None:
    late = Taken(scenario("first_late").packets).of(AudioReceived)[1]
    assert (late.position_samples, late.late) == (-1, True)


def test_a_restart_goes_on_where_its_arrival_lies_behind_a_gap() -> None:
    made = scenario("restart")
    taken = Taken(made.packets)
    assert [(mark.kind, mark.reason) for mark in taken.of(Mark)] == [(FrameKind.GAP, Reason.RESTART)] * 2
    positions = [fact.position_samples for fact in taken.of(AudioReceived)]
    assert positions == [(one.arrival_us - made.packets[0].arrival_us) * 8 // 1000 for one in made.packets]


def test_a_session_says_where_it_comes_from() -> None:
    wanted = Wanted("call", organisation="org", queue="sales", agent="ann", import_id="import-1")
    opened, *_, closed = Taken(scenario("a_law").packets, wanted).facts
    assert isinstance(opened, SessionOpened)
    assert (opened.source, opened.codec, opened.sample_rate_hz) == (Source.CAPTURE, Codec.PCMA, 8000)
    assert (opened.channels, opened.states_pauses) == (Channels.MIXED, False)
    info = opened.info
    assert (info.conversation_id, info.source_name, info.correlation_id) == ("call-1f2e3d4c", "capture", "import-1")
    assert (info.organisation, info.queue, info.agent) == ("org", "sales", "ann")
    assert closed == SessionClosed(opened.key, Reason.END, 80_000, ClosedBy.LOCAL)


def test_each_stream_is_a_session_of_its_own() -> None:
    opened = Taken(scenario("two_ssrcs").packets).of(SessionOpened)
    assert [fact.info.conversation_id for fact in opened] == [f"file-{SSRC:08x}", f"file-{OTHER_SSRC:08x}"]
    assert len({fact.key for fact in opened}) == 2


def test_the_same_ssrc_on_two_ways_is_two_sessions() -> None:
    one, other = Sender(SSRC), Sender(SSRC, number=7, source=("192.0.2.9", 5004))
    for sender in (one, other):
        sender.audio(10)
    assert len(Taken(arrived(one.sent + other.sent)).of(SessionOpened)) == 2


@pytest.mark.parametrize(
    ("external", "internal"),
    [(f"{SSRC:#x}", str(OTHER_SSRC)), ("192.0.2.1:5004", "192.0.2.2:5004"), (str(SSRC), "192.0.2.2:5004")],
)
def test_two_directions_share_a_session_and_its_clock(external: str, internal: str) -> None:
    made = scenario("two_ssrcs")
    pair = Pair(choice_of(external), choice_of(internal))
    taken = Taken(made.packets, Wanted("file", conversation="call-1", pairs=(pair,)))
    (opened,) = taken.of(SessionOpened)
    assert opened.info.conversation_id == "call-1"
    records = taken.of(AudioReceived)
    assert {(one.stream, one.channels) for one in records} == {
        (SSRC, Channels.EXTERNAL),
        (OTHER_SSRC, Channels.INTERNAL),
    }
    assert next(one.position_samples for one in records if one.stream == OTHER_SSRC) == 203 * 8
    assert taken.of(SessionClosed) == [SessionClosed(opened.key, Reason.END, 500 * 160, ClosedBy.LOCAL)]
    assert not taken.protocol.missed


def test_with_a_choice_everything_else_is_passed_over() -> None:
    made = scenario("two_ssrcs")
    pair = Pair(internal=choice_of(str(OTHER_SSRC)))
    taken = Taken(made.packets, Wanted("file", pairs=(pair,)))
    assert taken.findings.passed_over == {Defect.NOT_CHOSEN: 500}
    (opened,) = taken.of(SessionOpened)
    assert (opened.channels, opened.info.conversation_id) == (Channels.INTERNAL, f"file-{OTHER_SSRC:08x}")


def relayed(packets: Iterable[Packet], after_us: int = 900) -> list[Packet]:
    """Return the packets, and each once more on the other side of a border element."""
    far = {"source": ("192.0.2.2", 7000), "destination": ("192.0.2.9", 7000)}
    twice = [two for one in packets for two in (one, one._replace(arrival_us=one.arrival_us + after_us, **far))]
    return sorted(twice, key=lambda one: one.arrival_us)


def test_a_chosen_ssrc_on_both_sides_of_a_border_element_is_taken_once() -> None:
    made = scenario("dtx_without_marker")
    taken = Taken(relayed(made.packets), Wanted("file", pairs=(Pair(choice_of(str(SSRC))),)))
    assert [one.source_sequence for one in taken.of(AudioReceived)] == [one.sequence for one in made.packets]
    assert len(taken.of(SessionOpened)) == 1
    assert taken.findings.passed_over == {Defect.OTHER_WAY: len(made.packets)}


def test_a_chosen_ssrc_that_moved_to_other_ends_is_followed() -> None:
    sender = Sender(SSRC)
    sender.audio(20)
    sender.now_us += 500_000
    sender.destination = ("192.0.2.7", 9000)
    sender.audio(20)
    packets = arrived(sender.sent)
    taken = Taken(packets, Wanted("file", pairs=(Pair(choice_of(str(SSRC))),)))
    assert len(taken.of(AudioReceived)) == 40
    assert len(taken.of(SessionOpened)) == len(taken.of(SessionClosed)) == 1
    assert taken.of(SessionClosed)[0].position_samples == 20 * 160 + 4000 + 20 * 160


def test_a_choice_with_types_nobody_explained_says_so() -> None:
    taken = Taken(scenario("dynamic_type").packets, Wanted("file", pairs=(Pair(choice_of(str(SSRC))),)))
    assert taken.protocol.missed == [f"{SSRC:08x}: has only payload types that nobody explained"]
    other = Taken(scenario("dynamic_type").packets, Wanted("file", pairs=(Pair(choice_of("1")),)))
    assert other.findings.passed_over == {Defect.NOT_CHOSEN: 298}
    assert not other.findings.payload_types


def test_a_choice_that_nothing_fits_is_told() -> None:
    pair = Pair(choice_of("0x1"), choice_of("192.0.2.2:1"))
    taken = Taken(scenario("clean").packets, Wanted("file", pairs=(pair,)))
    assert taken.protocol.missed == [
        "00000001: no packet of the file is from there",
        "192.0.2.2:1: no packet of the file is from there",
    ]
    assert not taken.facts


def test_a_telephone_event_keeps_its_number_and_loses_its_digit() -> None:
    taken = Taken(scenario("telephone_events").packets)
    events = [fact for fact in taken.of(AudioReceived) if fact.codec is Codec.TELEPHONE_EVENT]
    assert len(events) == 30
    assert {(one.payload, one.duration_samples) for one in events} == {(b"", 0)}
    assert [fact.event.digit for fact in taken.of(EventReceived)] == [None] * 3


def test_a_late_packet_about_an_earlier_key_is_no_other_key() -> None:
    sender = Sender(SSRC)
    sender.audio(5)
    for digit in (1, 2):
        sender.event(digit, 4)
    sent = sorted(sender.sent, key=lambda one: one.sent_us)
    last_of_first = next(index for index, one in enumerate(sent) if one.number == 1010)
    packets = [one.packet for one in deliver(sent, delays_us={last_of_first: 90_000})]
    told = [fact.event.digit for fact in Taken(packets, Wanted("file", publish_digits=True)).of(EventReceived)]
    assert told == ["1", "2"]


def test_digits_are_published_where_that_is_asked_for() -> None:
    made = scenario("telephone_events")
    choice = Pair(choice_of(str(SSRC)))
    taken = Taken(made.packets, Wanted("file", publish_digits=True, pairs=(choice,)))
    told = [fact.event for fact in taken.of(EventReceived)]
    assert [(one.kind, one.digit, one.channel) for one in told] == [
        (CallEventKind.DTMF, digit, Channel.EXTERNAL) for digit in "12#"
    ]
    assert told[0].position_samples == 100 * 160
    assert [fact.payload for fact in taken.of(AudioReceived)] == [one.payload for one in made.packets]


def test_events_do_not_move_the_audio_behind_them() -> None:
    made = scenario("telephone_events")
    taken = Taken(made.packets)
    first = made.packets[0].timestamp
    assert [fact.position_samples for fact in taken.of(AudioReceived)] == [
        one.timestamp - first for one in made.packets
    ]
    assert not taken.of(Mark)


def test_what_is_of_another_clock_than_its_session_says_so() -> None:
    sender = Sender(SSRC, payload_type=96, clock_hz=16_000, frame_ticks=320, payload_bytes=640)
    sender.audio(50)
    sender.clock_hz, sender.frame_ticks = 8000, 160
    sender.event(5, 4)
    taken = Taken(arrived(sender.sent), Wanted("file", meanings=explained(["96=L16/16000/1"])))
    event = taken.of(EventReceived)[0].event
    assert (event.position_samples, event.sample_rate_hz) == (8000, 8000)


def test_a_gap_lies_in_the_clock_of_its_session() -> None:
    sender = Sender(SSRC)
    sender.audio(50)
    sender.payload_type, sender.clock_hz, sender.frame_ticks, sender.payload_bytes = 96, 16_000, 320, 640
    sender.audio(50)
    sender.restart(7, 5)
    sender.now_us += 500_000
    sender.audio(2)
    taken = Taken(arrived(sender.sent), Wanted("file", meanings=explained(["96=L16/16000/1"])))
    (gap,) = taken.of(Mark)
    assert (gap.reason, gap.position_samples, gap.duration_samples) == (Reason.RESTART, 16_000, 4000)


def test_an_event_before_any_audio_lies_where_it_arrived() -> None:
    sender = Sender(SSRC)
    sender.event(5, 4)
    sender.audio(5)
    records = Taken(arrived(sender.sent)).of(AudioReceived)
    assert [one.position_samples for one in records] == [0, 160, 320, 480, 480, 480, 640, 800, 960, 1120, 1280]


def test_comfort_noise_has_a_place_and_no_length() -> None:
    noise = [fact for fact in Taken(scenario("dtx").packets).of(AudioReceived) if fact.codec is Codec.COMFORT_NOISE]
    assert len(noise) == 10
    assert {(one.payload, one.duration_samples) for one in noise} == {(b"\x3c", 0)}


def test_a_type_nobody_explained_makes_no_session() -> None:
    taken = Taken(scenario("dynamic_type").packets)
    assert not taken.facts
    assert taken.findings.payload_types == {96: 298}


def test_within_a_stream_such_a_packet_keeps_its_number_and_loses_its_payload() -> None:
    sender = Sender(SSRC)
    sender.audio(5)
    sender.payload_type = 96
    sender.audio(1)
    sender.payload_type = 0
    sender.audio(5)
    taken = Taken(arrived(sender.sent))
    unknown = taken.of(AudioReceived)[5]
    assert (unknown.codec, unknown.payload, unknown.payload_type) == (Codec.UNKNOWN, b"", 96)
    assert (unknown.source_sequence, unknown.position_samples, unknown.duration_samples) == (1005, 800, 0)
    assert taken.findings.passed_over == {Defect.UNKNOWN_PAYLOAD_TYPE: 1}
    assert not taken.of(Mark)


def test_half_a_sample_is_no_audio() -> None:
    sender = Sender(SSRC, payload_type=11, clock_hz=44_100, frame_ticks=441, payload_bytes=882)
    sender.audio(3)
    sender.payload_bytes = 881
    sender.audio(1)
    taken = Taken(arrived(sender.sent))
    last = taken.of(AudioReceived)[3]
    assert (last.codec, last.payload, last.source_sequence) == (Codec.L16_BE, b"", 1003)
    assert taken.findings.passed_over == {Defect.PART_OF_A_SAMPLE: 1}


def test_another_clock_goes_on_behind_all_audio_so_far() -> None:
    sender = Sender(SSRC)
    sender.audio(50)
    sender.payload_type, sender.clock_hz, sender.frame_ticks, sender.payload_bytes = 96, 16_000, 320, 640
    sender.ticks = 9_000_000
    sender.audio(2)
    taken = Taken(arrived(sender.sent), Wanted("file", meanings=explained(["96=L16/16000/1"])))
    records = taken.of(AudioReceived)
    assert [(one.position_samples, one.sample_rate_hz) for one in records[-2:]] == [(16_000, 16_000), (16_320, 16_000)]
    assert taken.of(SessionClosed)[0].position_samples == 52 * 160


def test_a_single_packet_is_no_stream() -> None:
    sender = Sender(SSRC)
    sender.audio(1)
    taken = Taken(arrived(sender.sent))
    assert not taken.facts
    assert taken.findings.passed_over == {Defect.STRAY: 1}


def test_the_same_packet_twice_is_no_stream() -> None:
    sender = Sender(SSRC)
    sender.audio(1)
    taken = Taken(one.packet for one in deliver(sender.sent, copies_us={0: 1000}))
    assert not taken.facts
    assert taken.findings.passed_over == {Defect.STRAY: 2}


def test_packets_whose_numbers_are_far_apart_are_no_stream() -> None:
    sender = Sender(SSRC)
    for number in (5, 3000, 9000):
        sender.number = number
        sender.audio(1)
    taken = Taken(arrived(sender.sent))
    assert not taken.facts
    assert taken.findings.passed_over == {Defect.STRAY: 3}


def test_what_looks_like_a_stream_is_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_CANDIDATES", 10)
    senders = [Sender(ssrc) for ssrc in range(50)]
    for sender in senders:
        sender.audio(1)
    packets = arrived(one for sender in senders for one in sender.sent)
    findings = Findings()
    machine = CaptureProtocol(Wanted("file"), findings)
    end = end_of("192.0.2.1:1")
    for one in packets:
        machine.take(0, end, end, messages.Packet(one.ssrc, 1, 1, 0, False, b"x"))
    assert findings.passed_over == {Defect.STRAY: 40}
    machine.end(Reason.END)
    assert findings.passed_over == {Defect.STRAY: 50}


def test_there_is_a_most_of_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_STREAMS", 2)
    senders = [Sender(ssrc) for ssrc in range(3)]
    for sender in senders:
        sender.audio(3)
    taken = Taken(arrived(one for sender in senders for one in sender.sent))
    assert len(taken.of(SessionOpened)) == 2
    assert taken.findings.passed_over[Defect.TOO_MANY_STREAMS] == 2


def test_a_stream_without_packets_for_long_ends_and_comes_back_as_another() -> None:
    first, second = Sender(SSRC), Sender(OTHER_SSRC)
    first.audio(10)
    second.audio(6000)
    first.now_us = START_US + 110_000_000
    first.audio(10)
    taken = Taken(arrived(first.sent + second.sent), Wanted("file", idle_s=60))
    closed = taken.of(SessionClosed)
    assert [(one.reason, one.closed_by) for one in closed] == [
        (Reason.IDLE, ClosedBy.TIMEOUT),
        (Reason.END, ClosedBy.LOCAL),
        (Reason.END, ClosedBy.LOCAL),
    ]
    assert closed[0].position_samples == 1600
    opened = taken.of(SessionOpened)
    assert [fact.key for fact in opened].count(closed[0].key) == 2


def test_a_stream_alone_in_its_file_ends_as_well() -> None:
    sender = Sender(SSRC)
    sender.audio(10)
    sender.quiet(3 * 3600_000)
    sender.audio(10)
    taken = Taken(arrived(sender.sent))
    assert [one.reason for one in taken.of(SessionClosed)] == [Reason.IDLE, Reason.END]
    assert [one.position_samples for one in taken.of(AudioReceived)] == [*range(0, 1600, 160)] * 2


def test_a_clock_that_was_set_back_keeps_no_session_open() -> None:
    first, second = Sender(SSRC), Sender(OTHER_SSRC)
    first.audio(10)
    packets = arrived(first.sent)
    first.now_us -= 3600_000_000
    second.now_us = first.now_us
    behind = first.number - 1000
    first.audio(10)
    second.audio(60_000)
    packets += arrived(first.sent[behind:] + second.sent)
    taken = Taken(packets)
    assert [one.reason for one in taken.of(SessionClosed)] == [Reason.IDLE, Reason.END]
    assert [one.position_samples for one in taken.of(AudioReceived) if one.stream == SSRC] == [*range(0, 3200, 160)]


def test_two_packets_hours_apart_are_no_stream() -> None:
    sender = Sender(SSRC)
    sender.audio(1)
    sender.quiet(3600_000)
    sender.audio(1)
    taken = Taken(arrived(sender.sent))
    assert not taken.facts
    assert taken.findings.passed_over == {Defect.STRAY: 2}


def encrypted(packets: Iterable[Packet], tag_bytes: int) -> list[Packet]:
    """Return the packets as SRTP has them, as far as anybody can see."""
    return [one._replace(payload=one.payload[::-1] + bytes(range(tag_bytes))) for one in packets]


@pytest.mark.parametrize("tag_bytes", [4, 10, 16])
def test_of_streams_that_look_encrypted_the_numbers_are_kept_and_no_noise_is_published(tag_bytes: int) -> None:
    made = scenario("random_loss")
    taken = Taken(encrypted(made.packets, tag_bytes))
    records = taken.of(AudioReceived)
    assert [one.source_sequence for one in records] == [one.sequence for one in made.packets]
    assert {(one.payload, one.duration_samples) for one in records} == {(b"", 0)}
    first = made.packets[0].timestamp
    assert [one.position_samples for one in records] == [one.timestamp - first for one in made.packets]
    assert taken.findings.passed_over == {Defect.LOOKS_ENCRYPTED: len(made.packets)}


def test_a_packet_of_the_wrong_length_makes_no_stream_look_encrypted_for_long() -> None:
    packets = list(scenario("clean").packets)
    packets[0] = packets[0]._replace(payload=packets[0].payload + bytes(10))
    taken = Taken(packets)
    assert [one.payload for one in taken.of(AudioReceived)] == [b"", b"", *(one.payload for one in packets[2:])]
    later = list(scenario("clean").packets)
    later[50] = later[50]._replace(payload=later[50].payload + bytes(10))
    assert [one.payload for one in Taken(later).of(AudioReceived)] == [one.payload for one in later]


def test_told_to_stop_every_session_ends_behind_a_gap_of_unknown_length() -> None:
    taken = Taken(scenario("two_ssrcs").packets, reason=Reason.DRAIN, missing=Reason.DRAIN)
    gaps = [(mark.reason, mark.duration_samples) for mark in taken.of(Mark)]
    assert gaps == [(Reason.DRAIN, -1)] * 2
    assert [fact.reason for fact in taken.of(SessionClosed)] == [Reason.DRAIN] * 2
    assert isinstance(taken.facts[-2], Mark)


def test_the_first_packets_type_is_the_sessions() -> None:
    sender = Sender(SSRC, payload_type=PCMA)
    sender.audio(2)
    sender.payload_type = 0
    sender.audio(2)
    taken = Taken(arrived(sender.sent))
    assert taken.of(SessionOpened)[0].codec is Codec.PCMA
    assert [one.codec for one in taken.of(AudioReceived)] == [Codec.PCMA] * 2 + [Codec.PCMU] * 2
    assert [one.position_samples for one in taken.of(AudioReceived)] == [0, 160, 320, 480]
