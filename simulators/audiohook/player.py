"""Plays one call over an open socket: the only sender, so texts and frames leave in the order the protocol made them.

Frames are due at absolute times, computed from the position; nothing adds up. The protocol's deadlines have a timer of
their own, so that a server which stops reading is still noticed.
"""

import asyncio
import contextlib
import struct
from collections.abc import Callable
from typing import BinaryIO, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from simulators.audiohook import clock
from simulators.audiohook.call import Call
from simulators.audiohook.messages import RATE_HZ
from simulators.audiohook.protocol import ClientProtocol, Phase
from simulators.audiohook.report import CallReport
from simulators.audiohook.scenario import (
    SAMPLES_PER_MS,
    Action,
    Close,
    Discard,
    Drop,
    Dtmf,
    Frame,
    Leak,
    Pause,
    Stall,
    Transcript,
    Update,
)

LAST_WORDS_S: Final = 1.0
YIELD_FRAMES: Final = 8


class Player:
    """One call's driver. `play` runs to the end; the reader hands in what arrives through `take_*`."""

    def __init__(
        self,
        connection: ClientConnection,
        call: Call,
        report: CallReport,
        digest: Callable[[bytes], object],
        record: BinaryIO | None,
    ) -> None:
        """Begin the session: `open` waits to be sent."""
        now_s = clock.now_s()
        self._connection = connection
        self._call = call
        self._report = report
        self._digest = digest
        self._record = record
        self.on_text: Callable[[Call, str], None] | None = None
        self._samples_per_s = RATE_HZ * call.speed
        self._protocol = ClientProtocol(
            str(call.session_id), call.open_parameters(), call.media_offers(), now_s, self._samples_per_s
        )
        self._loop = asyncio.get_running_loop()
        self._begun_s = now_s
        self._base_s = now_s
        self._stalled_until_s = now_s
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s: float | None = None
        self._watch()

    # --- what the reader hands in

    def take_text(self, text: str) -> None:
        """Take a text message."""
        now_s = clock.now_s()
        opening = self._protocol.phase is Phase.OPENING
        self._protocol.receive_text(text, now_s)
        if opening and self._protocol.phase in {Phase.ACTIVE, Phase.PAUSED}:
            self._report.opened_ms = round((now_s - self._begun_s) * 1e3, 3)
            self._base_s = now_s
        self._wake()

    def take_binary(self) -> None:
        """Take a binary message."""
        self._protocol.receive_binary(clock.now_s())
        self._wake()

    def take_loss(self) -> None:
        """Take the news that the socket is gone."""
        self._protocol.connection_lost()
        self._wake()

    # --- the call

    async def play(self) -> None:
        """Send everything, close, and fill the report."""
        try:
            await self._play_through()
            await self._see_out()
        except ConnectionClosed:
            self._protocol.connection_lost()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._connection.transport.abort()
            self._conclude()

    async def _play_through(self) -> None:
        while self._protocol.phase is Phase.OPENING:
            await self._flush()
            if self._protocol.phase is Phase.OPENING:
                await self._sleep(None)
        if self._protocol.phase not in {Phase.ACTIVE, Phase.PAUSED}:
            return
        media = self._protocol.media
        self._report.media = media.channels if media else ()
        if not self._call.probe:
            await self._obey_discard_to()
            if not await self._play_steps(media.channels if media else self._call.scenario.audio.channels):
                return
        self._protocol.close("end", clock.now_s())

    async def _play_steps(self, channels: tuple[str, ...]) -> bool:
        for step in self._call.scenario.steps(channels):
            if isinstance(step, Frame):
                if not await self._reach(0):
                    return False
                await self._send(step)
            elif not await self._act(step):
                return False
        return await self._reach(0)

    async def _obey_discard_to(self) -> None:
        # what lies before the last frame boundary up to `discardTo` is announced as discarded; the source itself waits
        frame = self._call.scenario.frame_ms * SAMPLES_PER_MS
        samples = int(self._protocol.discard_to_s * RATE_HZ) // frame * frame
        if samples > 0 and await self._reach(0):
            self._note("discardTo", {"duration_samples": samples})
            self._protocol.discard(samples, clock.now_s())
            self._base_s -= 0.0 if self._samples_per_s == 0 else samples / self._samples_per_s

    async def _send(self, frame: Frame) -> None:
        now_s = clock.now_s()
        due_s = max(self._due_s(0), self._stalled_until_s)
        self._protocol.audio_sent(frame.samples)
        if self._protocol.media is None:
            return
        await self._connection.send(frame.payload)
        self._digest(frame.payload)
        self._report.count_frame(len(frame.payload), frame.samples)
        if self._samples_per_s:
            self._report.lateness.add(now_s - due_s)
        if self._record is not None:
            self._record.write(struct.pack("<I", len(frame.payload)) + frame.payload)
        if self._samples_per_s == 0 and self._report.frames_sent % YIELD_FRAMES == 0:
            await asyncio.sleep(0)

    async def _act(self, action: Action) -> bool:
        ahead = action.duration_samples if isinstance(action, Discard) else 0
        if not await self._reach(0):
            return False
        self._note(type(action).__name__.lower(), _details(action))
        if not await self._reach(ahead):
            return False
        now_s = clock.now_s()
        match action:
            case Pause():
                await self._pause(action)
            case Discard():
                self._protocol.discard(action.duration_samples, now_s)
            case Stall():
                await self._stall(action)
            case Dtmf() | Transcript() | Update():
                self._tell(action, now_s)
            case Close():
                self._protocol.close(action.reason, now_s)
            case Drop():
                await self._drop()
        return True

    def _tell(self, action: Dtmf | Transcript | Update, now_s: float) -> None:
        match action:
            case Dtmf():
                self._protocol.dtmf(action.digit, now_s)
            case Transcript():
                self._recognise(action.text)
            case Update():
                self._protocol.update(action.language, now_s)

    async def _pause(self, pause: Pause) -> None:
        until_s = self._due_s(pause.duration_samples)
        leak_s = self._due_s(pause.duration_samples // 2)
        leak = pause.leak
        self._protocol.pause(clock.now_s(), pause.duration_samples)
        while self._protocol.phase is Phase.PAUSED:
            await self._flush()
            now_s = clock.now_s()
            if leak is not None and now_s >= leak_s:
                await self._leak(leak)
                leak = None
            elif now_s >= until_s and not self._protocol.server_pause:
                self._protocol.resume(pause.duration_samples, now_s)
            elif leak is not None:
                await self._sleep(leak_s)
            else:
                await self._sleep(until_s if now_s < until_s else None)

    async def _leak(self, leak: Leak) -> None:
        """Send what must not be sent now. It moves no position and stands in no digest."""
        media = self._protocol.media
        if media is not None:
            payload = leak.audio.select(media.channels)
            size = self._call.scenario.frame_ms * SAMPLES_PER_MS * len(media.channels)
            for start in range(0, len(payload), size):
                await self._connection.send(payload[start : start + size])
                self._report.leaked_frames += 1
        for digit in leak.digits:
            self._protocol.dtmf(digit, clock.now_s())
            self._report.leaked_digits += 1
        for text in leak.texts:
            self._recognise(text)
        self._note("leak", {"digits": leak.digits})

    def _recognise(self, text: str) -> None:
        if self.on_text is not None:
            self.on_text(self._call, text)

    async def _stall(self, stall: Stall) -> None:
        await self._flush()
        if self._samples_per_s:
            self._stalled_until_s = clock.now_s() + stall.duration_samples / self._samples_per_s
        while clock.now_s() < self._stalled_until_s and not self._is_over():
            await self._sleep(self._stalled_until_s)
        self._on_timer()

    async def _drop(self) -> None:
        while self._connection.transport.get_write_buffer_size() > 0:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        self._report.outcome = "dropped"
        self._connection.transport.abort()
        self._protocol.connection_lost()

    async def _see_out(self) -> None:
        while not self._is_over():
            await self._flush()
            if not self._is_over():
                await self._sleep(None)
        await self._flush()
        if not self._protocol.drop_socket and self._report.outcome != "dropped":
            # the platform closes without a status; `close()` of the library always sends one
            async with self._connection.send_context():
                self._connection.protocol.send_close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._connection.wait_closed()

    def _conclude(self) -> None:
        protocol, report = self._protocol, self._report
        if report.outcome == "running":
            report.outcome = "lost" if protocol.end is None else protocol.end.value
        report.disconnect_reason = protocol.disconnect_reason
        report.faults = [{"code": fault.code, "message": fault.message} for fault in protocol.faults]
        report.position_samples = protocol.position_samples(clock.now_s())
        for seconds in protocol.round_trips_s:
            report.round_trips.add(seconds)

    def _note(self, kind: str, details: dict[str, object]) -> None:
        position = self._protocol.position_samples(clock.now_s())
        self._report.actions.append({"type": kind, "position_samples": position} | details)

    def _is_over(self) -> bool:
        return self._protocol.phase is Phase.ENDED

    # --- time

    def _due_s(self, ahead_samples: int) -> float:
        if self._samples_per_s == 0:
            return self._base_s
        position = self._protocol.position_samples(self._base_s) + ahead_samples
        return self._base_s + position / self._samples_per_s

    async def _reach(self, ahead_samples: int) -> bool:
        """Wait until the position plus `ahead_samples` is due and the server holds no pause; False at an end."""
        while True:
            if self._protocol.outgoing:
                await self._flush()
            if self._protocol.phase is Phase.ACTIVE:
                due_s = self._due_s(ahead_samples)
                if clock.now_s() >= due_s:
                    return True
                await self._sleep(due_s)
            elif self._protocol.phase is not Phase.PAUSED:
                return False
            elif self._protocol.server_pause:
                await self._sleep(None)
            else:
                self._protocol.resume(0, clock.now_s())

    async def _flush(self) -> None:
        self._watch()
        while self._protocol.outgoing:
            await self._connection.send(self._protocol.outgoing.popleft())

    async def _sleep(self, until_s: float | None) -> None:
        """Sleep until a time or until something arrived."""
        waiter = self._waiter = self._loop.create_future()
        timer = None if until_s is None else self._loop.call_at(until_s, _release, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        self._watch()
        if self._waiter is not None:
            _release(self._waiter)

    def _watch(self) -> None:
        """Keep one timer on the protocol's deadline."""
        deadline_s = self._protocol.deadline_s
        if deadline_s != self._timer_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None if deadline_s is None else self._loop.call_at(deadline_s, self._on_timer)
            self._timer_s = deadline_s

    def _on_timer(self) -> None:
        now_s = clock.now_s()
        if now_s < self._stalled_until_s:
            return  # nothing leaves during a stall, pings neither; its end looks here again
        self._timer_s = None
        self._protocol.tick(now_s)
        if self._protocol.drop_socket:
            self._loop.call_later(LAST_WORDS_S, self._connection.transport.abort)
        self._wake()


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _details(action: Action) -> dict[str, object]:
    details: dict[str, object] = {"source_samples": action.at_samples}
    names = ("duration_samples", "skips", "digit", "text", "language", "reason")
    return details | {name: getattr(action, name) for name in names if hasattr(action, name)}
