import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from audio.stream_time import STEP_CAP_MS, StreamTime


def stamps(*values):
    return np.array(values, np.int64)


def test_steps_back_count_nothing_and_long_steps_count_ten_seconds():
    time = StreamTime()
    advance = time.advance(stamps(5_000, 5_400, 5_100, 5_500, 3_605_500))
    assert advance.stream_ms.tolist() == [0, 400, 400, 500, 500 + STEP_CAP_MS]
    assert (time.max_timestamp_ms, time.now_ms) == (3_605_500, 500 + STEP_CAP_MS)


def test_a_cut_lies_before_each_record_that_lifts_the_maximum_into_a_new_second():
    time = StreamTime()
    assert time.advance(stamps(900, 999, 1_000, 1_500, 950, 2_000)).cuts == [0, 2, 5]
    assert time.advance(stamps(2_999, 3_000)).cuts == [1]


@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=40), st.data())
def test_the_same_records_give_the_same_time_however_they_are_polled(values, data):
    whole = StreamTime().advance(stamps(*values))
    time, stream, cuts, start = StreamTime(), [], [], 0
    while start < len(values):
        stop = data.draw(st.integers(start + 1, len(values)))
        part = time.advance(stamps(*values[start:stop]))
        stream += part.stream_ms.tolist()
        cuts += [start + cut for cut in part.cuts]
        start = stop
    assert stream == whole.stream_ms.tolist()
    assert cuts == whole.cuts
