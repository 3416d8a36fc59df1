import itertools

from hypothesis import given
from hypothesis import strategies as st

from ingest.head import RequestHead

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


@given(st.lists(st.integers(0, len(REQUEST) + 10)))
def test_the_end_is_found_wherever_the_bytes_are_cut(cuts):
    stream = REQUEST + b"more......"
    bounds = [0, *sorted({cut for cut in cuts if cut != len(REQUEST)}), len(stream)]
    head, taken = RequestHead(len(REQUEST)), 0
    for a, b in itertools.pairwise(bounds):
        taken += head.end_in(stream[a:b])
        if taken < b:
            break
    assert taken == len(REQUEST)


@given(st.integers(0, len(REQUEST) - 1))
def test_a_request_may_be_as_long_as_allowed_and_not_a_byte_longer(cut):
    for longest, found in ((len(REQUEST), len(REQUEST) - cut), (len(REQUEST) - 1, None)):
        head = RequestHead(longest)
        assert head.end_in(REQUEST[:cut]) == cut
        assert head.end_in(REQUEST[cut:] + b"more") == found
