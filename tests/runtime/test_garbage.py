"""A task host leaves the objects of a poll to their counts."""

import subprocess
import sys

_TWO_POLLS_ALIVE = """
import gc
from runtime.garbage import collect_seldom

gc.collect()
gc.set_threshold(1_000, 5, 2_000)
collect_seldom()
found = []
gc.callbacks.append(lambda phase, _: found.append(phase))
records = [[number] for number in range(8_000)]
print(len(found))
records += [[number] for number in range(8_000)]
print(found.count("start"), *gc.get_threshold()[1:])
"""


def test_the_records_of_a_poll_start_no_collection_and_objects_that_stay_do() -> None:
    found = subprocess.run([sys.executable, "-c", _TWO_POLLS_ALIVE], capture_output=True, text=True, check=True).stdout
    assert found.splitlines() == ["0", "1 5 2000"]
