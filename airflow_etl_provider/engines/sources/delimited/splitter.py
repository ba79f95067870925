"""A reader for dirty delimited files that loses nothing: it resynchronises where quoting breaks.

Every physical line of the input is part of the preamble, the header, a blank or comment line, a
record, or a rejected record, and of exactly one of them. `docs/delimited-files.md` says what is
which; `tests/reference/slow_reader.py` is the same thing written for clarity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from airflow_etl_provider.engines.arrow_values import array_of
from airflow_etl_provider.engines.sources.delimited.dialect import MAX_RECORD_BYTES
from airflow_etl_provider.engines.sources.delimited.grammar import RecordParser
from airflow_etl_provider.engines.sources.delimited.lines import LineReader, Lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect

__all__ = ["Broken", "Record", "SplitBatch", "split_batches", "split_records"]

BLOCK_BYTES = 2**20
"""Read at once; a record that is still open at the end of what is there doubles it."""

MOST_BLOCK_BYTES = 4 * 2**20

STEP_LINES = 4_000
"""Parsed at once, so that many short lines don't turn into many small objects."""

MAX_RECORD_LINES = 600_000
"""Lines that a record may have, for the same reason; one more and it is `too_long`."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record with the right number of fields.

    :param number: from 1, rejected records counted; header, blank and comment lines are no records.
    :param line: physical line where it starts, from 1.
    :param offset: where it starts in the decompressed stream, byte order mark included.
    :param raw: its bytes, line terminator included.
    :param fields: None is an unquoted null value; a quoted one stays text.
    """

    number: int
    line: int
    offset: int
    raw: bytes
    fields: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Broken:
    """One rejected record.

    :param code: `wrong_field_count`, `broken_quote`, `bad_encoding`, `too_long` or
        `repeated_header`.
    :param raw: its bytes as they stand in the file, terminator included; when `size` is larger, the
        beginning of them.
    """

    number: int
    line: int
    offset: int
    size: int
    raw: bytes
    code: str
    message: str


class SplitBatch(NamedTuple):
    """Rows that are fine, the record number of each, and what was rejected on the way."""

    batch: pa.RecordBatch
    numbers: Sequence[int]
    broken: list[Broken]


@dataclass(slots=True)
class _Parsed:
    """What came of a stretch of lines: rows and rejects, in parallel lists."""

    rows: list[Sequence[str | None]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    size: int = 0


def split_records(
    chunks: Iterator[bytes],
    dialect: ResolvedDialect,
    *,
    max_record_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[Record | Broken]:
    """Read a stream record by record, in file order.

    :param chunks: the decompressed bytes of the file, from its first byte on.
    """
    splitter = _Splitter(chunks, dialect, max_record_bytes=max_record_bytes)
    while (parsed := splitter.step()) is not None:
        lines, base_line, base_offset = splitter.lines, splitter.line, splitter.offset
        broken = iter(parsed.broken)
        bad = next(broken, None)
        offset, at = base_offset, 0
        spans = parsed.spans or [(i, i + 1) for i in range(len(parsed.rows))]
        for fields, number, (start, end) in zip(parsed.rows, parsed.numbers, spans, strict=True):
            while bad is not None and bad.number < number:
                yield bad
                bad = next(broken, None)
            offset += sum(lines.size(i) for i in range(at, start))
            at = start
            raw = lines.raws[start] if end == start + 1 else b"".join(lines.raws[start:end])
            yield Record(number, base_line + start, offset, raw, fields)
        while bad is not None:
            yield bad
            bad = next(broken, None)
        splitter.advance(parsed.size)


def split_batches(
    chunks: Iterator[bytes],
    dialect: ResolvedDialect,
    *,
    rows: int = 10_000,
    batch_bytes: int = 8 * 2**20,
    max_record_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[SplitBatch]:
    """Read a stream into Arrow batches of text columns named as `dialect.columns`.

    A batch ends at `rows` rows, or where the bytes read for it pass `batch_bytes`.
    """
    import pyarrow as pa

    schema = pa.schema([pa.field(name, pa.string()) for name in dialect.columns])
    splitter = _Splitter(chunks, dialect, max_record_bytes=max_record_bytes)
    held: list[Sequence[str | None]] = []
    numbers: list[int] = []
    broken: list[Broken] = []
    held_bytes = 0

    def batch(count: int) -> SplitBatch:
        nonlocal held, numbers, broken
        taken, held = held[:count], held[count:]
        columns = zip(*taken, strict=True) if taken else ([] for _ in dialect.columns)
        arrays = [array_of(column, pa.string()) for column in columns]
        made = pa.RecordBatch.from_arrays(arrays, schema=schema)
        kept, numbers = numbers[:count], numbers[count:]
        until = kept[-1] if kept and held else None
        now = broken if until is None else [bad for bad in broken if bad.number < until]
        broken = [] if until is None else [bad for bad in broken if bad.number > until]
        return SplitBatch(made, kept, now)

    while (parsed := splitter.step()) is not None:
        held += parsed.rows
        numbers += parsed.numbers
        broken += parsed.broken
        held_bytes += sum(map(len, splitter.lines.raws[: parsed.size]))
        splitter.advance(parsed.size)
        while len(held) >= rows:
            yield batch(rows)
            held_bytes = 0
        if held_bytes >= batch_bytes or len(broken) >= rows:
            yield batch(len(held))
            held_bytes = 0
    if held or broken:
        yield batch(len(held))


class _Splitter:
    """The state of one reading: lines at hand, where they stand, what is expected next."""

    def __init__(
        self, chunks: Iterator[bytes], dialect: ResolvedDialect, *, max_record_bytes: int
    ) -> None:
        self._reader = LineReader(
            chunks,
            encoding=dialect.encoding,
            bom=dialect.bom,
            newline=dialect.newline,
            max_line=max_record_bytes,
        )
        self._parser = RecordParser(dialect, separator=self._reader.separator)
        self._dialect = dialect
        self._width = len(dialect.columns)
        self._max = max_record_bytes
        self._preamble = dialect.skip_rows
        self._headers = dialect.header_rows
        self._header: list[list[str | None]] = []
        self._lost = False
        self._number = 0
        self._hungry = False
        self._rejected_offset = self._rejected_line = 0
        self.lines = Lines()
        self.line = 1
        self.offset = dialect.bom

    def step(self) -> _Parsed | None:
        """Parse the lines at hand, reading more first where needed; None at the end."""
        if not self.lines.texts or self._hungry:
            have = sum(map(len, self.lines.raws))
            more = self._reader.read(min(max(BLOCK_BYTES, have), MOST_BLOCK_BYTES))
            self._hungry = False
            if not more.texts and not self.lines.texts:
                return None
            self.lines.extend(more)
        if not self._preamble and not self._headers and not self._lost:
            whole = self._whole_block()
            if whole is not None:
                return whole
        return self._careful_block()

    def advance(self, count: int) -> None:
        """Let go of the first `count` lines."""
        lines = self.lines
        self.offset += sum(map(len, lines.raws[:count]))
        self.offset += sum(
            size - len(lines.raws[at]) for at, size in lines.sizes.items() if at < count
        )
        self.line += count
        lines.drop(count)

    def _whole_block(self) -> _Parsed | None:
        """All lines as one-line records, when nothing in them needs a closer look."""
        lines, dialect = self.lines, self._dialect
        if lines.faults or dialect.comment or dialect.repeated_header or self._width < 2:
            return None
        rows = self._parser.parse_lines(lines.texts[:STEP_LINES], width=self._width)
        if rows is None:
            return None
        numbers = list(range(self._number + 1, self._number + 1 + len(rows)))
        self._number += len(rows)
        return _Parsed(rows=list(rows), numbers=numbers, size=len(rows))

    def _careful_block(self) -> _Parsed:
        """The lines at hand, one after the other, as far as they are whole records."""
        parsed = _Parsed()
        self._rejected_offset, self._rejected_line = self.offset, 0
        stop = len(self.lines)
        at = 0
        while at < min(stop, STEP_LINES):
            if self._preamble:
                self._preamble -= 1
                at += 1
                continue
            after = self._next(parsed, at, stop)
            if after is None:
                self._hungry = True
                break
            at = after
        parsed.size = at
        return parsed

    def _next(self, parsed: _Parsed, at: int, stop: int) -> int | None:
        """Take what starts at a line; returns the line after it, None when lines are missing."""
        parser, text = self._parser, self.lines.texts[at]
        if self.lines.faults.get(at) == "too_long":
            message = f"The line is longer than {self._max} bytes."
            return self._lose(parsed, at, "too_long", message)
        if parser.is_blank(text) or self._is_comment(text):
            return at + 1
        outcome = parser.parse(self.lines.texts, at, stop)
        if outcome.problem == "open" and not self._reader.done and not self._too_large(at, stop):
            return None
        if outcome.end > at + 1 and self._too_large(at, outcome.end):
            outcome = parser.parse(self.lines.texts, at, at + 1)
        if self._headers:
            return self._take_header(outcome.fields, at, outcome.end)
        if outcome.fields is None:
            return self._lose(parsed, at, *self._why_broken(outcome.problem, at, stop))
        return self._judge(parsed, outcome.fields, at, outcome.end)

    def _judge(self, parsed: _Parsed, read: list[str | None], at: int, end: int) -> int:
        """Keep a well-formed record or reject it; returns the line after it."""
        fields = self._fit(read)
        if fields is None:
            if self._lost:
                return self._lose(parsed, at, "broken_quote", _SKIPPED)
            if self._swallowed(at, end):
                return self._lose(parsed, at, "broken_quote", _SWALLOWED)
            message = f"{len(read)} fields where {self._width} are expected."
            self._reject(parsed, at, end, "wrong_field_count", message)
            return end
        self._lost = False
        if self.lines.faults and any(line in self.lines.faults for line in range(at, end)):
            self._reject(parsed, at, end, "bad_encoding", self._why_unreadable(at, end))
        elif self._dialect.repeated_header and fields in self._header[:1]:
            self._reject(parsed, at, end, "repeated_header", "The header stands here again.")
        else:
            self._number += 1
            parsed.rows.append(fields)
            parsed.numbers.append(self._number)
            parsed.spans.append((at, end))
        return end

    def _lose(self, parsed: _Parsed, at: int, code: str, message: str) -> int:
        """Reject a physical line and look for the next that fits."""
        self._reject(parsed, at, at + 1, code, message)
        self._lost = True
        return at + 1

    def _reject(self, parsed: _Parsed, start: int, end: int, code: str, message: str) -> None:
        lines = self.lines
        self._rejected_offset += sum(lines.size(line) for line in range(self._rejected_line, start))
        self._rejected_line = start
        self._number += 1
        parsed.broken.append(
            Broken(
                number=self._number,
                line=self.line + start,
                offset=self._rejected_offset,
                size=sum(lines.size(line) for line in range(start, end)),
                raw=b"".join(lines.raws[start:end]),
                code=code,
                message=message,
            )
        )

    def _is_comment(self, text: str) -> bool:
        return bool(self._dialect.comment) and text.startswith(self._dialect.comment)

    def _too_large(self, start: int, end: int) -> bool:
        """Whether lines are more than a record may have."""
        return end - start > MAX_RECORD_LINES or (
            sum(self.lines.size(line) for line in range(start, end)) > self._max
        )

    def _take_header(self, fields: list[str | None] | None, at: int, end: int) -> int:
        self._headers -= 1
        self._header.append([] if fields is None else self._fit(fields) or fields)
        if fields is None:
            return at + 1
        return end

    def _fit(self, fields: list[str | None]) -> list[str | None] | None:
        """The fields at the right number, or None where they are not to be had."""
        missing = self._width - len(fields)
        if not missing:
            return fields
        if missing == -1 and self._dialect.trailing_delimiter and not fields[-1]:
            return fields[:-1]
        if missing > 0 and self._dialect.pad_short_rows:
            return fields + [None] * missing
        return None

    def _swallowed(self, at: int, end: int) -> bool:
        """Whether a record of several lines and a wrong number of fields swallowed other records.

        It did when at least half of the lines between its first and its last are records by
        themselves.
        """
        if end <= at + 2:
            return False
        texts, fine = self.lines.texts, 0
        for line in range(at + 1, end - 1):
            outcome = self._parser.parse(texts, line, line + 1)
            fine += outcome.fields is not None and self._fit(outcome.fields) is not None
        return 2 * fine >= end - at - 2

    def _why_broken(self, problem: str | None, at: int, stop: int) -> tuple[str, str]:
        if self._lost:
            return "broken_quote", _SKIPPED
        if problem == "open" and self._too_large(at, stop):
            return "too_long", f"A quote is opened and not closed within {self._max} bytes."
        if problem == "open":
            return "broken_quote", "A quote is opened and never closed."
        return "broken_quote", "Text follows a closing quote, or no quote closes the field."

    def _why_unreadable(self, start: int, end: int) -> str:
        for line in range(start, end):
            if line in self.lines.faults and "\0" in self.lines.texts[line]:
                return "A NUL character, which no text column of a database can hold."
        return f"Bytes that are no {self._dialect.encoding}."


_SKIPPED = "Skipped until a line with the right number of fields."
_SWALLOWED = "A quote is closed lines later, with other records inside."
