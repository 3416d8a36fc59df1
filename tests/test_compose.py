"""docker-compose.yml and Dockerfile say what the code has: every component, its command, its settings, nothing else.

There may be no Docker here, so the files are read, not run.
"""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from callstream.demo.stage import MODULES
from callstream.docs_command import components
from ingest.config import IngestSettings
from runtime.config import KafkaSettings, RegistrySettings, load, prefix_of, variables
from tests.test_layout import PACKAGES
from tests.yaml_subset import read

ROOT = Path(__file__).parent.parent
COMPOSE = read((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
BRIDGE = read((ROOT / "docker-compose.bridge.yml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SIMULATORS = {
    "audiohook-client",
    "media-streams",
    "appfoundry",
    "media-websocket",
    "conversation-audio",
    "oauth",
    "platform",
    "cognigy-bot",
    "bridge-bot",
}
OTHERS = {"kafka", "registry", "setup"} | SIMULATORS
"""What is no component: the two servers, what prepares them, and the other side."""
SECRETS = {
    "audiohook_keys": json.dumps({"key": "c2VjcmV0"}),
    "audit_digest_key": "x" * 40,
    "cognigy_url_token": "x" * 64,
    "spool_key": "c3Bvb2wga2V5IG9mIDMyIGJ5dGVzIGZvciB0ZXN0cyE=",
}
KRAFT = {
    "KAFKA_NODE_ID",
    "KAFKA_PROCESS_ROLES",
    "KAFKA_CONTROLLER_QUORUM_VOTERS",
    "KAFKA_CONTROLLER_LISTENER_NAMES",
    "KAFKA_LISTENERS",
    "KAFKA_ADVERTISED_LISTENERS",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
    "KAFKA_INTER_BROKER_LISTENER_NAME",
    "KAFKA_LOG_DIRS",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE",
}
"""What the broker cannot do without, as soon as one of its settings is given."""


def modules() -> dict[str, str]:
    """Component → its module, found by the folders."""
    paths = (path for top in ("ingest", "processors", "sinks") for path in (ROOT / top).rglob("__main__.py"))
    return {path.parent.name: ".".join(path.parent.relative_to(ROOT).parts) for path in paths}


def given(name: str, secrets: Path) -> dict[str, str]:
    """The environment of a service, its secrets in another folder."""
    environment = SERVICES[name]["environment"]
    return {key: str(value).replace("/run/secrets", str(secrets)) for key, value in environment.items()}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name, text in SECRETS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_component_has_a_service_and_no_other_has():
    assert SERVICES.keys() - OTHERS == modules().keys()


@pytest.mark.parametrize("component", sorted(modules()))
def test_a_service_runs_its_component_as_the_demo_does(component):
    assert SERVICES[component]["command"] == ["python", "-m", modules()[component]]
    assert set(MODULES) <= set(modules().values())


@pytest.mark.parametrize("component", sorted(modules()))
def test_every_variable_of_a_service_is_a_setting_with_a_good_value(component, secrets):
    environment, settings_type = given(component, secrets), components()[component]
    known = {variable.name: variable for variable in variables(settings_type, prefix_of(component))}
    files = {f"{name}_FILE" for name, variable in known.items() if variable.secret}
    assert environment.keys() <= known.keys() | files
    settings = load(settings_type, prefix_of(component), environ=environment, env_file=None)
    assert settings.service.admin_port == 9100
    assert settings.kafka.bootstrap_servers == "kafka:19092"
    assert settings.registry.url == "http://registry:8080/apis/ccompat/v7"


@pytest.mark.parametrize("component", sorted(modules()))
def test_a_service_waits_for_topics_and_schemas_and_is_asked_whether_it_is_ready(component):
    service = SERVICES[component]
    assert service["depends_on"] == {"setup": {"condition": "service_completed_successfully"}}
    assert "http://127.0.0.1:9100/readyz" in service["healthcheck"]["test"][-1]
    settings_type = components()[component]
    drain_budget_s = load(
        settings_type.model_fields["service"].annotation, "", environ={}, env_file=None
    ).drain_budget_s
    assert int(service["stop_grace_period"].removesuffix("s")) > drain_budget_s


def test_the_bridge_is_laid_over_cognigy_and_changes_nothing_but_its_transport(secrets):
    assert BRIDGE.keys() == {"services", "secrets"}
    assert BRIDGE["services"].keys() == {"cognigy"}
    laid = BRIDGE["services"]["cognigy"]
    assert laid.keys() == {"environment", "secrets"}
    assert set(laid["secrets"]) == BRIDGE["secrets"].keys()
    assert all(secret["file"].startswith("./data/") for secret in BRIDGE["secrets"].values())
    (secrets / "cognigy_bridge_client_secret").write_text("secret")
    own = {key: str(value).replace("/run/secrets", str(secrets)) for key, value in laid["environment"].items()}
    environment = given("cognigy", secrets) | own
    settings = load(components()["cognigy"], prefix_of("cognigy"), environ=environment, env_file=None)
    assert (settings.transport, settings.bridge.client_secret.get_secret_value()) == ("bridge", "secret")
    assert not any(re.search("SECRET|PASSWORD|TOKEN", name) for name in own if not name.endswith("_FILE"))


def test_what_prepares_creates_topics_and_registers_schemas():
    assert SERVICES["setup"]["command"] == ["sh", "-c", "callstream topics apply && callstream schemas register"]
    environment = SERVICES["setup"]["environment"]
    assert load(KafkaSettings, "", environ=environment, env_file=None).bootstrap_servers == "kafka:19092"
    assert load(RegistrySettings, "", environ=environment, env_file=None).url is not None
    assert "restart" not in SERVICES["setup"]


def test_every_name_that_is_used_is_there():
    for name, service in SERVICES.items():
        assert service.get("depends_on", {}).keys() <= SERVICES.keys(), name
        assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys(), name
        sources = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert sources <= COMPOSE["volumes"].keys(), name
        for condition in service.get("depends_on", {}).values():
            assert condition["condition"] in {"service_healthy", "service_completed_successfully"}
    healthy = {
        target
        for service in SERVICES.values()
        for target, condition in service.get("depends_on", {}).items()
        if condition["condition"] == "service_healthy"
    }
    assert [name for name in healthy if "healthcheck" not in SERVICES[name]] == []


def test_secrets_are_files_that_git_and_the_image_leave_out():
    paths = [secret["file"] for secret in COMPOSE["secrets"].values()]
    assert all(path.startswith("./data/") for path in paths)
    assert "/data/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    for service in SERVICES.values():
        values = [name for name in service.get("environment", {}) if not name.endswith("_FILE")]
        assert not any(re.search("SECRET|PASSWORD|TOKEN", name) for name in values)


def test_ports_are_bound_to_loopback():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) >= 3
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_images_of_others_are_of_one_version_and_ours_is_built():
    for name, service in SERVICES.items():
        if name in {"kafka", "registry"}:
            assert re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+", service["image"])
        else:
            assert (service["image"], service["build"]) == ("callstream", ".")
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]


def test_the_broker_has_all_settings_it_needs():
    environment = SERVICES["kafka"]["environment"]
    assert environment.keys() == KRAFT | {"CLUSTER_ID"}
    listeners = {entry.split("://")[0] for entry in environment["KAFKA_LISTENERS"].split(",")}
    mapped = {entry.split(":")[0] for entry in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    advertised = dict(entry.split("://") for entry in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert listeners == mapped == advertised.keys() | {environment["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert advertised["INTERNAL"] == COMPOSE["x-environment"]["KAFKA_BOOTSTRAP_SERVERS"]
    # a program on this machine finds the broker without any setting
    assert advertised["HOST"] == load(KafkaSettings, "", environ={}, env_file=None).bootstrap_servers


def test_the_service_that_errors_and_pages_point_to_is_there():
    texts = [
        path.read_text(encoding="utf-8") for path in [*(ROOT / "callstream").glob("*.py"), *ROOT.glob("docs/*.md")]
    ]
    named = {name for text in texts for name in re.findall(r"docker compose up -d ([a-z-]+)", text)}
    assert named == {"kafka"}


def test_the_simulators_and_what_is_off_by_default_start_only_when_asked_for():
    assert {name for name, service in SERVICES.items() if "profiles" in service} == SIMULATORS | {"speech"}
    assert SERVICES["speech"]["profiles"] == ["speech"]
    for name in SIMULATORS:
        assert SERVICES[name]["profiles"] == ["simulators"]
        assert find_spec(SERVICES[name]["command"][2] + ".__main__")


def test_what_outlives_a_container_is_a_folder_its_user_owns():
    folders = set(re.search(r"install -d [^\n]*?(/data(?: /data/[a-z-]+)+)$", DOCKERFILE, re.MULTILINE)[1].split())
    mounted = {volume.split(":")[1] for name in modules() for volume in SERVICES[name].get("volumes", [])}
    assert mounted == folders - {"/data"}


def test_the_image_holds_every_package_and_runs_as_nobody_special():
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == set(PACKAGES)
    assert copied | {"requirements-runtime.lock", "pyproject.toml", "README.md", "LICENSE"} == allowed
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["python:3.11-slim"] * 2
    assert "--require-hashes" in DOCKERFILE
    user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert int(user[1]) > 0
    assert f"-o {user[1]} -g {user[2]}" in DOCKERFILE


def test_the_image_gets_the_versions_that_are_tested_and_no_tools_of_development():
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^(\S+==\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))

    runtime, everything = pins("requirements-runtime.lock"), pins("requirements.lock")
    assert runtime < everything
    names = {pin.split("==")[0] for pin in runtime}
    assert {"aiokafka", "fastavro", "numpy"} <= names
    assert names.isdisjoint({"pytest", "ruff", "mypy"})


@pytest.mark.parametrize(
    "text",
    [
        "a: {b: 1}",
        "a: |",
        "a: *nobody",
        "a: 'b'",
        "a: [b",
        "a: [[b]]",
        "a: b: c",
        "a\n",
        "a: 1\na: 2",
        "a: 1\n  b: 2",
        "a: b # c",
    ],
)
def test_what_the_reader_does_not_understand_is_refused(text):
    with pytest.raises(ValueError, match="line"):
        read(text)


def test_the_reader_resolves_anchors_and_merges():
    text = 'x: &x\n  a: 1\n  b: "2"\ny:\n  <<: *x\n  b: [p, "q, r"]\nz:\n  - s\n  - t\nw:\nv: *x\n'
    assert read(text) == {
        "x": {"a": 1, "b": "2"},
        "y": {"a": 1, "b": ["p", "q, r"]},
        "z": ["s", "t"],
        "w": None,
        "v": {"a": 1, "b": "2"},
    }


def test_a_stand_in_listens_where_its_port_is_published_and_the_settings_named_with_it_are_good():
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    named = re.findall(r"((?:INGEST|COGNIGY)_\w+_URL) (\S+://127\.0\.0\.1:(\d+)\S*)", text)
    published = {port.split(":")[1] for name in SIMULATORS for port in SERVICES[name].get("ports", [])}
    assert {port for _, _, port in named} == published
    own = {"INGEST_OAUTH_CLIENT_ID": "client", "INGEST_OAUTH_CLIENT_SECRET": "secret"}
    urls = {name: url for name, url, _ in named}
    ingests = {name: url for name, url in urls.items() if name.startswith("INGEST_")}
    assert load(IngestSettings, "INGEST_", own | ingests, env_file=None)
    bridge = {"COGNIGY_TRANSPORT": "bridge", "COGNIGY_BRIDGE_AUTH": "none", "COGNIGY_BRIDGE_APP_ID": "app"}
    bots = {name: url for name, url in urls.items() if name.startswith("COGNIGY_")}
    assert load(components()["cognigy"], "COGNIGY_", bridge | bots, env_file=None)
    for name in SIMULATORS:
        for port in SERVICES[name].get("ports", []):
            module = find_spec(SERVICES[name]["command"][2] + ".__main__")
            assert re.search(rf"\b{port.split(':')[2]}\b", Path(module.origin).read_text(encoding="utf-8"))
