"""Count the records of a delimited file apart from the engine, from its bytes alone.

The count is exact for well-formed files. What DuckDB reads differently from our splitter, or can't
read at all, is noticed here as a hazard, so that such a file takes the splitter's road at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

if TYPE_CHECKING:
    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect

# Arrays of numpy's, whose own types can't be checked on Python 3.10.
Bytes: TypeAlias = Any
Bits: TypeAlias = Any

__all__ = ["ByteCount", "body_offset", "count_bytes", "delimiters_outside"]

CHUNK = 2**18

LONG_RECORD = 2**21
"""DuckDB gives up longer records, and takes memory beyond its limit for every line in them."""

MANY_REJECTS = 100_000
"""DuckDB holds a kilobyte for each, beyond its limit; the splitter puts them on disk."""

_LF, _CR, _SPACE, _TAB = 10, 13, 32, 9


@dataclass(frozen=True, slots=True)
class ByteCount:
    """What the bytes of one input say.

    :param records: lines of the body that end outside quotes, blank ones apart.
    :param delimiters: delimiters of the body that stand outside quotes.
    :param first_blank: where the first blank line starts, None without any.
    :param multiline: a quoted field spans lines, so a record's number is not its line's.
    :param valid: all bytes are UTF-8.
    :param hazard: why DuckDB must not read this file, None when it may.
    """

    records: int
    delimiters: int
    first_blank: int | None
    multiline: bool
    valid: bool
    size: int
    hazard: str | None


def body_offset(head: bytes, dialect: ResolvedDialect, *, whole: bool) -> int | None:
    """Where the records begin, after byte order mark, preamble and header.

    None where those lines are not so plain that every reader agrees on them: a quote or a blank
    line in the preamble, a header of several lines, or one that the sample does not reach.
    """
    at = dialect.bom
    for number in range(dialect.skip_rows + dialect.header_rows):
        end = head.find(b"\n", at)
        if end < 0 and not whole:
            return None
        line = head[at : len(head) if end < 0 else end]
        quotes = line.count(dialect.quote.encode()) if dialect.quote else 0
        if not line.strip() or quotes % 2 or (quotes and number < dialect.skip_rows):
            return None
        at = len(head) if end < 0 else end + 1
    return at


def delimiters_outside(line: bytes, dialect: ResolvedDialect) -> int | None:
    """Count the delimiters of one line that stand outside quotes; None: a quote is left open."""
    delimiter = dialect.delimiter.encode()
    quote = dialect.quote.encode()
    if not quote or quote not in line:
        return line.count(delimiter)
    parts = line.split(quote)
    if len(parts) % 2 == 0:
        return None
    return sum(part.count(delimiter) for part in parts[::2])


def count_bytes(stream: BinaryIO, dialect: ResolvedDialect, *, body: int) -> ByteCount:
    """Read a decompressed stream once, from its first byte on.

    :param body: where the records begin (`body_offset`).
    """
    import numpy as np

    counter = _Counter(dialect, body=body)
    buffer = bytearray(CHUNK)
    _skip(stream, body)
    while filled := _fill(stream, buffer):
        counter.add(buffer, np.frombuffer(buffer, np.uint8, filled))
        if counter.hazard:
            break
    return counter.result()


class _Counter:
    """The running count; chunks are even in size, except the last."""

    def __init__(self, dialect: ResolvedDialect, *, body: int) -> None:
        self._delimiter = ord(dialect.delimiter)
        self._quote = ord(dialect.quote) if dialect.quote else None
        self._crlf = dialect.newline == "\r\n"
        self._blanks = [byte for byte in (_SPACE, _TAB) if byte != self._delimiter]
        blanks = "".join(re.escape(chr(byte)) for byte in self._blanks)
        self._blank_line = re.compile(f"(?:\\A|\n)[{blanks}]+\r?(?:\n|\\Z)".encode())
        self._read = self._start = body
        self._ends = self._delimiters = self._blank_lines = 0
        self._between = len(dialect.columns) - 1
        self._without_end = 0
        self._first_blank: int | None = None
        self._multiline = False
        self._odd = False
        self._valid = True
        self._cut = b""
        self._tail = b"\n\n"
        self.hazard: str | None = None

    def add(self, buffer: bytearray, chunk: Bytes) -> None:
        import numpy as np

        size = len(chunk)
        window = np.concatenate((np.frombuffer(self._tail, np.uint8), chunk))
        feeds = window == _LF
        outside = self._outside(chunk)
        self._look(buffer, window, feeds, outside)
        if self.hazard:
            return
        ends = _pack(feeds[2:])
        delimiters = _pack(chunk == self._delimiter)
        if outside is not None:
            inner = ends & ~outside
            self._multiline = self._multiline or bool(inner.any())
            ends &= outside
            delimiters &= outside
        ended = _ones(ends)
        self._without_end = 0 if ended else self._without_end + size
        if self._without_end > LONG_RECORD:
            self.hazard = "a record of many megabytes"
            return
        self._ends += ended
        self._delimiters += _ones(delimiters)
        self._find_blank_lines(window, feeds, outside)
        if self._valid:
            self._validate(bytes(buffer[:size]))
        self._tail = window[-2:].tobytes()
        self._read += size

    def result(self) -> ByteCount:
        read_any = self._read > self._start
        unfinished = read_any and self._tail[-1] != _LF
        quote, last, before = self._quote, self._tail[-1], self._tail[-2]
        if self._odd and not self.hazard:
            self.hazard = "an odd number of quotes"
        elif not self.hazard and last in self._blanks and before == quote:
            self.hazard = "blanks beside quotes"
        elif not self.hazard and self._crlf and last == _CR:
            self.hazard = "line ends of several kinds"
        records = self._ends + unfinished - self._blank_lines
        if not self.hazard and abs(self._delimiters - records * self._between) > MANY_REJECTS:
            self.hazard = "many records of another length"
        return ByteCount(
            records=records,
            delimiters=self._delimiters,
            first_blank=self._first_blank,
            multiline=self._multiline,
            valid=self._valid and not self._cut,
            size=self._read,
            hazard=self.hazard,
        )

    def _look(self, buffer: bytearray, window: Bytes, feeds: Bits, outside: Any) -> None:
        size = len(window) - 2
        if buffer.find(b"\0", 0, size) >= 0:
            self.hazard = "NUL characters"
        elif self._returns_differ(buffer, window, feeds):
            self.hazard = "line ends of several kinds"
        elif self._is_blank_line_there(buffer, window, feeds, outside):
            self.hazard = "lines of blanks"
        elif outside is not None and self._are_blanks_beside_quotes(window, outside):
            self.hazard = "blanks beside quotes"
        elif outside is not None and self._are_quotes_inside_fields(window, outside):
            self.hazard = "quotes inside of fields"

    def _are_quotes_inside_fields(self, window: Bytes, outside: Any) -> bool:
        """Whether a quote opens elsewhere than at the border of a field or after a quote.

        Such a quote is text and opens nothing: what is outside could not be told any more.
        """
        if self._quote is None:
            return False
        borders = self._any_of(window[1:-1], self._delimiter, _LF, self._quote)
        strange = (window[2:] == self._quote) & ~borders
        return bool(strange.any()) and bool((_pack(strange) & ~outside).any())

    def _returns_differ(self, buffer: bytearray, window: Bytes, feeds: Bits) -> bool:
        """Whether a carriage return and a line feed do not always stand together, or never."""
        if not self._crlf:
            return buffer.find(b"\r", 0, len(window) - 2) >= 0
        returns = window == _CR
        # Every pair is looked at with its second byte in this chunk.
        return bool((returns[1:-1] != feeds[2:]).any())

    def _is_blank_line_there(
        self, buffer: bytearray, window: Bytes, feeds: Bits, outside: Any
    ) -> bool:
        if not (feeds[1:-1] & self._any_of(window[2:], *self._blanks)).any():
            return False
        # At the edges of a chunk the answer may be a wrong yes, which costs time only.
        return any(
            outside is None or _bit(outside, match.start())
            for match in self._blank_line.finditer(buffer, 0, len(window) - 2)
        )

    def _are_blanks_beside_quotes(self, window: Bytes, outside: Any) -> bool:
        """Whether blanks outside quotes stand between a quote and the border of a field."""
        quotes = window == self._quote
        blanks = self._any_of(window, *self._blanks)
        near = blanks[1:-1] & (quotes[2:] | quotes[:-2])
        if not near.any():
            return False
        at = near.nonzero()[0]
        edges = [_LF, _CR, self._delimiter, *self._blanks]
        opens = quotes[at + 2] & self._any_of(window[at], *edges)
        closes = quotes[at] & self._any_of(window[at + 2], *edges)
        # The blank is byte `at - 1` of the chunk; where that is the chunk before, yes is safe.
        free = (at == 0) | (_bits(outside, (at - 1).clip(0)) != 0)
        return bool(((opens | closes) & free).any())

    def _outside(self, chunk: Bytes) -> Any:
        """Bits that are set outside quotes, packed; None when there is no quote to mind."""
        import numpy as np

        if self._quote is None:
            return None
        quotes = chunk == self._quote
        if not self._odd and not quotes.any():
            return None
        words = _pack(quotes)
        inside, parity = _tables()
        carry: Any = np.empty(len(words) + 1, np.uint16)
        carry[0] = 0xFFFF if self._odd else 0
        np.bitwise_xor.accumulate(parity[words], out=carry[1:])
        if self._odd:
            carry[1:] ^= 0xFFFF
        self._odd = bool(carry[-1])
        return ~(inside[words] ^ carry[:-1])

    def _find_blank_lines(self, window: Bytes, feeds: Bits, outside: Any) -> None:
        """Lines with nothing but their end; in CRLF files it is two bytes."""
        end = window[2:] == _CR if self._crlf else feeds[2:]
        blank = feeds[1:-1] & end
        if not blank.any():
            return
        bits = _pack(blank)
        if outside is not None:
            bits &= outside
        found = _ones(bits)
        if found and self._first_blank is None:
            self._first_blank = self._read + int(blank.argmax())
        self._blank_lines += found

    def _validate(self, chunk: bytes) -> None:
        import pyarrow as pa

        if not self._cut and chunk.isascii():
            return
        data = self._cut + chunk
        end = len(data)
        for back in range(1, min(3, end) + 1):
            byte = data[-back]
            if byte >= 0xC0:
                if back < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4):
                    end -= back
                break
            if byte < 0x80:
                break
        self._cut = data[end:]
        offsets = pa.py_buffer(end.to_bytes(4, "little").rjust(8, b"\0"))
        text = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(data[:end])])
        try:
            text.validate(full=True)
        except pa.ArrowInvalid:
            self._valid = False

    @staticmethod
    def _any_of(values: Bytes, *wanted: int) -> Any:
        found = values == wanted[0]
        for byte in wanted[1:]:
            found = found | (values == byte)
        return found


def _skip(stream: BinaryIO, count: int) -> None:
    if stream.seekable():
        stream.seek(count)
        return
    while count > 0:
        count -= len(stream.read(min(count, CHUNK))) or count


def _fill(stream: BinaryIO, buffer: bytearray) -> int:
    """Fill the buffer as far as the stream goes; a short one is the last."""
    view = memoryview(buffer)
    filled = 0
    while filled < len(buffer):
        got = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not got:
            break
        filled += got
    return filled


def _pack(bits: Bits) -> Any:
    """Bits in words of 16, the first in the lowest place."""
    import numpy as np

    packed = np.packbits(bits, bitorder="little")
    if len(packed) % 2:
        packed = np.append(packed, np.uint8(0))
    return packed.view("<u2")


def _bit(words: Any, at: int) -> bool:
    return bool(words[at >> 4] >> (at & 15) & 1)


def _bits(words: Any, at: Any) -> Any:
    return words[at >> 4] >> (at & 15).astype("uint16") & 1


def _ones(words: Any) -> int:
    return int(_populations()[words].sum(dtype="int64"))


@cache
def _populations() -> Any:
    import numpy as np

    words: Any = np.arange(65536, dtype=np.uint16)
    return sum(((words >> bit) & 1) for bit in range(16)).astype(np.uint8)


@cache
def _tables() -> tuple[Any, Any]:
    """Of every word of quote bits: which places are inside quotes after it, and the parity."""
    import numpy as np

    words: Any = np.arange(65536, dtype=np.uint16)
    inside = words.copy()
    for shift in (1, 2, 4, 8):
        inside ^= inside << shift
    parity = np.where(inside >> 15, 0xFFFF, 0).astype(np.uint16)
    return inside, parity
