from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.spool.journal import Entry, Mark, Reading, Standing, begin, done, opened, stands
from ingest.spool.segments import Stored
from schemas.symbols import Source

RUN, OTHER = UUID(int=1), UUID(int=2)
whole = st.integers(-1, 2**53)
standings = st.builds(
    Standing,
    st.uuids(),
    st.text(max_size=20),
    st.sampled_from(Source),
    st.integers(1, 48_000),
    st.floats(0, 4e9),
    st.text(max_size=9),
    st.none() | st.text(max_size=9),
    st.none() | st.text(max_size=9),
    st.none() | st.text(max_size=9),
)
marks = st.builds(Mark, whole, whole, whole, whole, whole)


def standing(number: int) -> Standing:
    return Standing(UUID(int=number), f"call {number}", Source.AUDIOHOOK, 8000)


def read(*files: list[Stored]) -> dict[UUID, Entry]:
    reading = Reading()
    for file in files:
        reading.take(file)
    assert not reading.unreadable
    return reading.entries


@given(standing=standings, mark=marks)
def test_a_session_is_read_as_it_was_written(standing, mark):
    assert read([begin(RUN), opened(standing)]) == {standing.session: Entry(standing, Mark())}
    entries = [begin(RUN), opened(standing), stands(standing.session, Mark()), stands(standing.session, mark)]
    assert read(entries) == {standing.session: Entry(standing, mark)}
    assert read([*entries, done(standing.session)]) == {}


def test_a_later_file_of_the_same_run_says_everything_anew_and_one_of_another_adds_to_it():
    first = [begin(RUN), opened(standing(1)), opened(standing(2))]
    assert set(read(first, [begin(RUN), opened(standing(2))])) == {UUID(int=2)}
    assert set(read(first, [begin(OTHER), opened(standing(3))])) == {UUID(int=n) for n in (1, 2, 3)}


@pytest.mark.parametrize(
    "bad",
    [
        Stored(b"O", b"{}"),
        Stored(b"O", b"\xff"),
        Stored(b"S", b"short"),
        stands(UUID(int=9), Mark()),
        done(UUID(int=9)),
        Stored(b"D", b""),
        Stored(b"?", b""),
        Stored(None, b""),
    ],
)
def test_an_entry_that_cannot_be_read_is_counted_and_the_others_stand(bad):
    reading = Reading()
    reading.take([begin(RUN), opened(standing(1)), bad, opened(standing(2))])
    assert reading.unreadable == 1
    assert set(reading.entries) == {UUID(int=1), UUID(int=2)}
