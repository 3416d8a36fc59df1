"""Settings of the task host: their defaults fit together, and what does not fit is named."""

import pytest

from runtime.config import load
from runtime.errors import ConfigError
from runtime.tuning import ForwardingSettings, ProcessorSettings, TaskHostSettings


def test_a_transaction_outlives_the_session_of_a_worker_that_went_silent() -> None:
    tuning = TaskHostSettings()
    assert tuning.transaction_timeout_ms > tuning.session_timeout_ms >= 2 * tuning.heartbeat_interval_ms


def test_a_heartbeat_too_rare_for_the_session_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILENCE_TASK_HOST_SESSION_TIMEOUT_MS", "5000")
    monkeypatch.setenv("SILENCE_TASK_HOST_HEARTBEAT_INTERVAL_MS", "2501")
    with pytest.raises(ConfigError, match="SILENCE_TASK_HOST_HEARTBEAT_INTERVAL_MS"):
        load(ProcessorSettings, "SILENCE_")
    monkeypatch.setenv("SILENCE_TASK_HOST_HEARTBEAT_INTERVAL_MS", "2500")
    assert load(ProcessorSettings, "SILENCE_").task_host.heartbeat_interval_ms == 2500


def test_the_forwarder_s_heartbeat_must_fit_its_session_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COGNIGY_FORWARDER_SESSION_TIMEOUT_MS", "1000")
    with pytest.raises(ConfigError, match="COGNIGY_FORWARDER_HEARTBEAT_INTERVAL_MS"):
        load(ForwardingSettings, "COGNIGY_")
    monkeypatch.setenv("COGNIGY_FORWARDER_HEARTBEAT_INTERVAL_MS", "500")
    assert load(ForwardingSettings, "COGNIGY_").forwarder.heartbeat_interval_ms == 500
