"""What every kind of source offers the engine: inputs, a schema, and scans that count apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect
    from airflow_etl_provider.exceptions import EtlError

__all__ = [
    "Account",
    "Described",
    "Part",
    "PartlyRead",
    "Readable",
    "ReadsAhead",
    "Sampled",
    "Scan",
    "Source",
]


@dataclass(frozen=True, slots=True)
class Account:
    """The reader's own count of one input, made apart from the engine.

    :param records: records in the input, rejected ones included, counted without the engine.
    :param scanned: rows the engine should have seen: records minus those the reader rejected.
    :param balanced: False when the engine's reading lost or invented records; the run then starts
        again with `careful=True`, and a careful scan that does not balance fails the run.
    :param notes: what people should know of this input, for the report (no values).
    """

    records: int
    scanned: int
    balanced: bool
    bytes_read: int
    notes: tuple[str, ...] = ()


class Readable(Protocol):
    """What DuckDB can read as a view."""

    @property
    def input(self) -> InputIdentity:
        """The first, where there are several."""

    @property
    def careful(self) -> bool:
        """Whether our own splitter reads, because it was told to or because the file needs it.

        A `duckdb.Error` while the view of a scan that is not careful is read means the same as an
        account that does not balance: read again with `careful=True`.
        """

    def relation(self, connection: DuckDBPyConnection) -> str:
        """Make the input readable on `connection`; returns the (quoted) name of a view.

        The view has exactly the source's fields, in file order; `preserve_insertion_order` holds.
        It may be read more than once (keys first, rows afterwards), but not
        by two readers at a time. Every reading gives the same rows, whichever columns it takes.
        """

    @property
    def failure(self) -> EtlError | None:
        """What ended the reading, where the reader knows better than DuckDB."""

    def close(self) -> None: ...


class Scan(Readable, Protocol):
    """One reading of one input, used once: relation(), read it to the end, then account()."""

    def account(self, *, rows_seen: int) -> Account:
        """The count, once the view was read to its end and gave `rows_seen` rows.

        :raises SourceError: the input changed while it was read.
        """

    def rejects(self) -> Iterator[Reject]:
        """What the reader itself rejected, in file order; after `account`."""

    def record_numbers(self, rows: list[int]) -> list[int]:
        """Record numbers (from 1) of rows of the view (from 0, ascending); after `account`."""

    def raw(self, fields: dict[str, str | None]) -> bytes:
        """One record, written again in the input's own dialect."""


class Source(Protocol):
    """One kind of thing that can be read, resolved and ready.

    `schema` is what `scan` gives: text for delimited files, typed for Parquet.
    `suggested` is the schema that the values themselves suggest, for a target not yet there.
    """

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> tuple[InputIdentity, ...]: ...

    @property
    def schema(self) -> Schema: ...

    @property
    def suggested(self) -> Schema: ...

    def scan(self, input: InputIdentity, *, careful: bool = False) -> Scan:
        """Begin to read one of `inputs`; `careful` asks for our own splitter."""

    def close(self) -> None: ...


@runtime_checkable
class Described(Protocol):
    """A source that tells how what it reads is written."""

    @property
    def format(self) -> str:
        """`csv`, `jsonl`, `json`, `parquet` or `table`."""

    @property
    def dialect(self) -> ResolvedDialect | None:
        """Of delimited files: that of the first one."""


class Part(Protocol):
    """A part of a source, from all over it."""

    def total(self, rows: int) -> int:
        """Estimate the rows of the whole by those of the part."""

    def independent(self, rows: int) -> int:
        """How many of so many rows of it were drawn each by itself, at the least."""


@runtime_checkable
class PartlyRead(Protocol):
    """A source of which a part can be read as if it were all."""

    def sample(self, rows: int) -> Part | None:
        """Read a part from now on, with about so many rows; None where it is better read whole."""


@runtime_checkable
class Sampled(Protocol):
    """A source of which some rows can be had without reading it all."""

    def draw(self, most: int) -> list[tuple[str | None, ...]] | None:
        """Give about so many rows as text, from places evenly spread over it.

        None where that can't be done, or where reading it all costs little.
        """


@runtime_checkable
class ReadsAhead(Protocol):
    """A source that can begin its work while the run still gets ready."""

    def read_ahead(self) -> None:
        """Begin, in the background, what the first scan needs; `close` ends it."""
