"""Delimited files as one source: a dialect for each, one schema for all."""

from __future__ import annotations

import codecs
import glob
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.sources.delimited.ahead import WORTHWHILE, CountAhead
from airflow_etl_provider.engines.sources.delimited.candidates import plain_dialect
from airflow_etl_provider.engines.sources.delimited.count import body_offset, count_bytes
from airflow_etl_provider.engines.sources.delimited.header import name_columns
from airflow_etl_provider.engines.sources.delimited.scan import CarefulScan, FastScan
from airflow_etl_provider.engines.sources.delimited.sniff import sniff_dialect
from airflow_etl_provider.engines.sources.delimited.splitter import split_batches
from airflow_etl_provider.engines.sources.delimited.together import (
    MOST_BYTES,
    MOST_FILES,
    SMALL,
    FileBundle,
    is_plain,
)
from airflow_etl_provider.engines.sources.infer import suggest_types
from airflow_etl_provider.exceptions import SourceFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.pipeline import SourceSpec
    from airflow_etl_provider.engines.sources.delimited.count import ByteCount
    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect
    from airflow_etl_provider.engines.sources.files import FileInput

__all__ = ["DelimitedSource"]

SAMPLE = 2**20
"""What the sniffer sees of a file."""

GLANCE = 64 * 1024
"""What is looked at of a further file, to see that it begins like the first."""

SAMPLED_FILES, SAMPLED_ROWS, SLICES = 5, 20_000, 24

LARGE, DRAWN_SLICES, DRAWN_SLICE = 16 * 2**20, 200, 16 * 1024
"""A file of that size is looked at in so many places, so many bytes in each."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One file: how it is written, and where its records begin, where that is plain to see."""

    file: FileInput
    dialect: ResolvedDialect
    body: int | None


class DelimitedSource:
    """CSV and its relatives.

    :param all_text: suggest text for every column.
    """

    def __init__(
        self, files: tuple[FileInput, ...], spec: SourceSpec, *, name: str, all_text: bool = False
    ) -> None:
        self.name = name
        self._spec = spec
        self._all_text = all_text
        self._counts: dict[InputIdentity, ByteCount] = {}
        self._ahead: tuple[InputIdentity, CountAhead] | None = None
        self._entries = {entry.file.identity: entry for entry in self._open(files)}
        self._following = dict(pairwise(self._entries))
        first = next(iter(self._entries.values()))
        self._fields = first.dialect.columns
        self.format = "csv"
        self.dialect = first.dialect

    @property
    def inputs(self) -> tuple[InputIdentity, ...]:
        return tuple(self._entries)

    @property
    def schema(self) -> Schema:
        # A line with a NUL in it is rejected as `bad_encoding`, on either road.
        text = LogicalType("string")
        return Schema(tuple(Field(name, text, nul_free=True) for name in self._fields))

    @cached_property
    def suggested(self) -> Schema:
        """What a sample says: the beginnings of some files, and slices of the largest."""
        if self._all_text:
            return self.schema
        return suggest_types(self._fields, self._sampled_rows())

    def scan(self, input: InputIdentity, *, careful: bool = False) -> FastScan | CarefulScan:
        entry = self._entries[input]
        if careful or self.why_careful(input) is not None:
            return CarefulScan(entry.file, entry.dialect, fields=self._fields)
        return self._fast_scan(entry)

    def units(
        self, *, careful: frozenset[InputIdentity] | None
    ) -> Iterator[tuple[InputIdentity, ...]]:
        held: list[_Entry] = []
        for identity, entry in self._entries.items():
            may = careful is not None and identity not in careful and self._may_share(entry)
            if held and not (may and _belongs_to(held, entry)):
                yield tuple(one.file.identity for one in held)
                held = []
            if may:
                held.append(entry)
            else:
                yield (identity,)
        if held:
            yield tuple(one.file.identity for one in held)

    def scan_together(self, inputs: tuple[InputIdentity, ...]) -> FileBundle:
        return FileBundle([self._fast_scan(self._entries[input]) for input in inputs])

    def _may_share(self, entry: _Entry) -> bool:
        """Whether a file is small, and nothing in it will be rejected by the reader."""
        return (
            entry.file.disk_size <= SMALL
            and self._why_plainly_careful(entry) is None
            and is_plain(self._count(entry), entry.dialect)
        )

    def _fast_scan(self, entry: _Entry) -> FastScan:
        return FastScan(
            entry.file,
            entry.dialect,
            fields=self._fields,
            count=self._count(entry),
            body=entry.body or 0,
        )

    def read_ahead(self) -> None:
        self._count_ahead(next(iter(self._entries.values())))

    def why_careful(self, input: InputIdentity) -> str | None:
        """Why a file is read by our splitter; None: DuckDB reads the same of it, and faster."""
        entry = self._entries[input]
        return self._why_plainly_careful(entry) or self._count(entry).hazard

    def _why_plainly_careful(self, entry: _Entry) -> str | None:
        """What can be told without reading the file."""
        dialect, stored = entry.dialect, entry.file.stored
        reason = dialect.needs_splitter
        if reason is not None:
            return reason
        if codecs.lookup(dialect.encoding).name not in ("utf-8", "ascii"):
            return f"the encoding {dialect.encoding}"
        if len(dialect.quote.encode()) > 1 or dialect.delimiter in (" ", "\n", "\r"):
            return "an unusual quote or delimiter"
        if stored.compression not in ("none", "gzip", "zstd") or glob.has_magic(str(stored.path)):
            return "a place that DuckDB can't read"
        if entry.body is None:
            return "a preamble or header that is not plain"
        return None

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead[1].give_up()
            self._ahead = None

    def _count(self, entry: _Entry) -> ByteCount:
        identity = entry.file.identity
        if identity not in self._counts:
            if self._ahead is not None and self._ahead[0] == identity:
                ahead, self._ahead = self._ahead[1], None
                self._counts[identity] = ahead.result()
            else:
                with entry.file.stored.open() as stream:
                    body = entry.body or 0
                    self._counts[identity] = count_bytes(stream, entry.dialect, body=body)
            self._count_next(identity)
        return self._counts[identity]

    def _count_next(self, identity: InputIdentity) -> None:
        """Count the file after this one while this one is read."""
        if self._ahead is None:
            following = self._following.get(identity)
            if following is not None:
                self._count_ahead(self._entries[following])

    def _count_ahead(self, entry: _Entry) -> None:
        stored = entry.file.stored
        if (
            entry.file.identity in self._counts
            or entry.file.disk_size < WORTHWHILE
            or stored.remote is not None
            or self._why_plainly_careful(entry) is not None
        ):
            return
        ahead = CountAhead(stored, entry.dialect, body=entry.body or 0)
        self._ahead = (entry.file.identity, ahead)

    def _open(self, files: tuple[FileInput, ...]) -> Iterator[_Entry]:
        """Sniff the first file that has columns; the others must have the same ones."""
        first: _Entry | None = None
        header = b""
        empty = []
        entries: dict[InputIdentity, _Entry] = {}
        for file in files:
            entry = first and _like_first(file, first, header)
            if not entry:
                sample, whole = file.stored.sample(SAMPLE)
                dialect = self._sniff(sample, whole=whole)
                if not dialect.columns:
                    empty.append(file)
                    continue
                entry = _Entry(file, dialect, body_offset(sample, dialect, whole=whole))
                if first is None:
                    first, header = entry, sample[: entry.body or 0]
                _expect_same_columns(entry, first)
            entries[file.identity] = entry
        if first is None:
            if not self._all_text:
                raise SourceFormatError(
                    f"{files[0].identity.name} is empty: it has no header and no record.",
                    hint="Check that whoever writes it has finished.",
                )
            # Without types there is nothing that an empty file could contradict.
            dialect = replace(plain_dialect("\n"), columns=name_columns((), width=1))
            first = _Entry(files[0], dialect, None)
        for file in empty:
            # Nothing in it: no header that could differ, and no record.
            dialect = replace(first.dialect, skip_rows=0, header_rows=0, bom=0)
            entries[file.identity] = _Entry(file, dialect, None)
        return iter([entries[file.identity] for file in files])

    def _sniff(self, sample: bytes, *, whole: bool) -> ResolvedDialect:
        return sniff_dialect(
            sample,
            given=self._spec.dialect,
            encoding=self._spec.encoding,
            header_rows=self._spec.header_rows,
            null_values=self._spec.null_values,
            whole=whole,
        )

    def draw(self, most: int) -> list[tuple[str | None, ...]] | None:
        (entry, *others) = self._entries.values()
        size, dialect = entry.file.disk_size, entry.dialect
        plain = codecs.lookup(dialect.encoding).name in ("utf-8", "ascii", "iso8859-1")
        if others or size < LARGE or not plain or entry.file.stored.compression != "none":
            return None
        inner = replace(dialect, skip_rows=0, header_rows=0, bom=0)
        rows: list[tuple[str | None, ...]] = []
        with entry.file.stored.open() as stream:
            for part in range(DRAWN_SLICES):
                # The first may have the header in it.
                stream.seek((entry.body or 0) + size * part // DRAWN_SLICES)
                data = stream.read(DRAWN_SLICE)
                start = data.find(b"\n") + 1 if part else 0
                found = self._rows(data[start : data.rfind(b"\n") + 1], inner)
                rows += found[: max(most // DRAWN_SLICES, 1)]
        # Records as long as a slice are found in none.
        return rows if len(rows) >= DRAWN_SLICES else None

    def _sampled_rows(self) -> Iterator[list[tuple[str | None, ...]]]:
        entries = list(self._entries.values())
        for entry in entries[:SAMPLED_FILES]:
            sample, _ = entry.file.stored.sample(SAMPLE)
            yield self._rows(sample, entry.dialect)
        largest = max(entries, key=lambda entry: entry.file.disk_size)
        plain = codecs.lookup(largest.dialect.encoding).name in ("utf-8", "ascii", "iso8859-1")
        if largest.file.stored.compression != "none" or not plain:
            return
        inner = replace(largest.dialect, skip_rows=0, header_rows=0, bom=0)
        size = largest.file.disk_size
        with largest.file.stored.open() as stream:
            for part in range(1, SLICES) if size > 2 * SAMPLE else ():
                stream.seek(size * part // SLICES)
                data = stream.read(GLANCE)
                start, end = data.find(b"\n") + 1, data.rfind(b"\n") + 1
                yield self._rows(data[start:end], inner)

    def _rows(self, data: bytes, dialect: ResolvedDialect) -> list[tuple[str | None, ...]]:
        batches = (split.batch for split in split_batches(iter((data,)), dialect))
        rows: list[tuple[str | None, ...]] = []
        for batch in islice(batches, SAMPLED_ROWS // 10_000):
            columns = [batch.column(name).to_pylist() for name in self._fields]
            rows += zip(*columns, strict=True)
        return rows


def _belongs_to(held: list[_Entry], entry: _Entry) -> bool:
    """Whether a file may be read together with those before it."""
    first = held[0]
    return (
        len(held) < MOST_FILES
        and sum(one.file.disk_size for one in held) + entry.file.disk_size <= MOST_BYTES
        and entry.dialect == first.dialect
        and entry.file.stored.compression == first.file.stored.compression
    )


def _like_first(file: FileInput, first: _Entry, header: bytes) -> _Entry | None:
    """Take a file as written like the first when it begins with the very same header."""
    if first.dialect.needs_splitter or not first.dialect.header_rows or not header:
        return None
    glance, whole = file.stored.sample(GLANCE)
    if not glance.startswith(header) or not header.endswith(b"\n"):
        return None
    try:
        codecs.getincrementaldecoder(first.dialect.encoding)().decode(glance, final=whole)
    except UnicodeDecodeError:
        return None
    return _Entry(file, first.dialect, first.body)


def _expect_same_columns(entry: _Entry, first: _Entry) -> None:
    """Other order is fine: columns are matched by name.

    :raises SourceFormatError: columns are missing or extra.
    """
    expected, found = first.dialect.columns, entry.dialect.columns
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    if not missing and not extra:
        return
    said = [
        f"{what} {', '.join(map(repr, names[:10]))}{' and more' if len(names) > 10 else ''}"
        for what, names in (("without", missing), ("with", extra))
        if names
    ]
    raise SourceFormatError(
        f"{entry.file.identity.name} has other columns than {first.file.identity.name}: "
        f"it is {' and '.join(said)}.",
        hint="Load files of one kind together; say `header_rows` where a header is taken for data.",
    )
