import io

from rich.console import Console

from callstream.replay.progress import Bar, Lines, telling


def test_without_a_terminal_each_tenth_is_a_line(capsys):
    lines = Lines()
    lines.begin("replaying calls.audio", 200)
    for _ in range(200):
        lines.advance(1)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "replaying calls.audio: 200 records"
    assert told[1] == "replaying calls.audio: 20 of 200 records, 10 %"
    assert len(told) == 11


def test_nothing_to_do_is_told_without_tenths(capsys):
    lines = Lines()
    lines.begin("replaying", 0)
    assert capsys.readouterr().out == "replaying: 0 records\n"


def test_a_terminal_gets_a_bar_and_lines_above_it():
    out = io.StringIO()
    with telling(Console(file=out, force_terminal=True, width=100)) as tell:
        assert isinstance(tell, Bar)
        tell.begin("replaying calls.audio", 10)
        tell.advance(10)
        tell.say("[equal]")
    assert "[equal]" in out.getvalue()
    assert "10/10" in out.getvalue()


def test_a_file_gets_lines():
    with telling(Console(file=io.StringIO())) as tell:
        assert isinstance(tell, Lines)
