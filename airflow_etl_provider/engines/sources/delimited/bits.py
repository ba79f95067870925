"""A bit for each byte of a stream, 64 in a word, so that a question costs a sixty-fourth.

The method of simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019), with
numpy's operations on whole arrays in place of vector instructions.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias

__all__ = ["BitStream", "Bits", "first_one", "is_set", "last_one", "ones", "pack", "spread_parity"]

# An array of numpy's, whose own types can't be checked on Python 3.10.
Bits: TypeAlias = Any


class BitStream:
    """The bits of the present chunk, and the last two of the chunk before it.

    :param before: those two in the beginning, the latest in the lowest place.
    """

    def __init__(self, *, before: int = 0) -> None:
        self._before = self._last = before
        self.bits: Bits = None

    @property
    def carried(self) -> bool:
        """Whether the chunk taken last ends with a bit that the next one has to know."""
        return self._last != 0

    def take(self, bits: Bits, size: int) -> None:
        """Go on to the next chunk of `size` bytes."""
        self._before = self._last
        self.bits = bits
        last = 0
        for at in (size - 2, size - 1):
            bit = is_set(bits, at) if at >= 0 else self._before & 1
            last = last << 1 | int(bit)
        self._last = last

    def fill(self, size: int) -> None:
        """Go on to a chunk whose bits are all set."""
        import numpy as np

        self.take(np.full((size + 63) // 64, 0xFFFF_FFFF_FFFF_FFFF, np.uint64), size)

    def before(self, count: int) -> Bits:
        """For each byte the bit of the byte `count` (1 or 2) before it."""
        import numpy as np

        moved = self.bits << np.uint64(count)
        moved[1:] |= self.bits[:-1] >> np.uint64(64 - count)
        # Of two carried bits the older one belongs to the first byte.
        first = self._before & 1 if count == 1 else (self._before >> 1) | (self._before & 1) << 1
        moved[0] |= np.uint64(first)
        return moved


def pack(flags: Any) -> Bits:
    """Pack an array of bool, the first into the lowest place; the rest of the last word is 0."""
    import numpy as np

    packed = np.packbits(flags, bitorder="little")
    if over := len(packed) % 8:
        packed = np.append(packed, np.zeros(8 - over, np.uint8))
    return packed.view("<u8")


def is_set(bits: Bits, at: int) -> bool:
    """Whether the bit of byte `at` is set."""
    return bool(int(bits[at >> 6]) >> (at & 63) & 1)


def first_one(bits: Bits) -> int:
    """The place of the first bit that is set; there must be one."""
    word = int((bits != 0).argmax())
    value = int(bits[word])
    return word * 64 + (value & -value).bit_length() - 1


def last_one(bits: Bits) -> int:
    """The place of the last bit that is set; there must be one."""
    word = len(bits) - 1 - int((bits[::-1] != 0).argmax())
    return word * 64 + int(bits[word]).bit_length() - 1


def ones(bits: Bits) -> int:
    """How many bits are set."""
    import numpy as np

    if hasattr(np, "bitwise_count"):
        return int(np.bitwise_count(bits).sum(dtype=np.int64))
    return int(_populations()[bits.view(np.uint16)].sum(dtype=np.int64))


def spread_parity(bits: Bits, *, odd: bool) -> tuple[Bits, bool]:
    """For each place whether an odd number of bits is set up to and with it.

    :param odd: whether the number before the first place is odd.
    :return: the bits, and the parity at their end.
    """
    import numpy as np

    spread = bits.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        spread ^= spread << np.uint64(shift)
    ends = (spread >> np.uint64(63)).astype(np.uint8)
    carry: Any = np.empty(len(ends) + 1, np.uint8)
    carry[0] = odd
    np.bitwise_xor.accumulate(ends, out=carry[1:])
    carry[1:] ^= np.uint8(odd)
    spread ^= np.uint64(0) - carry[:-1].astype(np.uint64)
    return spread, bool(carry[-1])


@cache
def _populations() -> Any:
    import numpy as np

    words: Any = np.arange(65536, dtype=np.uint16)
    return sum(((words >> bit) & 1) for bit in range(16)).astype(np.uint8)
