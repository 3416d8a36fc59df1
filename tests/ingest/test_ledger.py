from prometheus_client import REGISTRY

from ingest.ledger import Ledger
from ingest.protocol import AudioReceived, Observation, Observed, SessionClosed, SessionOpened
from runtime.clock import ManualClock
from runtime.log import get_logger
from schemas.records import SessionInfo
from schemas.symbols import Channels, Codec, Reason, Source

SOURCE = "ledger"


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"callstream_ingest_{name}", {"source": SOURCE, **labels}) or 0.0


def ledger() -> Ledger:
    return Ledger(SOURCE, ManualClock(), get_logger("ingest"))


def opened(key: str = "k", codec: Codec = Codec.PCMU) -> SessionOpened:
    return SessionOpened(key, SessionInfo(conversation_id="call-1"), Source.OTHER, 8000, codec)


def audio(key: str = "k") -> AudioReceived:
    return AudioReceived(key, bytes(160), Codec.PCMU, Channels.MIXED, 8000, 0, 160)


def test_a_session_is_open_from_its_first_opening_to_its_first_end():
    found = ledger()
    found.opened(opened(), "id")
    found.opened(opened(), "id")
    assert (found.open, metric("sessions_open")) == (("k",), 1)
    ends = metric("sessions_ended_total", reason="end")
    found.closed(SessionClosed("k", Reason.END), "id")
    found.closed(SessionClosed("k", Reason.END), "id")
    assert (found.open, metric("sessions_open")) == ((), 0)
    assert metric("sessions_ended_total", reason="end") == ends + 1


def test_the_line_at_the_end_says_what_the_session_brought(capfd):
    found = ledger()
    found.opened(opened(), "id")
    for key in ("k", "k", "unknown"):
        found.heard(audio(key))
    found.observe(Observed(Observation.DRIFT_SAMPLES, -7, key="k"))
    found.closed(SessionClosed("k", Reason.SOCKET_LOST, 320, code=1006), "id")
    (line,) = capfd.readouterr().err.splitlines()
    for part in ("media_frames=2", "media_bytes=320", "drift_samples=-7", "close_code=1006", "conversation=call-1"):
        assert part in line


def test_drift_is_counted_by_how_much_it_changed_and_only_of_open_sessions():
    found, before = ledger(), metric("drift_samples_total")
    found.opened(opened(), "id")
    for amount, key in ((5, "k"), (-5, "k"), (100, "unknown")):
        found.observe(Observed(Observation.DRIFT_SAMPLES, amount, key=key))
    assert metric("drift_samples_total") == before + 15
    found.closed(SessionClosed("k", Reason.END), "id")


def test_a_defect_is_logged_and_what_has_no_name_only_counted(capfd):
    found, before = ledger(), metric("observations_total", what="protocol_error")
    found.observe(Observed(Observation.PROTOCOL_ERROR, detail="not JSON"))
    found.observe(Observed(Observation.PROTOCOL_ERROR, 2))
    assert metric("observations_total", what="protocol_error") == before + 3
    assert capfd.readouterr().err.count("broke its protocol") == 1


def test_a_defect_is_logged_with_what_support_and_operators_look_for(capfd):
    found = ledger()
    found.opened(opened(), "id")
    found.observe(Observed(Observation.PROTOCOL_ERROR, detail="not JSON", key="k", correlation="c-1"))
    found.closed(SessionClosed("k", Reason.PEER_ERROR), "id")
    line = capfd.readouterr().err.splitlines()[0]
    for part in ("broke its protocol", "correlation=c-1", "conversation=call-1", "not JSON"):
        assert part in line


def test_audio_that_is_not_analysed_is_named_once_per_session(capfd):
    found = ledger()
    for key, codec in (("a", Codec.OPUS), ("a", Codec.OPUS), ("b", Codec.PCMA), ("c", Codec.UNKNOWN)):
        found.opened(opened(key, codec), key)
    assert capfd.readouterr().err.count("not analysed") == 1
    for key in found.open:
        found.closed(SessionClosed(key, Reason.END), key)
