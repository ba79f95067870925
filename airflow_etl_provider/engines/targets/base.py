"""What each kind of target offers the engine: a schema, and sessions that publish all or none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from typing_extensions import Self

    from airflow_etl_provider.contracts.load import InputIdentity, Load
    from airflow_etl_provider.contracts.pipeline import Mode
    from airflow_etl_provider.contracts.schema import Field, Limit, Schema
    from airflow_etl_provider.contracts.types import LogicalType
    from airflow_etl_provider.engines.plan import KeyLookup

__all__ = [
    "START",
    "Deletes",
    "HasTableSchema",
    "Interruptible",
    "LedgerEntry",
    "LoadSession",
    "LookingSession",
    "LookingTarget",
    "Lookups",
    "Position",
    "Publication",
    "Published",
    "Target",
    "Undone",
    "WriteSpec",
]

START = "start"
"""The token of a pipeline that has published nothing in a table yet."""


@dataclass(frozen=True, slots=True)
class Deletes:
    """A merge whose records may delete the row of their key; `_etl_delete` says which do.

    :param column: keeps such rows, with the load's time in this column; None removes them.
    """

    column: str | None = None


@dataclass(frozen=True, slots=True)
class WriteSpec:
    """How rows go into the table.

    :param absent: keys that no row of the table may have when an append is published.
    :param add_columns: columns that the table gets together with the rows; one that it has by then
        must be of that type.
    :param widen_columns: columns that get a wider type together with the rows.
    """

    mode: Mode
    key: tuple[str, ...] = ()
    latest_by: str | None = None
    load_columns: bool = False
    partition_by: tuple[str, ...] = ()
    absent: tuple[tuple[str, ...], ...] = ()
    deletes: Deletes | None = None
    add_columns: tuple[Field, ...] = ()
    widen_columns: tuple[Field, ...] = ()

    @property
    def alters(self) -> bool:
        """Whether the load changes columns of the table."""
        return bool(self.add_columns or self.widen_columns)


@dataclass(frozen=True, slots=True)
class Publication:
    """What the ledger row will hold besides the load: the counts so far and the quarantine."""

    rows_read: int
    rows_quarantined: int
    rows_filtered: int
    rows_deduplicated: int
    quarantine: str | None = None
    quarantine_checksum: str | None = None
    positions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Published:
    """What the target's driver reports.

    :param rows_loaded: rows of this load that are now in the target.
    :param rows_deduplicated: rows not written because the target holds a newer one (`latest_by`),
        and records that don't delete it for the same reason.
    :param rows_deleted: records that delete, whether or not the target had their key.
    """

    rows_loaded: int
    rows_deduplicated: int = 0
    rows_deleted: int = 0


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """The proof of one published load, as the target holds it.

    :param created: the load made the table.
    """

    load_id: str
    pipeline: str
    window: str
    target: str
    mode: str
    epoch: int
    input_hash: str
    contract_hash: str
    run_id: str
    published_at: str
    rows_read: int
    rows_loaded: int
    rows_quarantined: int
    rows_filtered: int
    rows_deduplicated: int
    rows_deleted: int = 0
    quarantine: str | None = None
    quarantine_checksum: str | None = None
    positions: dict[str, Any] = field(default_factory=dict)
    created: bool = False

    @property
    def token(self) -> str:
        """Names the position of the pipeline once this is its newest load."""
        return f"{self.load_id}/{self.epoch}"

    @property
    def by_column(self) -> bool:
        """Whether its pipeline goes on from the highest value that this load noted."""
        return "column" in self.positions

    @property
    def clears(self) -> bool:
        """Whether the table holds nothing of what was published before."""
        return self.created or self.mode == "replace"


@dataclass(frozen=True, slots=True)
class Position:
    """How far a pipeline has come in one table, as the table's ledger says.

    Of loads whose rows are gone, because the table was replaced or dropped since, only `token`
    knows.

    :param token: names this state; it changes with every load that the pipeline publishes here,
        and when the table is replaced or dropped.
    :param last: the pipeline's newest load.
    :param inputs: by name what was loaded whole, as it was when it was loaded last.
    """

    token: str = START
    last: LedgerEntry | None = None
    inputs: Mapping[str, InputIdentity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Undone:
    """A load that was taken back: what the ledger said of it, and the rows that are gone."""

    entry: LedgerEntry
    rows_deleted: int


class LoadSession(Protocol):
    """One attempt at one load: `write` once, then `publish` or `abort`.

    As a context manager it aborts what was not published.
    """

    @property
    def epoch(self) -> int: ...

    @property
    def already_loaded(self) -> LedgerEntry | None:
        """The entry of the same load with the same input and contract, if it is published."""

    @property
    def arrow_schema(self) -> pa.Schema:
        """What `write` takes: the target's own physical types, columns in the order of `schema`.

        With `deletes` a boolean `_etl_delete` comes last; where it is true, all columns but the key
        and `latest_by` may be NULL.
        """

    def write(self, batches: pa.RecordBatchReader) -> int:
        """Take all batches, invisibly to others; returns the rows the driver says it took."""

    def publish(self, publication: Publication) -> Published:
        """Make rows and ledger row visible in one step.

        A load that `follows` a position is published by whichever attempt is first, in the same
        step in which the position is compared; of other loads only the newest attempt is.

        :raises FencedError: a newer attempt began; nothing is published.
        :raises PositionMovedError: the pipeline's position is no longer what the load follows;
            nothing is published.
        :raises TargetChangedError: others brought a key of `WriteSpec.absent` meanwhile.
        """

    def abort(self) -> None:
        """Leave the target as it was; may be called at any time, from any state, twice."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Lookups(Protocol):
    """Answers a plan's look-ups, by their positions there; what is compared, the target compares.

    It sees what others committed, and nothing of the load that asks.
    """

    def is_empty(self, number: int) -> bool:
        """Whether the table has no row, or is not there yet."""

    def refers_to_load(self, number: int) -> bool:
        """Whether rows of the load itself can have the keys that must be present."""

    def arrow_schema(self, number: int) -> pa.Schema:
        """What `failing` takes: the number `n` of the key (int64), then its columns in order."""

    def failing(self, number: int, keys: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """The numbers `n` of keys that are there and must not be, or are not and must be.

        Only asked where the table is not empty. All keys are read before the first answer.
        """

    def interrupt(self) -> None:
        """Stop what runs, from any thread."""

    def close(self) -> None: ...


@runtime_checkable
class LookingSession(Protocol):
    """A session of a target that is a database, where tables can be looked at."""

    def open_lookups(self, wanted: Sequence[KeyLookup]) -> Lookups:
        """Find the tables and columns; what is opened is closed with the session.

        :raises TargetMissingError: a table or column is not there.
        :raises TargetSchemaError: a column can't be compared with the load's.
        """


@runtime_checkable
class LookingTarget(Protocol):
    """A target that is a database; its sessions are `LookingSession`s."""

    def open_lookups(self, wanted: Sequence[KeyLookup], *, columns: Schema) -> Lookups:
        """Look at tables of the database where nothing is loaded.

        :param columns: what the keys are made of, with their types.
        """


@runtime_checkable
class HasTableSchema(Protocol):
    """A target in a database that has schemas, one of them the current one."""

    @property
    def table_schema(self) -> str | None:
        """The schema that holds the table; None where none is written and nobody looked yet."""


@runtime_checkable
class Interruptible(Protocol):
    """A session whose statements may wait for others, and can be told to give up."""

    def interrupt(self) -> None:
        """Ask the server to stop the present statement, which then fails; from any thread."""


class Target(Protocol):
    """One kind of thing that can be written."""

    @property
    def name(self) -> str:
        """As shown to people: no password."""

    @property
    def quarantine_home(self) -> str | None:
        """The folder beside the target where rejected rows belong, where there is such a place."""

    def schema(self) -> Schema | None:
        """The columns of the table, None when it does not exist yet."""

    def limit_of(self, of: LogicalType) -> Limit | None:
        """What a column that is created for a type can't hold; `schema` tells it of others."""

    def begin(self, *, load: Load, schema: Schema, write: WriteSpec) -> LoadSession:
        """Create what is missing, hand out the epoch, and say whether the load is there already.

        :param schema: the columns to be written, by name (a subset of an existing table's).
        :raises LoadConflictError: the window was loaded with other input or contract, in append
            mode, and `on_reload` is `stop`.
        :raises PositionMovedError: the pipeline's position is no longer what the load follows.
        :raises TargetSchemaError: a column or key does not fit the table.
        """

    def ledger(self) -> list[LedgerEntry]:
        """All published loads of this table, oldest first, whatever clocks said."""

    def position(self, pipeline: str, *, with_inputs: bool) -> Position:
        """Read how far a pipeline has come; `token` is never newer than the rest.

        :param with_inputs: also find the inputs of all loads, of which there may be many.
        """

    def undo(self, load_id: str) -> Undone:
        """Remove the rows that a load appended and its place in the ledger, in one step.

        An attempt at that load that is under way publishes nothing any more; a new one may.

        :raises UndoError: no such load is published, or it can't be taken back; nothing changed.
        """

    def close(self) -> None: ...
