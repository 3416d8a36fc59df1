from collections import Counter
from uuid import UUID

import pytest

from callstream.replay.look_back import Sighting
from callstream.replay.run import Order, Result, _check_inputs, _Opened, _outcome, _parts, _summary
from callstream.replay.span import Span, Wanted
from runtime.errors import ConfigError
from tests.callstream.replay.logs import LogRecord, session


def test_a_session_opened_in_the_stretch_when_its_first_record_stands_there_and_none_before():
    opened = _Opened()
    opened.note(Sighting(frozenset({session(1)}), frozenset()), inside=False)
    opened.note(Sighting(frozenset({session(1), session(2), b"x"}), frozenset({session(1), b"x"})), inside=True)
    opened.note(Sighting(frozenset({session(3)}), frozenset({session(3)})), inside=True)
    assert opened.without_beginning == 1
    assert opened.of_the_stretch == {"x", str(UUID(bytes=session(3)))}


def test_polls_are_cut_where_outputs_begin_to_count():
    records = [LogRecord(offset, 0, None, b"") for offset in range(5, 10)]
    assert [len(part) for part in _parts(records, 7)] == [2, 3]
    assert [len(part) for part in _parts(records, 5)] == [5]
    assert [len(part) for part in _parts(records, 20)] == [5]


def test_offsets_belong_to_one_topic():
    order = Order(("silence", "transcription"), "one", Wanted(firsts=((0, 1),)))
    with pytest.raises(ConfigError, match=r"calls\.audio and calls\.events"):
        _check_inputs(["calls.audio", "calls.events"], order)
    _check_inputs(["calls.audio"], order)


def test_a_conversation_is_a_key():
    assert Order((), "n").keeps(None)
    assert Order((), "n", conversation="c").keeps(b"c")
    assert not Order((), "n", conversation="c").keeps(b"d")
    assert Order(("a", "b"), "n", conversation="c").details["conversation"] == "c"
    assert Order((), "n").prefix == "replay.n."


def test_what_came_of_it_is_told():
    assert _outcome(Result(3, Counter(a=1, b=2))) == {"records": "3", "outputs": "3"}
    assert _outcome(Result(equal=False))["compared"] == "different"
    assert _outcome(Result(equal=True))["compared"] == "equal"
    told = _summary("calls.audio", [Span("calls.audio", 0, 3, 10, 30, 0)])
    assert told == "calls.audio: 20 records in 1 partitions, 7 before them to learn from"
