"""The checks of a media stream hold for what its script left out, and fail for one packet or sample that differs."""

from dataclasses import replace

import pytest

from callstream.demo.checks import Recording
from callstream.demo.evidence import Evidence, Stored
from callstream.demo.stream import LOST_RATIO, check_stream, streamed, timeline
from schemas.records import LossReport, Origin
from schemas.symbols import Channel, LossReportKind, Source
from simulators.media_streams.report import InteractionReport
from simulators.media_streams.script import PACKET_SAMPLES

NOWHERE = Origin(topic="", partition=0, offset=0, index=0)
PLAN = streamed(0).plan()
TRUTH = PLAN.truth()
COUNTS = ("expected", "received", "unique", "duplicates", "reordered", "lost")


class Found:
    """What a perfect stream leaves, to be spoilt by the tests."""

    def __init__(self) -> None:
        self.report = InteractionReport(PLAN, list(PLAN.packets), subscriptions=1, ended=True)
        self.evidence = Evidence(Source.MEDIA_STREAMS)
        stored = self.evidence.stored["c"] = Stored()
        for packet in PLAN.packets:
            stored.frame(packet.payload)
        stored.records, stored.last_sequence = stored.frames + 2, stored.frames + 1
        stored.kinds.update({"OPENED": 1, "CLOSED": 1})
        counts = {name: getattr(TRUTH, name) for name in COUNTS}
        for channel in (Channel.EXTERNAL, Channel.ALL):
            final = LossReport(
                kind=LossReportKind.FINAL,
                conversation_id="c",
                session_id="s",
                channel=channel,
                source=Source.MEDIA_STREAMS,
                loss_ratio=TRUTH.lost / TRUTH.expected,
                origin=NOWHERE,
                **counts,
            )
            self.evidence.record(final)
        gaps = [
            {"reason": "lost", "start_samples": start, "duration_samples": stop - start}
            for start, stop in TRUTH.lost_spans
        ]
        self.recordings = [Recording(timeline(PLAN, TRUTH), {"gaps": gaps})]

    def failures(self) -> list[str]:
        return [check.name for check in check_stream("c", self.report, self.evidence, self.recordings) if not check.ok]


def test_a_stream_that_went_as_scripted_passes() -> None:
    assert Found().failures() == []


def test_the_script_loses_reorders_and_repeats_and_its_numbers_wrap_around() -> None:
    assert TRUTH.lost == round(LOST_RATIO * len(PLAN.numbered))
    assert TRUTH.duplicates > 0
    assert TRUTH.reordered > 0
    assert {packet.sequence_number > 2**31 for packet in PLAN.packets} == {True, False}
    assert {packet.timestamp > 2**31 for packet in PLAN.packets} == {True, False}
    assert streamed(1).plan().truth().lost_spans != TRUTH.lost_spans


def test_the_timeline_is_silent_exactly_where_packets_were_lost() -> None:
    samples = timeline(PLAN, TRUTH)
    assert len(samples) == PLAN.length_samples
    for start, stop in TRUTH.lost_spans:
        assert set(samples[start:stop]) == {0xFF}
    sent = {packet.start_samples: packet.payload for packet in PLAN.packets}
    assert all(samples[start : start + PACKET_SAMPLES] == payload for start, payload in sent.items())
    assert len(sent) * PACKET_SAMPLES + sum(stop - start for start, stop in TRUTH.lost_spans) == len(samples)


def test_a_packet_the_stand_in_did_not_send_is_found() -> None:
    found = Found()
    found.report.sent = found.report.sent[:-1]
    assert found.failures()[0] == "the stream went as scripted"


def test_a_changed_byte_of_the_log_is_found() -> None:
    found = Found()
    found.evidence.stored["c"].digest.update(b"x")
    assert found.failures() == ["every packet is stored, byte for byte, as it came"]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("index", [0, 1])
def test_one_packet_counted_wrongly_in_either_report_is_found(name: str, index: int) -> None:
    found = Found()
    reports = found.evidence.losses["c"]
    reports[index] = replace(reports[index], **{name: getattr(reports[index], name) + 1})
    assert found.failures() == ["calls.loss counts the packets exactly"]


def test_a_final_report_that_is_missing_is_found() -> None:
    found = Found()
    del found.evidence.losses["c"][0]
    assert found.failures() == ["calls.loss counts the packets exactly"]


def test_a_sample_at_another_place_and_a_gap_that_is_not_listed_are_found() -> None:
    found = Found()
    (recording,) = found.recordings
    samples = bytearray(recording.payload)
    samples[TRUTH.lost_spans[0][0]] = 0x00
    found.recordings = [replace(recording, payload=bytes(samples))]
    assert found.failures() == ["the recording is silent where packets were lost"]
    found.recordings = [replace(recording, sidecar={"gaps": recording.sidecar["gaps"][1:]})]
    assert found.failures() == ["the sidecar lists exactly the lost packets"]
    found.recordings = []
    assert found.failures() == ["there is one recording"]
