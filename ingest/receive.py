"""What a socket delivers → whole messages of audio, and the rest for the WebSocket machine. Pure.

Audio comes in one shape: a binary message in one masked frame. Taking it apart here costs a fraction of what the
library's machine does with it, and everything else goes to that machine, byte by byte as it came: control frames,
texts, fragments, and whatever is wrong. So what is legal, and how a connection ends, is decided in one place only. The
machine gets whole frames, until one is wrong; from there on it gets all.
"""

from collections.abc import Callable
from typing import Protocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # pragma: no cover - a platform without the compiled part
    from websockets.utils import apply_mask

_BINARY_MESSAGE = 0x82
"""The first byte of a binary message in one frame: FIN, no reserved bit, opcode 2."""
_FIN, _RESERVED, _MASKED, _SIZE = 0x80, 0x70, 0x80, 0x7F
_CONTROL, _OPCODE = 0x08, 0x0F
_OPCODES = frozenset({0x0, 0x1, 0x2, 0x8, 0x9, 0xA})
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_MASK_BYTES = 4


class Hearer(Protocol):
    """Who takes messages in the callback that read them: no task wakes for them."""

    def hear(self, data: bytes) -> bool:
        """Take a binary message, or return False where it must be received."""

    def hear_text(self, text: str, say: Callable[[str], bool]) -> bool:
        """Take a text, or return False where it must be received. `say` answers; False: that would have to wait."""


class FrameSplitter:
    """Cuts what is fed at the ends of frames.

    Once `loose` all bytes that follow are the rest's, as they come. Whoever is fed may set it; a frame longer than
    `longest_bytes` does too: the machine refuses such a frame by its header, so nothing of it is kept here.
    """

    def __init__(self, longest_bytes: int) -> None:
        self.loose = False
        self._longest_bytes = longest_bytes
        self._kept = bytearray()
        self._needed_bytes = 0
        self._in_fragments = False

    def feed(self, data: memoryview, heard: Callable[[bytes], None], rest: Callable[[memoryview], None]) -> None:
        """Give each audio message, unmasked, to `heard` and the bytes of the others to `rest`; keep none of `data`."""
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed_bytes:
                return
            data, self._kept = memoryview(self._kept), bytearray()
        start, end = 0, len(data)
        while start < end and not self.loose:
            needed = self._frame_bytes(data, start, end)
            if start + needed > end:
                self._needed_bytes = needed
                self._kept += data[start:]
                return
            if needed:
                frame = data[start : start + needed]
                start += needed
                if self._is_audio(frame[0]):
                    size = frame[1] & _SIZE
                    head = 2 if size < _TWO_BYTES else 4 if size == _TWO_BYTES else 10
                    heard(apply_mask(frame[head + _MASK_BYTES :], bytes(frame[head : head + _MASK_BYTES])))
                else:
                    rest(frame)
        if start < end:
            rest(data[start:])

    def _frame_bytes(self, data: memoryview, start: int, end: int) -> int:
        """Return how long the frame is, or how much must be there to tell; 0 where it is wrong, then `loose` is set."""
        if end - start < 2:  # noqa: PLR2004 - first byte and size
            return 2
        first, second = data[start], data[start + 1]
        # of these the machine takes offence as soon as both bytes are there
        if not second & _MASKED or first & _RESERVED or first & _OPCODE not in _OPCODES:
            self.loose = True
            return 0
        size = second & _SIZE
        head = 2
        if size == _TWO_BYTES:
            head = 4
        elif size == _EIGHT_BYTES:
            head = 10
        if head > 2:  # noqa: PLR2004
            if end - start < head:
                return head
            size = int.from_bytes(data[start + 2 : start + head], "big")
        if size > self._longest_bytes:
            self.loose = True
            return 0
        return head + _MASK_BYTES + size

    def _is_audio(self, first: int) -> bool:
        """Tell whether a frame is a whole message of audio; else note whether it leaves a message in fragments open."""
        if first == _BINARY_MESSAGE:
            return not self._in_fragments
        if not first & _CONTROL:
            self._in_fragments = not first & _FIN
        return False
