"""Numbers of packets that wrap: how far two are apart, and from where on they are those of another count.

The limits are those of RFC 3550, A.1.
"""

from typing import Final

NEVER_WRAPS: Final = 53
"""The width of numbers that only grow: what a double holds exactly."""
MAX_DROPOUT: Final = 3000
"""A number so far ahead is a jump, not a loss."""
MAX_MISORDER: Final = 100
"""A number so far behind is a jump, not disorder, unless it is known to be missing."""


def serial_step(number: int, reference: int, bits: int) -> int:
    """Return how far `number` is ahead of `reference`, from -2^(bits-1) up to 2^(bits-1) - 1; 53 bits never wrap.

    RFC 1982, section 3.2: exact while packets are out of order, or missing in a row, by less than half the range; just
    half of it counts as behind.
    """
    difference = number - reference
    if bits == NEVER_WRAPS:
        return difference
    half = 1 << (bits - 1)
    return (difference + half & (half << 1) - 1) - half


def extend(number: int, highest: int, bits: int) -> int:
    """Return a number as it was sent, without its wraps: the one nearest to `highest`, an extended number itself.

    `number` is taken modulo 2^bits; see `serial_step`.
    """
    return highest + serial_step(number, highest, bits)


def limit(packets: int, bits: int) -> int:
    """Return one of the limits for numbers of this width: never more than half the range."""
    return packets if bits == NEVER_WRAPS else min(packets, 1 << (bits - 1))
