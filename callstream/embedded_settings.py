"""Turns ports and folders into the command line and the settings file of the embedded Apache Kafka. Pure.

One KRaft node that is broker and controller, on loopback only, with every replication factor 1 and small internal
topics, so that it is ready in seconds on little memory. It writes no file and starts no process.
"""

from pathlib import PurePath

KAFKA_VERSION = "4.2.1"
SLF4J_VERSION = "1.7.36"
HOST = "127.0.0.1"

STORAGE_TOOL = "kafka.tools.StorageTool"
BROKER = "kafka.Kafka"

_JVM_FLAGS = ("-Xms256m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")

_LOG_FLAGS = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
    # Each start would print all settings of a dozen clients, thousands of lines.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",
)

# A killed broker may register again only when its old session has run out: 9 s by default.
_SESSION_SETTINGS: dict[str, str | int] = {"broker.session.timeout.ms": 3000, "broker.heartbeat.interval.ms": 500}

_SINGLE_NODE_SETTINGS: dict[str, str | int] = {
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "log.cleaner.dedupe.buffer.size": 8388608,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
    "auto.create.topics.enable": "false",
}


def java_command(java: PurePath, jars: list[str], crash_file: PurePath, main_class: str, *arguments: str) -> list[str]:
    """Build the command that runs `main_class`; `jars` are file names relative to the folder it must be run in."""
    return [
        str(java),
        *_JVM_FLAGS,
        *_LOG_FLAGS,
        f"-XX:ErrorFile={crash_file}",
        "-cp",
        ":".join(jars),
        main_class,
        *arguments,
    ]


def server_properties(log_dir: PurePath, port: int, controller_port: int) -> str:
    """Write the settings file of the broker: `log_dir` holds the topics, both ports listen on loopback."""
    listeners = f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}"
    settings: dict[str, str | int] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.bootstrap.servers": f"{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": _escape(str(log_dir)),
        **_SESSION_SETTINGS,
        **_SINGLE_NODE_SETTINGS,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _escape(value: str) -> str:
    """Escape a value for java.util.Properties, which reads Latin-1 and takes a backslash as an escape."""
    utf16 = value.replace("\\", "\\\\").encode("utf-16-be")
    units = [int.from_bytes(utf16[i : i + 2], "big") for i in range(0, len(utf16), 2)]
    return "".join(chr(unit) if ord(" ") <= unit <= ord("~") else f"\\u{unit:04x}" for unit in units)
