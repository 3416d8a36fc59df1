"""What a broker would hold of one partition: a checkpoint and a changelog in one, which a test can hang or break."""

import asyncio


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

    async def open(self, *_args) -> "CommittedLog":
        return self

    async def read(self, *_args):
        return self.entry

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
