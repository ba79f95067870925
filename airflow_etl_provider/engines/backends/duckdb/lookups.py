"""Keys of a load against tables of the target: what is there already, or is missing there.

The keys are read in one pass, made distinct and numbered here; the target compares them in its own
types and answers with numbers. The rows that have those keys are found by a second look at the
source, which only takes place where there are any.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.engines.backends.duckdb.checks import call, is_not_null
from airflow_etl_provider.engines.backends.duckdb.render import sql_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from airflow_etl_provider.engines.backends.duckdb.render import RenderedPlan
    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
    from airflow_etl_provider.engines.sources.base import Readable
    from airflow_etl_provider.engines.targets.base import Lookups

__all__ = ["KeyTable", "LookedUp"]

BATCH_ROWS = 65_536

_KEYS = "key_values"


@dataclass(slots=True)
class KeyTable:
    """The key columns of all rows that the filter keeps, read in one pass."""

    rendered: RenderedPlan
    columns: tuple[str, ...] = field(default=())

    def holds(self, columns: tuple[str, ...]) -> bool:
        return set(columns) <= set(self.columns)

    def hashes(self, columns: tuple[str, ...]) -> exp.Select:
        """One hash per row whose key has no NULL."""
        values = self.rendered.outputs(columns)
        return self._complete(exp.select(call("hash", *values).as_("h")), columns)

    def distinct(self, columns: tuple[str, ...]) -> exp.Select:
        """Each key without a NULL once, as `k0, k1, ...`."""
        values = [v.as_(f"k{at}") for at, v in enumerate(self.rendered.outputs(columns))]
        return self._complete(exp.select(*values).distinct(), columns)

    def read(
        self, session: ComputeSession, scans: Sequence[Readable], columns: tuple[str, ...]
    ) -> None:
        """Read the columns of all scans."""
        for at, scan in enumerate(scans):
            values = sql_of(self.rendered.key_values(scan.relation(session.connection), columns))
            into = f"INSERT INTO {_KEYS}" if at else f"CREATE OR REPLACE TABLE {_KEYS} AS"
            session.connection.execute(f"{into} {values}")
        self.columns = columns if scans else ()

    def _complete(self, query: exp.Select, columns: tuple[str, ...]) -> exp.Select:
        complete = [is_not_null(value) for value in self.rendered.outputs(columns)]
        return query.from_(exp.to_table(_KEYS)).where(exp.and_(*complete))


class LookedUp:
    """The look-ups of one plan over the scans of one load."""

    def __init__(
        self,
        session: ComputeSession,
        rendered: RenderedPlan,
        scans: Sequence[Readable],
        lookups: Lookups | None,
    ) -> None:
        self._session, self._rendered, self._scans = session, rendered, scans
        self._connection = session.connection
        self._lookups = lookups
        self.keys = KeyTable(rendered)
        self._read_keys()

    def refuse_keys(self) -> None:
        """Add rows to `losers` whose key is in the target, or is not where it must be."""
        for number, lookup in enumerate(self._rendered.plan.lookups):
            if not self._needs_keys(number) or self._refers_to_itself(number):
                continue
            if self._ask(number, lookup.columns):
                self._find_rows(lookup.columns, into="wrong_rows")
                self._add_losers(number, "SELECT scan, row, fields FROM wrong_rows")

    def refuse_orphans(self) -> None:
        """Do the same where the table refers to itself: rows of this load count, if they stay.

        What is refused takes along the rows that refer to it, until no more are found.
        """
        for number, lookup in enumerate(self._rendered.plan.lookups):
            if not self._refers_to_itself(number) or not self._ask(number, lookup.columns):
                continue
            self._find_rows(lookup.columns, into="children")
            self._find_rows(lookup.table_columns, into="parents")
            self._leave_out_losers("parents")
            while self._take_orphans(number, lookup.check.severity != "warn"):
                continue

    def _read_keys(self) -> None:
        wanted: dict[str, None] = {}
        for number, lookup in enumerate(self._rendered.plan.lookups):
            if self._needs_keys(number):
                wanted |= dict.fromkeys(lookup.columns)
        if wanted:
            self.keys.read(self._session, self._scans, tuple(wanted))

    def _needs_keys(self, number: int) -> bool:
        """Nothing can be in an empty table: what must be absent there, is."""
        if self._lookups is None:
            return False
        lookup = self._rendered.plan.lookups[number]
        return lookup.wanted == "present" or not self._lookups.is_empty(number)

    def _refers_to_itself(self, number: int) -> bool:
        return self._lookups is not None and self._lookups.refers_to_load(number)

    def _ask(self, number: int, columns: tuple[str, ...]) -> bool:
        """Fill `wrong_keys` with the keys that fail; returns whether there are any."""
        lookups, connection = self._lookups, self._connection
        assert lookups is not None  # noqa: S101 - only asked where there is somebody to ask
        connection.execute(
            "CREATE OR REPLACE TABLE lookup_keys AS "  # noqa: S608 - a tree of ours
            f"SELECT row_number() OVER () AS n, * FROM ({sql_of(self.keys.distinct(columns))})"
        )
        connection.execute("CREATE OR REPLACE TABLE answers (n BIGINT)")
        if lookups.is_empty(number):
            connection.execute("INSERT INTO answers SELECT n FROM lookup_keys")
        else:
            keys = self._numbered(lookups.arrow_schema(number))
            for numbers in lookups.failing(number, keys):
                connection.register("answer", numbers)
                connection.execute("INSERT INTO answers SELECT n FROM answer")
                connection.unregister("answer")
        names = [f"k{at}" for at in range(len(columns))]
        packed = ", ".join(f"{name} := {name}" for name in names)
        connection.execute(
            "CREATE OR REPLACE TABLE wrong_keys AS "  # noqa: S608 - names of ours
            f"SELECT hash({', '.join(names)}) AS h, struct_pack({packed}) AS key "
            "FROM lookup_keys JOIN answers USING (n)"
        )
        connection.execute("DROP TABLE lookup_keys")
        connection.execute("DROP TABLE answers")
        return bool(connection.execute("SELECT 1 FROM wrong_keys LIMIT 1").fetchall())

    def _numbered(self, schema: pa.Schema) -> pa.RecordBatchReader:
        """The keys with their numbers, in the target's Arrow types."""
        import pyarrow as pa

        relation = self._connection.sql("SELECT * FROM lookup_keys")
        # A uuid has an Arrow type of its own; it travels as text.
        texts = [name for name, of in zip(relation.columns, relation.types, strict=True)
                 if str(of) == "UUID"]  # fmt: skip
        casts = ", ".join(f"{name}::VARCHAR AS {name}" for name in texts)
        replaced = f" REPLACE ({casts})" if casts else ""
        batches = self._connection.sql(
            f"SELECT *{replaced} FROM lookup_keys"  # noqa: S608 - names of ours
        ).to_arrow_reader(BATCH_ROWS)

        def fitted() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                columns = [
                    column if column.type == one.type else column.cast(one.type)
                    for column, one in zip(batch.columns, schema, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, fitted())

    def _find_rows(self, columns: tuple[str, ...], *, into: str) -> None:
        """Fill a table with the rows that would be loaded and whose `columns` are a wrong key."""
        connection = self._connection
        for at, scan in enumerate(self._scans):
            rows = sql_of(
                self._rendered.candidates(scan.relation(connection), columns, None, "wrong_keys")
            )
            start = f"INSERT INTO {into}" if at else f"CREATE OR REPLACE TABLE {into} AS"
            connection.execute(
                f"{start} SELECT {at} AS scan, _row AS row, key, fields "  # noqa: S608 - ours
                f"FROM ({rows}) AS c WHERE EXISTS (FROM wrong_keys AS w WHERE w.key = c.key)"
            )

    def _add_losers(self, number: int, rows: str) -> int:
        key_number = len(self._rendered.plan.unique_keys) + number
        added = self._connection.execute(
            f"INSERT INTO losers SELECT scan, row, {key_number}, fields "  # noqa: S608 - ours
            f"FROM ({rows})"
        ).fetchall()
        return int(added[0][0])

    def _leave_out_losers(self, table: str) -> None:
        """Only rows that will be loaded can be referred to."""
        kept = [
            at
            for at, check in enumerate(self._rendered.plan.key_checks)
            if check is not None and check.severity == "warn"
        ]
        self._connection.execute(
            f"DELETE FROM {table} WHERE (scan, row) IN "  # noqa: S608 - a name of ours
            "(SELECT (scan, row) FROM losers WHERE NOT list_contains(?::INTEGER[], key_number))",
            [kept],
        )

    def _take_orphans(self, number: int, rejecting: bool) -> bool:  # noqa: FBT001
        connection = self._connection
        connection.execute(
            "CREATE OR REPLACE TABLE orphans AS SELECT scan, row, fields FROM children AS c "
            "WHERE NOT EXISTS (FROM parents AS p WHERE p.key = c.key)"
        )
        found = self._add_losers(number, "SELECT * FROM orphans")
        if not found or not rejecting:
            return False
        gone = "WHERE (scan, row) IN (SELECT (scan, row) FROM orphans)"
        connection.execute(f"DELETE FROM children {gone}")  # noqa: S608 - words of ours
        connection.execute(f"DELETE FROM parents {gone}")  # noqa: S608 - words of ours
        return True
