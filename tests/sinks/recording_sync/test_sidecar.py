import dataclasses
import json

from audio.arrival import ArrivalWatch
from audio.wav import WavFormat
from schemas.records import Origin, Participant, SessionInfo
from schemas.symbols import Channels, Codec, ParticipantRole, Reason
from sinks.recording_sync.segment import Segment
from sinks.recording_sync.session import Session
from sinks.recording_sync.sidecar import Closing, describe, recording_id

SECRET = "+49 30 1234567"
FORM = WavFormat(Codec.PCMA, Channels.INTERNAL_EXTERNAL, 8000)


def closing(**fields) -> Closing:
    info = SessionInfo(
        conversation_id="c",
        source_name="audiohook",
        agent=SECRET,
        participants=(Participant(role=ParticipantRole.CUSTOMER, name=SECRET, address=SECRET),),
    )
    return Closing(
        **{
            "reason": Reason.SOCKET_LOST,
            "origin": Origin(topic="calls.audio", partition=1, offset=2, index=0),
            "timestamp_ms": 5,
            "captured_at_us": 6,
            "session_id": bytes(range(16)),
            "conversation_id": "c",
            "info": info,
            "partial": False,
            "longest_s": 60,
            "settings_hash": "h",
            "software_version": "v",
            **fields,
        }
    )


def described(anchor_us=1_700_000_000_123_456, **fields):
    segment = Segment(number=0, suffix="", form=FORM, base_samples=0, anchor_us=anchor_us, numbered=False)
    list(segment.place("a", 0, bytes(16)))
    return describe(segment, Session(from_start=True, watch=ArrivalWatch()), closing(**fields))


def test_nothing_personal_stands_in_the_sidecar_or_in_a_name():
    seal = described()
    assert SECRET not in json.dumps(seal.sidecar)
    assert SECRET not in seal.location + seal.sidecar_location + seal.name


def test_channels_stand_in_the_order_of_the_file():
    assert described().sidecar["channels"] == ["internal", "external"]


def test_without_an_arrival_there_is_no_anchor_and_the_name_is_still_determined():
    seal = described(anchor_us=-1)
    assert seal.sidecar["anchor_utc"] is None
    assert seal.location == "1970/01/01/00010203-0405-0607-0809-0a0b0c0d0e0f.wav"


def test_the_event_id_depends_on_the_recording_and_the_place_not_on_what_is_known_of_the_call():
    first = described().event
    assert described(info=None, partial=True).event.event_id == first.event_id
    assert described(session_id=bytes(16)).event.event_id != first.event_id
    assert first.recording_id == recording_id(bytes(range(16)))
    assert dataclasses.replace(first, event_id="") != first


def test_an_unknown_session_has_null_where_nothing_is_known():
    sidecar = described(info=None).sidecar
    assert (sidecar["organisation"], sidecar["queue"], sidecar["source_name"]) == (None, None, "")
    assert sidecar["closed_reason"] == "socket_lost"
