"""The archive of Kafka's classes: made once, by one of several starts, and never in the way; Java is a script here."""

import os
import threading
from pathlib import Path

import pytest

from callstream import embedded_archive
from callstream.embedded_archive import ClassArchive

MAKES = """#!/bin/sh
for word; do
    case "$word" in
    -XX:SharedClassListFile=*) names=${word#*=} ;;
    -XX:SharedArchiveFile=*) archive=${word#*=} ;;
    esac
done
echo "$@" >> "$0.calls"
cat "$names" > "$archive"
"""
FAILS = MAKES + "exit 1\n"


def java(tmp_path: Path, script: str = MAKES, release: str = 'JAVA_VERSION="25.0.2"\n') -> Path:
    home = tmp_path / "java"
    (home / "bin").mkdir(parents=True, exist_ok=True)
    (home / "lib").mkdir(exist_ok=True)
    (home / "lib" / "modules").touch()
    (home / "release").write_text(release)
    program = home / "bin" / "java"
    program.unlink(missing_ok=True)
    program.write_text(script)
    program.chmod(0o755)
    return program


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    folder = tmp_path / "a:b" / "jars"
    folder.mkdir(parents=True)
    (folder / "kafka.jar").write_bytes(b"classes")
    return folder


def started(program: Path, jars: Path) -> ClassArchive:
    """A start whose Java has written down one class, and half a line more."""
    archive = ClassArchive(program, jars, after_ready_s=0)
    for flag in archive.flags("broker"):
        if flag.startswith("-XX:DumpLoadedClassList="):
            (jars / flag.partition("=")[2]).write_text("# of this Java\nkafka/Kafka id: 7\nkafka/Cut")
    return archive


def made(program: Path, jars: Path) -> list[str]:
    started(program, jars).make()
    return archives(jars)


def archives(jars: Path) -> list[str]:
    return sorted(path.name for path in jars.parent.glob("*.jsa"))


def beside(jars: Path) -> set[str]:
    return {path.name for path in jars.parent.iterdir()} - {"jars", "classes.lock"}


def calls(program: Path) -> int:
    record = program.with_name("java.calls")
    return len(record.read_text().splitlines()) if record.exists() else 0


def uses_an_archive(archive: ClassArchive) -> bool:
    return any(flag.startswith("-XX:SharedArchiveFile=") for flag in archive.flags("broker"))


def test_the_first_start_has_the_archive_made_of_the_classes_it_loaded(tmp_path: Path, jars: Path):
    [name] = made(java(tmp_path), jars)

    assert name.startswith("classes-25.0.2-")
    assert (jars.parent / name).read_text() == "kafka/Kafka\n"
    assert beside(jars) == {name}


def test_later_starts_use_it_and_make_none(tmp_path: Path, jars: Path):
    program = java(tmp_path)
    [name] = made(program, jars)

    later = ClassArchive(program, jars)
    later.make()

    assert f"-XX:SharedArchiveFile=../{name}" in later.flags("broker")
    assert calls(program) == 1


def test_a_later_start_does_not_wait_for_the_making(tmp_path: Path, jars: Path):
    program = java(tmp_path)
    first = started(program, jars)
    meanwhile = started(program, jars)

    assert meanwhile.flags("broker") == ()
    meanwhile.make()
    assert archives(jars) == []
    first.make()
    assert calls(program) == 1
    assert uses_an_archive(ClassArchive(program, jars))


def test_of_many_starts_at_once_one_makes_it(tmp_path: Path, jars: Path):
    program = java(tmp_path)
    together = threading.Barrier(8)

    def start() -> None:
        together.wait()
        made(program, jars)

    threads = [threading.Thread(target=start) for _ in range(together.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert calls(program) == 1
    assert len(archives(jars)) == 1


def test_it_is_made_beside_a_broker_that_runs_on(tmp_path: Path, jars: Path):
    program = java(tmp_path)
    before = set(threading.enumerate())

    started(program, jars).make_in_background()
    for thread in set(threading.enumerate()) - before:
        thread.join()

    assert len(archives(jars)) == 1


def test_a_making_that_fails_leaves_nothing_and_may_be_tried_again(tmp_path: Path, jars: Path):
    assert made(java(tmp_path, FAILS), jars) == []
    assert beside(jars) == set()

    assert len(made(java(tmp_path), jars)) == 1


def test_a_java_that_cannot_run_is_no_error(tmp_path: Path, jars: Path):
    program = java(tmp_path)
    archive = started(program, jars)
    program.unlink()

    archive.make()

    assert beside(jars) == set()


def test_a_start_that_failed_leaves_it_to_the_next(tmp_path: Path, jars: Path):
    program = java(tmp_path)

    started(program, jars).abandon()

    assert beside(jars) == set()
    assert len(made(program, jars)) == 1


def test_what_a_killed_making_left_is_removed(tmp_path: Path, jars: Path):
    (jars.parent / "classes.part-dead").mkdir()

    [name] = made(java(tmp_path), jars)

    assert beside(jars) == {name}


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes everywhere")
def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, jars: Path):
    program = java(tmp_path)
    jars.parent.chmod(0o555)
    try:
        archive = started(program, jars)
        archive.make()
        assert archive.flags("broker") == ()
    finally:
        jars.parent.chmod(0o755)


@pytest.mark.parametrize("refused", ["FileLock", "mkdtemp"])
def test_a_lock_or_a_folder_that_is_refused_is_no_error(
    tmp_path: Path, jars: Path, monkeypatch: pytest.MonkeyPatch, refused: str
):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(refused)

    program = java(tmp_path)
    owner = embedded_archive if refused == "FileLock" else embedded_archive.tempfile
    with monkeypatch.context() as patch:
        patch.setattr(owner, refused, refuse)
        archive = started(program, jars)
        archive.make()
        assert archive.flags("broker") == ()

    assert len(made(program, jars)) == 1


@pytest.mark.parametrize("change", ["java", "classes of java", "jar"])
def test_another_java_or_other_jars_have_an_archive_of_their_own(tmp_path: Path, jars: Path, change: str):
    [first] = made(java(tmp_path), jars)
    if change == "jar":
        (jars / "kafka.jar").write_bytes(b"other classes")
    if change == "classes of java":
        os.utime(tmp_path / "java" / "lib" / "modules", (1, 1))
    program = java(tmp_path, release='JAVA_VERSION="26"\n' if change == "java" else 'JAVA_VERSION="25.0.2"\n')

    names = made(program, jars)

    assert len(names) == 2
    [other] = set(names) - {first}
    assert f"-XX:SharedArchiveFile=../{other}" in ClassArchive(program, jars).flags("broker")


def test_archives_of_javas_that_are_gone_do_not_pile_up(tmp_path: Path, jars: Path):
    old = [jars.parent / f"classes-{number}-x.jsa" for number in range(4)]
    for age, path in enumerate(reversed(old)):
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))

    [name, *_] = sorted(set(made(java(tmp_path), jars)) - {path.name for path in old})

    assert archives(jars) == sorted([name, old[2].name, old[3].name])


def test_a_java_that_does_not_say_what_it_is_goes_without(tmp_path: Path, jars: Path):
    program = java(tmp_path)
    (tmp_path / "java" / "release").unlink()

    archive = started(program, jars)
    archive.make()

    assert archive.flags("broker") == ()
    assert beside(jars) == set()


def test_an_archive_that_goes_away_between_two_javas_is_no_error(tmp_path: Path, jars: Path):
    program = java(tmp_path)
    [name] = made(program, jars)
    archive = ClassArchive(program, jars)
    assert uses_an_archive(archive)

    (jars.parent / name).unlink()

    assert archive.flags("broker") == ()


def test_nothing_is_written_where_java_is_installed(tmp_path: Path, jars: Path):
    program = java(tmp_path, MAKES.replace('"$0.calls"', "/dev/null"))
    installed = sorted((tmp_path / "java").rglob("*"))

    made(program, jars)

    assert sorted((tmp_path / "java").rglob("*")) == installed
