"""What a broker would hold of one partition: a checkpoint and a changelog in one, which a test can hang or break."""

import asyncio

from runtime.checkpoint import Restored


class CommittedLog:
    """`Checkpoint` and `ChangelogReader` in one: no commit ends while `hang` is clear, `fail` makes the next fail."""

    def __init__(self) -> None:
        self.entry = None
        self.outputs: list = []
        self.hang = asyncio.Event()
        self.hang.set()
        self.fail: Exception | None = None
        self.committing = 0
        self.closed = 0
        self.first, self.end = 0, 10**6
        self.oldest: tuple[int, int] | None = None
        self.reached: int | None = None

    async def open(self, *_args) -> "CommittedLog":
        return self

    async def read(self, *_args) -> Restored:
        return Restored(self.entry, -1 if self.entry is None else self.committing)

    async def first_since(self, _tp, timestamp_ms: int) -> tuple[int, int] | None:
        return self.oldest or (self.first, timestamp_ms)

    async def group_offset(self, _tp) -> int | None:
        return self.reached

    async def bounds(self, _tp) -> tuple[int, int]:
        return self.first, self.end

    async def commit(self, frozen, _deadline_s, _before) -> None:
        self.committing += 1
        await self.hang.wait()
        fail, self.fail = self.fail, None
        if fail is not None:
            raise fail
        self.entry = frozen.entry
        self.outputs.extend(frozen.outputs)

    async def close(self) -> None:
        self.closed += 1
