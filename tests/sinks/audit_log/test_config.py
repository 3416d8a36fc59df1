"""The audit log's settings: no key, no log; its head stands elsewhere."""

import pytest

from runtime.config import load
from runtime.errors import ConfigError
from sinks.audit_log.config import DEVELOPMENT_KEY, AuditLogSettings

KEY = "0123456789abcdef0123456789abcdef"


def settings(**given):
    return load(AuditLogSettings, "AUDIT_LOG_", {f"AUDIT_LOG_{name}": value for name, value in given.items()}, None)


def test_a_missing_key_is_a_mistake_that_names_its_setting():
    with pytest.raises(ConfigError, match="AUDIT_LOG_DIGEST_KEY: is needed"):
        settings()


def test_the_key_may_come_from_a_file(tmp_path):
    (tmp_path / "key").write_text(KEY + "\n")
    assert settings(DIGEST_KEY_FILE=str(tmp_path / "key")).digest_key_bytes == KEY.encode()


def test_the_development_key_is_used_only_where_it_is_allowed_and_no_other_is_given():
    assert settings(ALLOW_DEVELOPMENT_KEY="true").digest_key_bytes == DEVELOPMENT_KEY.encode()
    assert settings(ALLOW_DEVELOPMENT_KEY="true", DIGEST_KEY=KEY).digest_key_bytes == KEY.encode()


def test_a_short_key_is_a_mistake_that_does_not_quote_it():
    with pytest.raises(ConfigError, match="at least 32") as caught:
        settings(DIGEST_KEY="hunter2")
    assert "hunter2" not in str(caught.value)


def test_the_head_must_not_stand_with_its_log():
    with pytest.raises(ConfigError, match="AUDIT_LOG_HEADS_URL"):
        settings(DIGEST_KEY=KEY, STORE_URL="data/x", HEADS_URL="data/x/")
