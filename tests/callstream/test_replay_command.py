"""The command's own part: what an operator may say, and what is refused before anything is asked of a broker."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import typer
from typer.testing import CliRunner

from callstream import replay_command as module
from callstream.replay.run import Order, Result
from callstream.replay.span import Wanted

FROM = "2026-11-21T10:00+00:00"
FROM_MS = 1_795_255_200_000


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command; orders instead of replays, and the result given."""
    orders = []
    monkeypatch.chdir(tmp_path)

    async def replay(kafka, registry, order, tell):
        orders.append(order)
        return results.pop() if results else Result()

    monkeypatch.setattr(module, "replay", replay)
    monkeypatch.setattr(module, "_prepare_process", lambda: None)
    app = typer.Typer()
    app.command()(module.command)
    results = []

    def invoke(*arguments, result=None):
        if result is not None:
            results.append(result)
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(CliRunner().invoke, app, [*arguments], env={"COLUMNS": "300"}).result()
        return answer, orders

    return invoke


def test_times_are_taken_as_asked(run):
    answer, orders = run("silence", "loss", "--from", FROM, "--to", "11:00", "--name", "audit1")
    assert answer.exit_code == 0, answer.output
    assert orders == [Order(("silence", "loss"), "audit1", Wanted(FROM_MS, FROM_MS + 3_600_000))]


def test_offsets_a_conversation_and_what_to_do_are_taken_as_asked(run):
    answer, orders = run(
        *("silence", "silence", "--name", "a", "--from-offset", "1:5", "--to-offset", "1:9"),
        *("--conversation", "c", "--compare", "--keep"),
    )
    assert answer.exit_code == 0, answer.output
    assert orders == [Order(("silence",), "a", Wanted(firsts=((1, 5),), ends=((1, 9),)), "c", True, True)]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--name", "a"], "name at least one of"),
        (["silence"], "--name"),
        (["silence", "--name", "A"], "--name"),
        (["silence", "--name", "a.b"], "--name"),
        (["silence", "--name", "a", "--from", "tea"], "is no time like"),
        (["silence", "--name", "a", "--to", "11:00"], "is no time like"),
        (["silence", "--name", "a", "--from", FROM, "--to", "09:00"], "is not after --from"),
        (["silence", "--name", "a", "--from", FROM, "--from-offset", "0:1"], "either times or offsets"),
        (["silence", "--name", "a", "--from-offset", "0"], "is no PARTITION:OFFSET"),
        (["silence", "--name", "a", "--from-offset", "0:1", "--from-offset", "0:2"], "each partition once"),
        (["silence", "--name", "a", "--from-offset", "0:1", "--to-offset", "1:2"], "each partition once"),
        (["cognigy", "--name", "a", "--compare"], "a bot need not give the same answers"),
    ],
)
def test_mistakes_are_refused_before_anything_is_done(run, arguments, what):
    answer, orders = run(*arguments)
    assert answer.exit_code == 2
    assert what in answer.output.replace("\n", " ")
    assert orders == []


@pytest.mark.parametrize(("equal", "code"), [(None, 0), (True, 0), (False, 1)])
def test_a_difference_is_the_exit_code_1(run, equal, code):
    result = Result(records=7, equal=equal)
    result.outputs["calls.silence"] = 3
    answer, _ = run("silence", "--name", "a", result=result)
    assert answer.exit_code == code
    assert "replay.a.calls.silence: 3 records\n" in answer.output
    assert "7 records replayed; topics removed; --keep keeps them" in answer.output
