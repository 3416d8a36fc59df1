"""The calls we follow, and the lines that carry them (`ingest.line`): one connection each, over all its lives.

A call goes to the line of its source that has most calls and still has room, else to a new line. A line that has no
call left ends. Whatever happens to one line, the others and the sources that call us go on.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol

from ingest.dial import Dial, DialledSource
from ingest.identity import one_spelling
from ingest.line import Line
from ingest.protocol import Call, Ended
from ingest.session import Surroundings
from runtime.errors import ConfigError
from runtime.oauth import TokenSource
from runtime.pace import Pace
from runtime.websocket import Dialer

LONGEST_ID_CHARACTERS = 200
"""Longest conversation id that is followed."""


class Watch(Protocol):
    """Somebody who looks after the conversations that are followed, by whatever sources."""

    def watch(self, conversation_id: str) -> None:
        """A conversation is followed now; it may have been before."""

    def unwatch(self, conversation_id: str) -> None:
        """A conversation is followed by no source any more."""


class Dialling:
    """All calls that the process follows. `token` gives the tokens of every dial, `pace` how fast dials may come.

    Ids of conversations are the same however they are spelled. `watch` is told of each that is followed.
    """

    def __init__(
        self,
        sources: Iterable[DialledSource],
        surroundings: Surroundings,
        token: TokenSource | None,
        pace: Pace | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._sources = {source.name: source for source in sources}
        self._surroundings = surroundings
        self._token = token
        self._pace = pace
        self._watch = watch
        self._lines: dict[str, list[Line]] = {name: [] for name in self._sources}
        self._where: dict[tuple[str, str], Line] = {}
        self._made = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()

    @property
    def followed(self) -> Mapping[tuple[str, str], Call]:
        """The calls that are followed, by source name and conversation id."""
        return {key: line.calls[key[1]] for key, line in self._where.items()}

    def follow(self, source_name: str, call: Call) -> str | None:
        """Follow a call; one that is followed already changes nothing. Return why it cannot be; None: it is."""
        call = replace(call, conversation_id=one_spelling(call.conversation_id))
        key = source_name, call.conversation_id
        if key in self._where:
            return None
        refusal = self.refusal(source_name, call)
        if refusal is None:
            try:
                self._where[key] = self._place(self._sources[source_name], call)
            except ConfigError as error:
                refusal = "; ".join(error.mistakes)
        if refusal is None and self._watch is not None:
            self._watch.watch(call.conversation_id)
        return refusal

    def refusal(self, source_name: str, call: Call) -> str | None:
        """Return what stands against following a call; None where nothing is known to."""
        source = self._sources.get(source_name)
        if source is None:
            return "there is no such source to call"
        if self._stopping.is_set():
            return "the process is stopping"
        if not 0 < len(call.conversation_id) <= LONGEST_ID_CHARACTERS:
            return f"its id is not of 1 to {LONGEST_ID_CHARACTERS} characters"
        if not _is_writable(call):
            return "it holds a text that cannot be written as UTF-8"
        return source.refuse(call)

    def unfollow(self, source_name: str, conversation_id: str, ended: Ended) -> None:
        """End the session of a call and forget it; one that is not followed changes nothing."""
        conversation_id = one_spelling(conversation_id)
        line = self._where.pop((source_name, conversation_id), None)
        if line is not None:
            line.unfollow(conversation_id, ended)
            self._unwatch(conversation_id)

    def end(self, conversation_id: str, ended: Ended) -> None:
        """Unfollow a conversation in every source."""
        for source_name in self._sources:
            self.unfollow(source_name, conversation_id, ended)

    async def run(self) -> None:
        """Keep up what the calls need, until drained."""
        async with asyncio.TaskGroup() as self._tasks:
            for source_name, lines in self._lines.items():
                for line in lines:
                    self._tasks.create_task(self._keep(line, source_name))
            await self._stopping.wait()
        self._tasks = None

    def drain(self) -> None:
        """End all sessions the way their peers expect it; `run` returns within twice the longest close timeout."""
        self._stopping.set()
        for line in self._all():
            line.drain()

    def keep_alive(self) -> None:
        """Let quiet sessions write ALIVE."""
        for line in self._all():
            line.keep_alive()

    def _all(self) -> list[Line]:
        return [line for lines in self._lines.values() for line in lines]

    def _place(self, source: DialledSource, call: Call) -> Line:
        """Give a call to a line. Raises `ConfigError` where its connection cannot be dialled."""
        lines, conversation_id = self._lines[source.name], call.conversation_id
        with_room = [line for line in lines if line.room(conversation_id)] if source.calls_per_connection > 1 else []
        if with_room:
            fullest = max(with_room, key=lambda line: len(line.calls))
            fullest.follow(call)
            return fullest
        self._made += 1
        name = str(self._made) if source.calls_per_connection > 1 else conversation_id
        over = partial(self._forget, source.name)
        line = Line(source, name, call, self._surroundings, make_dialer=self._dialer, over=over)
        lines.append(line)
        if self._tasks is not None:
            self._tasks.create_task(self._keep(line, source.name))
        return line

    def _dialer(self, dial: Dial) -> Dialer:
        return Dialer(
            dial.source_name,
            dial.url,
            dial.policy,
            self._surroundings.clock,
            token=self._token if dial.bearer or dial.wants_token else None,
            bearer=dial.bearer,
            pace=self._pace,
            claim=dial.claim,
        )

    async def _keep(self, line: Line, source_name: str) -> None:
        """Run a line to its end, then forget it and what it still carries."""
        try:
            await line.run()
        except Exception:
            self._surroundings.log.exception("a line failed; its calls are no longer followed", source=source_name)
        finally:
            self._lines[source_name].remove(line)
            for conversation_id in line.calls:
                self._forget(source_name, conversation_id)

    def _forget(self, source_name: str, conversation_id: str) -> None:
        """Take a call as no longer followed. A line tells it before anybody can have it followed again."""
        self._where.pop((source_name, conversation_id), None)
        self._unwatch(conversation_id)

    def _unwatch(self, conversation_id: str) -> None:
        """Say so where no source follows a conversation any more."""
        if self._watch is not None and not any(followed == conversation_id for _, followed in self._where):
            self._watch.unwatch(conversation_id)


def _is_writable(call: Call) -> bool:
    """Tell whether the texts of a call can stand in records and URLs: one that cannot would fail with its line."""
    optional = (call.connection_id, call.organisation, call.queue, call.agent)
    texts = (call.conversation_id, *filter(None, optional), *call.codecs, *call.parameters, *call.parameters.values())
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True
