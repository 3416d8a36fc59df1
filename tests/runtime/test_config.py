import os
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from runtime.config import KafkaSettings, Section, Settings, load, prefix_of, settings_hash, variables
from runtime.errors import ConfigError, UsageError


class DoorSettings(Section):
    keys: dict[str, SecretStr] = Field({}, description="Keys by name.")


class SampleSettings(Settings):
    min_speech_ms: int = Field(200, ge=1, description="Shortest speech.")
    hangover_ms: float = Field(300, description="Hangover.")
    names: tuple[str, ...] = Field((), description="Names.")
    token: SecretStr | None = Field(None, description="Secret.")
    door: DoorSettings = DoorSettings()

    def contradictions(self):
        if self.hangover_ms < self.min_speech_ms:
            yield "hangover_ms", "is shorter than the shortest speech"


def sample(environ=None, env_file=None):
    return load(SampleSettings, "SAMPLE_", environ or {}, env_file)


def mistakes(environ, env_file=None):
    with pytest.raises(ConfigError) as error:
        sample(environ, env_file)
    return error.value.mistakes


def test_defaults_hold_where_nothing_is_set():
    assert sample() == SampleSettings()


def test_a_variable_is_named_by_prefix_and_field():
    assert sample({"SAMPLE_MIN_SPEECH_MS": "150"}).min_speech_ms == 150
    assert prefix_of("recording_sync") == "RECORDING_SYNC_"


def test_shared_settings_have_names_of_their_own():
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2",
        "TOPIC_PREFIX": "replay.x.",
        "SCHEMA_REGISTRY_URL": "http://r:8081",
        "LOG_LEVEL": "debug",
        "SAMPLE_ADMIN_PORT": "8080",
    }
    settings = sample(environ)
    assert settings.kafka.bootstrap_servers == "a:1,b:2"
    assert settings.kafka.topic_prefix == "replay.x."
    assert settings.registry.url == "http://r:8081"
    assert settings.service.log_level == "debug"
    assert settings.service.admin_port == 8080


def test_every_mistake_is_reported_at_once_by_its_variable():
    found = mistakes(
        {
            "SAMPLE_MIN_SPEECH_MS": "soon",
            "SAMPLE_HANGOVER_MS": "later",
            "SAMPLE_ADMIN_PORT": "70000",
            "KAFKA_BOOTSTRAP_SERVERS": "nowhere",
        }
    )
    assert sorted(text.partition(":")[0] for text in found) == [
        "KAFKA_BOOTSTRAP_SERVERS",
        "SAMPLE_ADMIN_PORT",
        "SAMPLE_HANGOVER_MS",
        "SAMPLE_MIN_SPEECH_MS",
    ]
    assert any(text.startswith("SAMPLE_MIN_SPEECH_MS: Input should be a valid integer") for text in found)


def test_an_unknown_variable_with_the_prefix_is_a_mistake_that_names_the_closest():
    assert mistakes({"SAMPLE_MIN_SPEACH_MS": "1"}) == (
        "SAMPLE_MIN_SPEACH_MS: there is no such setting; did you mean SAMPLE_MIN_SPEECH_MS?",
    )
    assert mistakes({"SAMPLE_QQQ": "1"}) == ("SAMPLE_QQQ: there is no such setting",)


def test_a_shared_name_that_is_almost_right_is_a_mistake_and_a_foreign_one_is_not():
    assert "KAFKA_BOOTSTRAP_SERVERS" in mistakes({"KAFKA_BOOTSTRAP_SERVER": "a:1"})[0]
    assert sample({"KAFKA_OPTS": "-Xmx1g", "OTHER_MIN_SPEACH_MS": "1"}) == SampleSettings()


def test_a_kubernetes_service_link_is_no_setting():
    environ = {
        "SAMPLE_SERVICE_HOST": "10.0.0.1",
        "SAMPLE_PORT_80_TCP_ADDR": "10.0.0.1",
        "SAMPLE_PORT": "tcp://10.0.0.1:80",
    }
    assert sample(environ) == SampleSettings()


def test_an_empty_value_counts_as_not_set():
    assert sample({"SAMPLE_MIN_SPEECH_MS": "", "TOPIC_PREFIX": ""}) == SampleSettings()


def test_lists_and_mappings_may_be_plain_or_json():
    assert sample({"SAMPLE_NAMES": "a, b"}).names == ("a", "b")
    assert sample({"SAMPLE_NAMES": '["a,b"]'}).names == ("a,b",)
    assert sample({"SAMPLE_DOOR_KEYS": "k=v=="}).door.keys["k"].get_secret_value() == "v=="
    assert sample({"SAMPLE_DOOR_KEYS": '{"k": "a,b"}'}).door.keys["k"].get_secret_value() == "a,b"
    assert mistakes({"SAMPLE_DOOR_KEYS": "only"}) == (
        "SAMPLE_DOOR_KEYS: Input should be name=value pairs separated by commas, or JSON",
    )
    assert mistakes({"SAMPLE_DOOR_KEYS": "k=a,k=b"}) == ("SAMPLE_DOOR_KEYS: names the same twice",)
    assert mistakes({"SAMPLE_NAMES": "[1"}) == ("SAMPLE_NAMES: Input should be valid JSON",)


def test_a_mistake_inside_a_list_is_named_by_its_variable():
    assert mistakes({"SAMPLE_NAMES": "[1]"})[0].startswith("SAMPLE_NAMES: ")


def test_a_secret_may_come_from_a_file(tmp_path):
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    settings = sample({"SAMPLE_TOKEN_FILE": str(file)})
    assert settings.token.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)


def test_a_secret_file_that_is_missing_or_empty_is_a_mistake(tmp_path):
    empty = tmp_path / "empty"
    empty.write_text("\n")
    assert mistakes({"SAMPLE_TOKEN_FILE": str(tmp_path / "none")}) == (
        "SAMPLE_TOKEN: the file that SAMPLE_TOKEN_FILE names cannot be read: FileNotFoundError",
    )
    assert mistakes({"SAMPLE_TOKEN_FILE": str(empty)}) == (
        "SAMPLE_TOKEN: the file that SAMPLE_TOKEN_FILE names is empty",
    )


def test_a_secret_given_twice_is_a_mistake(tmp_path):
    assert "is set twice" in mistakes({"SAMPLE_TOKEN": "a", "SAMPLE_TOKEN_FILE": str(tmp_path)})[0]


def test_only_a_secret_may_come_from_a_file():
    assert "no such setting" in mistakes({"SAMPLE_MIN_SPEECH_MS_FILE": "/x"})[0]


def test_no_mistake_shows_a_value():
    found = mistakes(
        {"SAMPLE_DOOR_KEYS": '[["hunter2"]]', "SAMPLE_MIN_SPEECH_MS": "hunter2", "TOPIC_PREFIX": "hunter2"}
    )
    assert len(found) == 3
    assert not any("hunter2" in text for text in found)


def test_fields_that_contradict_each_other_are_reported_together():
    found = mistakes(
        {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SSL_CAFILE": "/nowhere", "KAFKA_SSL_KEYFILE": "/nowhere"}
    )
    assert [text.partition(":")[0] for text in found] == [
        "KAFKA_SASL_PASSWORD",
        "KAFKA_SASL_USERNAME",
        "KAFKA_SSL_CAFILE",
        "KAFKA_SSL_KEYFILE",
        "KAFKA_SSL_CERTFILE",
    ]
    assert mistakes({"SAMPLE_HANGOVER_MS": "1"}) == ("SAMPLE_HANGOVER_MS: is shorter than the shortest speech",)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"KAFKA_SASL_PASSWORD": "x"}, "KAFKA_SASL_PASSWORD"),
        ({"KAFKA_SSL_CAFILE": "/etc/passwd"}, "KAFKA_SSL_CAFILE"),
        ({"SCHEMA_REGISTRY_USERNAME": "x"}, "SCHEMA_REGISTRY_PASSWORD"),
        ({"SCHEMA_REGISTRY_URL": "registry:8081"}, "SCHEMA_REGISTRY_URL"),
        ({"LOG_FORMAT": "yaml"}, "LOG_FORMAT"),
    ],
)
def test_a_setting_that_cannot_work_is_named(environ, name):
    assert [text.partition(":")[0] for text in mistakes(environ)] == [name]


def test_a_token_needs_no_user():
    environ = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "KAFKA_SASL_PASSWORD": "t",
    }
    assert sample(environ).kafka.sasl_username is None


@pytest.mark.parametrize(
    "prefix", ["live.", "replay.", "replay.a", "replay.A.", "replay.-a.", "replay.a..", "replay.a.b."]
)
def test_a_topic_prefix_is_empty_or_that_of_a_replay(prefix):
    assert mistakes({"TOPIC_PREFIX": prefix})[0].startswith("TOPIC_PREFIX: ")


def test_the_file_of_the_working_directory_fills_in_what_the_environment_leaves_out(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("SAMPLE_MIN_SPEECH_MS=10\nSAMPLE_HANGOVER_MS=20\nOTHER_X=1\n")
    monkeypatch.chdir(tmp_path)
    settings = load(SampleSettings, "SAMPLE_", {"SAMPLE_MIN_SPEECH_MS": "15"})
    assert (settings.min_speech_ms, settings.hangover_ms) == (15, 20)


def test_changes_stand_before_the_environment():
    assert load(KafkaSettings, "", {"TOPIC_PREFIX": "replay.a."}, None, {"TOPIC_PREFIX": ""}).topic_prefix == ""


def test_settings_cannot_be_changed_nor_take_unknown_fields():
    with pytest.raises(ValueError, match="frozen"):
        SampleSettings().min_speech_ms = 1
    with pytest.raises(ValueError, match="Extra inputs"):
        SampleSettings(nothing=1)


def test_a_field_without_description_is_refused():
    with pytest.raises(UsageError, match="no description for blank"):

        class _Blank(Settings):
            blank: int = 1


def test_every_variable_has_one_name():
    names = [variable.name for variable in variables(SampleSettings, "SAMPLE_")]
    assert len(names) == len(set(names))
    assert names[:5] == [
        "SAMPLE_MIN_SPEECH_MS",
        "SAMPLE_HANGOVER_MS",
        "SAMPLE_NAMES",
        "SAMPLE_TOKEN",
        "SAMPLE_DOOR_KEYS",
    ]


def test_the_digest_depends_on_the_named_fields_only():
    one = settings_hash(SampleSettings(), ["min_speech_ms", "names"])
    assert one == settings_hash(SampleSettings(hangover_ms=999), ["names", "min_speech_ms"])
    assert one != settings_hash(SampleSettings(min_speech_ms=201), ["min_speech_ms", "names"])
    assert len(one) == 16
    assert int(one, 16) >= 0


def test_no_digest_is_made_of_a_secret_or_of_nothing():
    for name in ("token", "nothing"):
        with pytest.raises(UsageError, match=name):
            settings_hash(SampleSettings(), [name])


def test_only_one_module_reads_the_environment():
    package = Path(__file__).parents[2] / "runtime"
    readers = [path.name for path in package.glob("*.py") if f"{os.__name__}.environ" in path.read_text()]
    assert readers == ["config.py"]
