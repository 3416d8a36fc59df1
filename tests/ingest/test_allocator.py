import subprocess
import sys

SCRIPT = """
import resource, sys
from ingest.allocator import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    held = [bytes(3300) for _ in range(1000)]
    return len(bytearray(300_000)), len(held)

for _ in range(5):
    work()
before = faults()
for _ in range(50):
    work()
print(faults() - before)
"""


def faults(mode: str) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_memory_that_was_freed_is_used_again_without_asking_the_system():
    assert faults("kept") * 10 < faults("given back")


def test_the_objects_of_calls_are_freed_by_their_counts_and_looked_at_once_in_a_million():
    script = "import gc; from ingest.allocator import rely_on_counts; rely_on_counts(); print(*gc.get_threshold())"
    young, times, _ = map(int, subprocess.check_output([sys.executable, "-c", script], text=True).split())
    assert young <= 1_000
    assert young * times >= 1_000_000
