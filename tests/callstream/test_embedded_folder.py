"""The data folder: a folder that is not ours, or in use, is refused with its name."""

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from callstream.embedded_errors import KafkaStartError
from callstream.embedded_folder import DataFolder
from callstream.embedded_lock import FileLock


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    return folder


def formatted(folder: DataFolder) -> str:
    cluster_id = folder.claim()
    folder.begin_format("")
    (folder.formatting / "meta.properties").write_text(f"#\nversion=1\ncluster.id={cluster_id}\n")
    folder.finish_format()
    return cluster_id


def change_marker(folder: DataFolder, text: str) -> None:
    (folder.path / "callstream-broker.json").write_text(text)


def started(*command: str, holds: FileLock | None = None) -> subprocess.Popen[bytes]:
    inherited = [holds.fileno()] if holds else []
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=inherited)


def refusal(folder: DataFolder) -> str:
    with pytest.raises(KafkaStartError) as caught:
        folder.claim()
    message = str(caught.value)
    assert f"The data folder {folder.path} " in message
    assert "Remove the folder" in message
    assert "--data-dir" in message
    return message


def test_a_new_folder_becomes_ours_and_stays_so(folder: DataFolder):
    cluster_id = formatted(folder)

    assert re.fullmatch(r"[\w-]{22}", cluster_id)
    assert folder.is_formatted()
    assert folder.claim() == cluster_id


def test_a_cluster_id_never_looks_like_an_option(folder: DataFolder, monkeypatch: pytest.MonkeyPatch):
    drawn = iter([uuid.UUID("f8000000-0000-4000-8000-000000000000"), uuid.UUID("18000000-0000-4000-8000-000000000000")])
    monkeypatch.setattr(uuid, "uuid4", lambda: next(drawn))

    assert folder.claim() == "GAAAAAAAQACAAAAAAAAAAA"


def test_a_format_that_was_cut_short_is_done_again(folder: DataFolder):
    cluster_id = folder.claim()
    folder.begin_format("")
    (folder.formatting / "half").write_text("")

    assert not folder.is_formatted()
    assert formatted(folder) == cluster_id
    assert not (folder.topics / "half").exists()


def test_the_folder_of_another_kafka_version_is_refused(folder: DataFolder):
    change_marker(folder, json.dumps({"kafka_version": "4.1.0", "cluster_id": formatted(folder)}))

    assert "was written by Kafka 4.1.0, and this is Kafka 4.2.1" in refusal(folder)


def test_topics_of_another_cluster_are_refused(folder: DataFolder):
    cluster_id = formatted(folder)
    (folder.topics / "meta.properties").write_text("cluster.id=somebody-else\n")

    assert f"another cluster than {cluster_id}" in refusal(folder)


def test_topics_without_meta_properties_are_refused(folder: DataFolder):
    formatted(folder)
    (folder.topics / "meta.properties").unlink()

    assert "another cluster" in refusal(folder)


@pytest.mark.parametrize("sign", ["topics/meta.properties", "meta.properties"])
def test_a_folder_of_a_kafka_that_is_not_ours_is_refused(folder: DataFolder, sign: str):
    path = folder.path / sign
    path.parent.mkdir(exist_ok=True)
    path.write_text("cluster.id=other\n")

    assert "belongs to another Kafka" in refusal(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00"])
def test_an_unreadable_marker_is_refused(folder: DataFolder, text: str):
    change_marker(folder, text)

    assert "unreadable callstream-broker.json" in refusal(folder)


async def test_a_folder_in_use_is_refused_with_the_process_that_uses_it(folder: DataFolder):
    script = (
        "import asyncio, sys, pathlib\n"
        "from callstream.embedded_folder import DataFolder\n"
        "lock = asyncio.run(DataFolder(pathlib.Path(sys.argv[1])).take_lock())\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with started(sys.executable, "-c", script, str(folder.path)) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(KafkaStartError, match=rf"in use by a running broker \(process {holder.pid}\)"):
            await folder.take_lock()

    with await folder.take_lock() as lock:
        assert lock.read() == b"%d" % os.getpid()


async def test_a_broker_whose_starter_is_gone_is_waited_for(folder: DataFolder):
    with started(sys.executable, "-c", "") as gone:
        pass
    with await folder.take_lock() as lock:
        lock.write(b"%d" % gone.pid)
        orphan = started("/bin/sleep", "0.3", holds=lock)

    with await folder.take_lock() as lock, orphan:
        assert orphan.wait() == 0
        assert lock.read() == b"%d" % os.getpid()


def test_a_folder_that_kafka_cannot_name_is_refused(tmp_path: Path):
    with pytest.raises(KafkaStartError, match="comma"):
        DataFolder(tmp_path / "a,b").create()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(KafkaStartError, match=r"cannot be made.*--data-dir"):
        DataFolder(tmp_path / "file" / "data").create()


def test_the_log_of_the_last_run_is_kept_once(folder: DataFolder):
    folder.log.write_text("first")
    folder.begin_run("")
    folder.log.write_text("second")
    folder.begin_run("")

    assert not folder.log.exists()
    assert folder.log.with_name("broker.log.1").read_text() == "second"
