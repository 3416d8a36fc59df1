"""The command line and the settings file of the embedded Kafka."""

from pathlib import PurePosixPath

import pytest

from callstream.embedded_settings import java_command, server_properties


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
