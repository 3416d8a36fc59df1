"""How often a task host looks for unused cycles of objects."""

import gc


def collect_seldom() -> None:
    """Look at new objects when ten thousand of them are alive, in place of a thousand.

    A poll is two thousand records, and its outputs wait for their commit; all of them are freed by their counts. To
    walk over them twice a poll finds nothing and took a twentieth of the processor time. A collection of ten thousand
    holds the loop for some milliseconds, less than a step does, and nobody waits for an answer of this process.
    """
    gc.set_threshold(10_000, *gc.get_threshold()[1:])
