from processors.loss import columns
from processors.loss.session import Session
from processors.loss.state import LossState
from processors.loss.streams import Counted, Stream


def session() -> Session:
    return Session(rate_hz=8000, head=0, begin=0, window_start=0)


def test_each_whole_number_of_the_objects_is_a_column_or_among_the_rest_once():
    stream = (*columns.STREAM.names, *columns.STREAM_REST.names)
    assert len(set(stream)) == len(stream)
    assert {"numbering.restarts", "window.bursts.led", "segment_mark.late", "trend.bad_mos", "run"} <= set(stream)
    assert "row" not in stream
    held = (*columns.SESSION.names, *columns.SESSION_REST.names)
    assert len(set(held)) == len(held)
    assert {"watch.least_us", "total.longest_gap", "paused", "window_us"} <= set(held)


def test_what_is_taken_from_one_object_fills_another():
    for fields, make in ((columns.STREAM_REST, Stream), (columns.SESSION_REST, session), (columns.SESSION, session)):
        item, numbers = make(), list(range(5, 5 + len(fields)))
        fields.fill(item, numbers)
        assert list(fields.numbers(item)) == numbers
    stream = Stream()
    columns.STREAM_REST.fill(stream, range(len(columns.STREAM_REST)))
    assert isinstance(stream.window_mark, Counted)


def test_an_opened_stream_has_its_columns_in_its_fields():
    state = LossState(5)
    state.table._open(b"0" * 16, "c")
    state.fit()
    one = session()
    state.add(0, one)
    stream = state.add_stream(0, one, (1, 7))
    numbers = list(range(1, 1 + len(columns.STREAM)))
    state.streams[:, stream.row] = numbers
    assert list(columns.STREAM.numbers(state.open_stream(0, stream.row))) == numbers
