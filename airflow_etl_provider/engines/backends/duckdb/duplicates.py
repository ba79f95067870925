"""Rows that must give way: their key is another row's, or is (not) in a table of the target.

One pass over the keys alone settles the usual case, that there are none; only rows whose key
hash is a suspect's are looked at closely, and only those that would be loaded compete. Everything
spills to disk, so that memory stays bounded whatever the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.backends.duckdb.lookups import KeyTable, LookedUp
from airflow_etl_provider.engines.backends.duckdb.render import RenderedPlan, sql_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
    from airflow_etl_provider.engines.plan import UniqueKey
    from airflow_etl_provider.engines.sources.base import Readable
    from airflow_etl_provider.engines.targets.base import Lookups

__all__ = ["Loser", "Losers", "find_losers"]


@dataclass(frozen=True, slots=True)
class Loser:
    """A row that gives way.

    :param keys: positions in `Plan.key_checks` of the keys that are wrong.
    :param record: the source record as a JSON object.
    """

    row: int
    keys: tuple[int, ...]
    record: str


def find_losers(
    session: ComputeSession,
    rendered: RenderedPlan,
    scans: Sequence[Readable],
    lookups: Lookups | None = None,
) -> frozenset[int]:
    """Fill the table `losers`; returns the positions of the scans that have any."""
    connection = session.connection
    connection.execute(
        "CREATE OR REPLACE TABLE losers "
        "(scan INTEGER, row BIGINT, key_number INTEGER, fields VARCHAR)"
    )
    looked_up = LookedUp(session, rendered, scans, lookups)
    # A row that another table refuses does not compete with those that are loaded.
    looked_up.refuse_keys()
    for number, unique in enumerate(rendered.plan.unique_keys):
        _collect_hashes(session, rendered, scans, unique, looked_up.keys)
        connection.execute(
            "CREATE OR REPLACE TABLE suspects AS "
            "SELECT h FROM key_hashes GROUP BY h HAVING count(*) > 1"
        )
        connection.execute("DROP TABLE key_hashes")
        if connection.execute("SELECT 1 FROM suspects LIMIT 1").fetchall():
            _settle(session, rendered, scans, number)
    # Only now is it known which rows of this load are there to be referred to.
    looked_up.refuse_orphans()
    found = connection.execute("SELECT DISTINCT scan FROM losers").fetchall()
    return frozenset(row[0] for row in found)


def _collect_hashes(
    session: ComputeSession,
    rendered: RenderedPlan,
    scans: Sequence[Readable],
    unique: UniqueKey,
    keys: KeyTable,
) -> None:
    """Fill the table `key_hashes`, from the keys that were read already or by a pass of its own."""
    connection = session.connection
    connection.execute("CREATE OR REPLACE TABLE key_hashes (h UBIGINT)")
    if keys.holds(unique.columns) and not unique.with_deletes:
        connection.execute(f"INSERT INTO key_hashes {sql_of(keys.hashes(unique.columns))}")
        return
    for scan in scans:
        hashes = rendered.keys(
            scan.relation(connection), unique.columns, with_deletes=unique.with_deletes
        )
        connection.execute(f"INSERT INTO key_hashes {sql_of(hashes)}")


def _settle(
    session: ComputeSession, rendered: RenderedPlan, scans: Sequence[Readable], number: int
) -> None:
    connection = session.connection
    unique = rendered.plan.unique_keys[number]
    for at, scan in enumerate(scans):
        rows = sql_of(
            rendered.candidates(
                scan.relation(connection),
                unique.columns,
                unique.latest_by,
                "suspects",
                with_deletes=unique.with_deletes,
            )
        )
        into = "INSERT INTO candidates" if at else "CREATE OR REPLACE TABLE candidates AS"
        # Our own words around a rendered tree; no value and no name of a file is in them.
        connection.execute(f"{into} SELECT {at} AS scan, * FROM ({rows})")  # noqa: S608
    first_lookup = len(rendered.plan.unique_keys)
    refused = [
        first_lookup + at
        for at, lookup in enumerate(rendered.plan.lookups)
        if lookup.wanted == "present"
        and lookup.check.severity != "warn"
        and not rendered.plan.judges_all
    ]
    connection.execute(
        "DELETE FROM candidates WHERE (scan, _row) IN "
        "(SELECT (scan, row) FROM losers WHERE list_contains(?::INTEGER[], key_number))",
        [refused],
    )
    connection.execute(
        "INSERT INTO losers SELECT scan, _row, ?, fields FROM (SELECT *, row_number() OVER "
        "(PARTITION BY key ORDER BY latest DESC NULLS LAST, scan, _row) AS place "
        "FROM candidates) WHERE place > 1",
        [number],
    )
    connection.execute("DROP TABLE candidates")


class Losers:
    """The losing rows of one scan in order, taken as the scan goes on."""

    def __init__(self, session: ComputeSession, scan: int) -> None:
        # A cursor of its own: the scan's result is being read on the connection.
        self._cursor = session.connection.cursor()
        self._rows = self._read(scan)
        self._next = next(self._rows, None)

    def take(self, end: int) -> list[Loser]:
        """All losers before row `end` that were not taken yet."""
        taken = []
        while self._next is not None and self._next.row < end:
            taken.append(self._next)
            self._next = next(self._rows, None)
        return taken

    def close(self) -> None:
        self._cursor.close()

    def _read(self, scan: int) -> Iterator[Loser]:
        self._cursor.execute(
            "SELECT row, list(key_number ORDER BY key_number), any_value(fields) FROM losers "
            "WHERE scan = ? GROUP BY row ORDER BY row",
            [scan],
        )
        while rows := self._cursor.fetchmany(10_000):
            for row, keys, fields in rows:
                yield Loser(row, tuple(keys), fields)
