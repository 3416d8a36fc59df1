"""Turns ports and folders into the command line and the settings file of the embedded Apache Kafka. Pure.

One KRaft node that is broker and controller, on loopback only, with every replication factor 1 and small internal
topics, so that it is ready in seconds on little memory. It writes no file and starts no process.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath

KAFKA_VERSION = "4.2.1"
SLF4J_VERSION = "1.7.36"
HOST = "127.0.0.1"

STORAGE_TOOL = "kafka.tools.StorageTool"
BROKER = "kafka.Kafka"

_JVM_FLAGS = ("-Xms256m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# Linked classes too: format, start and stop take 2.3 s of processor time then instead of 2.6.
_ARCHIVE_FLAGS = ("-Xshare:dump", "-XX:+AOTClassLinking")

ARCHIVE_SETTINGS = (*_JVM_FLAGS, *_ARCHIVE_FLAGS)
"""What an archive of classes depends on beside Java and the jars."""

# An archive that Java finds unfit is its own affair: it goes on without.
_QUIET_FLAGS = ("-Xlog:cds*=off", "-Xlog:aot*=off", "-Xlog:class+path*=off")

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


def java_command(
    java: PurePath,
    jars: list[str],
    crash_file: PurePath,
    main_class: str,
    *arguments: str,
    class_flags: Sequence[str] = (),
) -> list[str]:
    """Build the command that runs `main_class`; `jars` are file names relative to the folder it must be run in."""
    return [
        str(java),
        *_JVM_FLAGS,
        "-Xshare:auto",
        *class_flags,
        *_LOG_FLAGS,
        f"-XX:ErrorFile={crash_file}",
        "-cp",
        ":".join(jars),
        main_class,
        *arguments,
    ]


def recording_flags(record: PurePath) -> tuple[str, ...]:
    """Have Java write down the classes it loads; one that no longer can starts all the same."""
    return ("-XX:+IgnoreUnrecognizedVMOptions", f"-XX:DumpLoadedClassList={record}", *_QUIET_FLAGS)


def archive_flags(archive: PurePath) -> tuple[str, ...]:
    """Have Java take its classes from an archive if that fits, silently."""
    return (f"-XX:SharedArchiveFile={archive}", *_QUIET_FLAGS)


def archive_command(java: PurePath, jars: list[str], names: PurePath, archive: PurePath) -> list[str]:
    """Build the command that makes an archive of the classes in the file `names`, giving way to what is waited for."""
    return [
        *("nice", "-n", "5", str(java)),
        *ARCHIVE_SETTINGS,
        "-Xrs",  # end at once when told to
        f"-XX:SharedClassListFile={names}",
        f"-XX:SharedArchiveFile={archive}",
        "-cp",
        ":".join(jars),
    ]


def classes_to_archive(records: Iterable[str]) -> Iterator[str]:
    """Join what several Javas have recorded, one line for each class or fact about one.

    A Java that still runs leaves a line unfinished at the end. Numbers of classes hold within one record only, and the
    classes that need them have no place in an archive of the class path.
    """
    seen: set[str] = set()
    for record in records:
        for line in record.split("\n")[:-1]:
            fact = line.partition(" id: ")[0]
            if fact not in seen and not fact.startswith("#") and " source: " not in line:
                seen.add(fact)
                yield fact


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
