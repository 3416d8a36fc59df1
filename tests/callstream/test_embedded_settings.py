"""The command line and the settings file of the embedded Kafka."""

from pathlib import PurePosixPath

import pytest

from callstream.embedded_settings import (
    archive_command,
    archive_flags,
    classes_to_archive,
    java_command,
    server_properties,
)


def settings_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_all_listeners_are_on_loopback():
    settings = settings_of(server_properties(PurePosixPath("/data/topics"), 9092, 20001))

    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:20001"
    assert settings["advertised.listeners"] == settings["listeners"]
    assert settings["controller.quorum.bootstrap.servers"] == "127.0.0.1:20001"


def test_one_node_is_enough_for_every_internal_topic():
    settings = settings_of(server_properties(PurePosixPath("/data/topics"), 9092, 20001))

    replicas = {name: value for name, value in settings.items() if name.endswith(("replication.factor", "min.isr"))}
    assert len(replicas) == 5
    assert set(replicas.values()) == {"1"}


@pytest.mark.parametrize(
    ("folder", "written"),
    [
        ("/data/a b", "/data/a b"),
        ("/data/ä", "/data/\\u00e4"),
        ("/data/\U0001f600", "/data/\\ud83d\\ude00"),
        ("/data/a\\b", "/data/a\\\\b"),
        ("/data/a\nb", "/data/a\\u000ab"),
    ],
)
def test_a_folder_name_reads_back_as_java_reads_properties(folder: str, written: str):
    assert settings_of(server_properties(PurePosixPath(folder), 1, 2))["log.dirs"] == written


def test_the_command_runs_the_main_class_with_its_arguments_last():
    command = java_command(PurePosixPath("/java"), ["a.jar", "b.jar"], PurePosixPath("/crash"), "kafka.Kafka", "file")

    assert command[0] == "/java"
    assert command[-4:] == ["-cp", "a.jar:b.jar", "kafka.Kafka", "file"]
    assert {"-Xmx384m", "-XX:+UseSerialGC", "-XX:ErrorFile=/crash"} <= set(command)


def test_flags_about_classes_stand_before_the_main_class():
    java, crash = PurePosixPath("/java"), PurePosixPath("/crash")
    flags = archive_flags(PurePosixPath("../classes.jsa"))

    command = java_command(java, ["a.jar"], crash, "kafka.Kafka", "file", class_flags=flags)

    assert set(flags) <= set(command[1 : command.index("-cp")])
    assert "-Xshare:auto" in command


def test_the_java_that_makes_the_archive_has_the_memory_and_the_collector_of_the_one_that_uses_it():
    java, crash = PurePosixPath("/java"), PurePosixPath("/crash")
    making = archive_command(java, ["a.jar", "b.jar"], PurePosixPath("names"), PurePosixPath("archive"))
    using = java_command(java, ["a.jar", "b.jar"], crash, "kafka.Kafka")

    shared = {word for word in using if word.startswith(("-Xm", "-XX:+Use", "-XX:Tiered")) or word == "a.jar:b.jar"}
    assert len(shared) == 5
    assert shared <= set(making)
    assert "-Xrs" in making, "Java would hear SIGTERM only when the archive is made"


def test_what_several_javas_loaded_is_joined_once_and_without_numbers_of_their_own():
    format_record = "# made by Java\njava/lang/Object id: 0\n@lambda-proxy scala/Some run\n@cp java/lang/Object 1 3\n"
    broker_record = "java/lang/Object id: 0\nkafka/Kafka id: 1\nodd/One id: 2 super: 0 source: /x.jar\nkafka/Hal"

    assert list(classes_to_archive([format_record, broker_record])) == [
        "java/lang/Object",
        "@lambda-proxy scala/Some run",
        "@cp java/lang/Object 1 3",
        "kafka/Kafka",
    ]
