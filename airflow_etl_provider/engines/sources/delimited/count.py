"""Count the records of a delimited file apart from the engine, from its bytes alone.

The count is exact for well-formed files. What DuckDB reads differently from our splitter, or can't
read at all, is noticed here as a hazard, so that such a file takes the splitter's road at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_etl_provider.engines.sources.delimited.bits import (
    BitStream,
    first_one,
    is_set,
    last_one,
    ones,
    pack,
    spread_parity,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_etl_provider.engines.sources.delimited.bits import Bits
    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect

__all__ = ["ByteCount", "body_offset", "count_bytes", "delimiters_outside"]

CHUNK = 2**20
"""Large enough that calling numpy costs nothing beside its work, small enough for a cache."""

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


def count_bytes(
    stream: BinaryIO,
    dialect: ResolvedDialect,
    *,
    body: int,
    stopped: Callable[[], bool] | None = None,
) -> ByteCount:
    """Read a decompressed stream once, from its first byte on.

    :param body: where the records begin (`body_offset`).
    :param stopped: asked now and then; the count of a stream that was not read to its end is wrong.
    """
    import numpy as np

    counter = _Counter(dialect, body=body)
    buffer = bytearray(CHUNK)
    _skip(stream, body)
    while filled := _fill(stream, buffer):
        counter.add(buffer, np.frombuffer(buffer, np.uint8, filled))
        if counter.hazard or (stopped is not None and stopped()):
            break
    return counter.result()


class _Counter:
    """The running count: a bit for each byte and question, 64 of them in a word."""

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
        self._valid = True
        self._cut = b""
        # Before the first byte a line has ended, outside quotes.
        self._feeds = BitStream(before=0b11)
        self._returns, self._marks = BitStream(), BitStream()
        self._white, self._quotes = BitStream(), BitStream()
        self._outside = BitStream(before=0b11)
        self._odd = False
        self._last = b"\n\n"
        self.hazard: str | None = None

    def add(self, buffer: bytearray, chunk: Any) -> None:
        size = len(chunk)
        if buffer.find(b"\0", 0, size) >= 0:
            self.hazard = "NUL characters"
            return
        self._feeds.take(pack(chunk == _LF), size)
        self._marks.take(pack(chunk == self._delimiter), size)
        self._white.take(self._pack_blanks(buffer, chunk), size)
        if not self._take_returns(buffer, chunk):
            self.hazard = "line ends of several kinds"
            return
        quoted = self._take_quotes(buffer, chunk)
        if self._is_blank_line_there(buffer, size):
            self.hazard = "lines of blanks"
        elif quoted and self._are_blanks_beside_quotes():
            self.hazard = "blanks beside quotes"
        elif quoted and self._are_quotes_inside_fields():
            self.hazard = "quotes inside of fields"
        if not self.hazard:
            self._count(size, quoted=quoted)
        if self._valid and not self.hazard:
            self._validate(buffer, size)
        self._last = (self._last + bytes(buffer[max(size - 2, 0) : size]))[-2:]
        self._read += size

    def result(self) -> ByteCount:
        read_any = self._read > self._start
        before, last = self._last
        unfinished = read_any and last != _LF
        if self._odd and not self.hazard:
            self.hazard = "an odd number of quotes"
        elif not self.hazard and last in self._blanks and before == self._quote:
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

    def _pack_blanks(self, buffer: bytearray, chunk: Any) -> Bits:
        found = chunk == self._blanks[0]
        for byte in self._blanks[1:]:
            if buffer.find(byte, 0, len(chunk)) >= 0:
                found |= chunk == byte
        return pack(found)

    def _take_returns(self, buffer: bytearray, chunk: Any) -> bool:
        """Whether a carriage return and a line feed always stand together, or never."""
        size = len(chunk)
        if not self._crlf:
            return buffer.find(b"\r", 0, size) < 0
        self._returns.take(pack(chunk == _CR), size)
        # Every pair is looked at with its second byte in this chunk.
        return not (self._returns.before(1) ^ self._feeds.bits).any()

    def _take_quotes(self, buffer: bytearray, chunk: Any) -> bool:
        """Find what is outside quotes; False where all of it is, and no quote was near."""
        size = len(chunk)
        there = self._quote is not None and buffer.find(self._quote, 0, size) >= 0
        if not there and not self._odd and not self._quotes.carried:
            self._outside.fill(size)
            return False
        quotes = pack(chunk == self._quote)
        self._quotes.take(quotes, size)
        inside, self._odd = spread_parity(quotes, odd=self._odd)
        self._outside.take(~inside, size)
        return True

    def _is_blank_line_there(self, buffer: bytearray, size: int) -> bool:
        if not (self._feeds.before(1) & self._white.bits).any():
            return False
        # At the edges of a chunk the answer may be a wrong yes, which costs time only.
        return any(
            is_set(self._outside.bits, match.start())
            for match in self._blank_line.finditer(buffer, 0, size)
        )

    def _are_blanks_beside_quotes(self) -> bool:
        """Whether blanks outside quotes stand between a quote and the border of a field."""
        white, quotes, outside = self._white, self._quotes, self._outside
        edges = [self._feeds, self._marks, white, *([self._returns] if self._crlf else [])]
        now, then = edges[0].bits, edges[0].before(2)
        for edge in edges[1:]:
            now, then = now | edge.bits, then | edge.before(2)
        near = (quotes.bits & then) | (quotes.before(2) & now)
        return bool((near & white.before(1) & outside.before(1)).any())

    def _are_quotes_inside_fields(self) -> bool:
        """Whether a quote opens elsewhere than at the border of a field or after a quote.

        Such a quote is text and opens nothing: what is outside could not be told any more.
        """
        borders = self._marks.before(1) | self._feeds.before(1) | self._quotes.before(1)
        return bool((self._quotes.bits & ~borders & ~self._outside.bits).any())

    def _count(self, size: int, *, quoted: bool) -> None:
        ends, delimiters = self._feeds.bits, self._marks.bits
        if quoted:
            self._multiline = self._multiline or bool((ends & ~self._outside.bits).any())
            ends = ends & self._outside.bits
            delimiters = delimiters & self._outside.bits
        ended = ones(ends)
        # No record inside of one chunk is that long.
        longest = self._without_end + (first_one(ends) if ended else size)
        if longest > LONG_RECORD:
            self.hazard = "a record of many megabytes"
            return
        self._without_end = size - 1 - last_one(ends) if ended else longest
        self._ends += ended
        self._delimiters += ones(delimiters)
        # A line with nothing but its end; in CRLF files it is two bytes.
        blank = self._feeds.before(1) & (self._returns if self._crlf else self._feeds).bits
        if quoted:
            blank = blank & self._outside.bits
        found = ones(blank)
        if found and self._first_blank is None:
            self._first_blank = self._read + first_one(blank)
        self._blank_lines += found

    def _validate(self, buffer: bytearray, size: int) -> None:
        import pyarrow as pa

        chunk = bytes(memoryview(buffer)[:size])
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
