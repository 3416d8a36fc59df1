"""Keeps freed memory in the process: records and batches come and go many times a second, always about as many bytes.

The C library gives the top of its heap and every large block back to the system as soon as it is free. The same pages
are then asked for again and faulted in one by one, three or four for each message of audio: that took longer than all
that is done with the message.
"""

import ctypes
import gc

KEPT_BYTES = 64 * 2**20
"""So much free memory at the top of the heap is kept; above it the rest is given back."""
_LARGEST_BYTES = 32 * 2**20
"""Blocks up to this size (the largest that may be set) are taken from the heap, not from the system each time."""
_GROWN_BY_BYTES = 4 * 2**20
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Tell the C library so (mallopt(3)); False where it is not glibc, and nothing changes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_TRIM_THRESHOLD, KEPT_BYTES), (_MMAP_THRESHOLD, _LARGEST_BYTES), (_TOP_PAD, _GROWN_BY_BYTES))
    taken = [mallopt(which, value) for which, value in settings]
    return all(taken)


def rely_on_counts() -> None:
    """Collect the youngest objects only, but for once in a million that stay.

    An older generation is that of the calls that are there: to look at it takes 5 to 20 ms each time, and finds
    nothing, for a call that has ended is freed by its counts (`tests/ingest/test_leftovers.py`).
    """
    gc.set_threshold(1_000, 1_000, 10)
