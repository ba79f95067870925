"""The ledger and the epochs of a DuckDB file: two tables of ours in its main schema."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.contracts.load import InputIdentity, takes_whole_inputs
from airflow_etl_provider.engines.targets.base import Position
from airflow_etl_provider.engines.targets.duckdb_file.store import run_sql
from airflow_etl_provider.engines.targets.ledger import (
    check_position,
    entries_of,
    entry_from_dict,
    entry_to_dict,
    join_token,
    position_of,
    supersedes,
    token_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.load import Load
    from airflow_etl_provider.engines.targets.base import LedgerEntry

__all__ = ["FileLedger"]

_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS main._etl_loads (
        target VARCHAR NOT NULL, load_id VARCHAR NOT NULL, publication BIGINT NOT NULL,
        pipeline VARCHAR NOT NULL, "window" VARCHAR NOT NULL, mode VARCHAR NOT NULL,
        epoch BIGINT NOT NULL, input_hash VARCHAR NOT NULL, contract_hash VARCHAR NOT NULL,
        run_id VARCHAR NOT NULL, published_at VARCHAR NOT NULL, rows_read BIGINT NOT NULL,
        rows_loaded BIGINT NOT NULL, rows_quarantined BIGINT NOT NULL,
        rows_filtered BIGINT NOT NULL, rows_deduplicated BIGINT NOT NULL,
        rows_deleted BIGINT NOT NULL, quarantine VARCHAR, quarantine_checksum VARCHAR,
        positions VARCHAR NOT NULL, created BOOLEAN NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS main._etl_epochs (
        target VARCHAR NOT NULL, load_id VARCHAR NOT NULL, epoch BIGINT NOT NULL
    )
    """,
)

_ENTRIES = """
    SELECT * EXCLUDE (publication) FROM main._etl_loads WHERE target = ? ORDER BY publication
"""
_WITHOUT_POSITIONS = _ENTRIES.replace("(publication)", "(publication, positions)")

# In order, since what was taken again replaces what was taken before.
_INPUTS = """
    SELECT input ->> '$.name', CAST(input ->> '$.size' AS BIGINT), input ->> '$.version'
    FROM (
        SELECT publication, unnest(CAST(positions -> '$.inputs' AS JSON[])) AS input,
            generate_subscripts(CAST(positions -> '$.inputs' AS JSON[]), 1) AS place
        FROM main._etl_loads WHERE target = $1 AND list_contains($2, load_id)
    )
    ORDER BY publication, place
"""

_SIZES = "SELECT load_id, strlen(positions) FROM main._etl_loads WHERE target = ?"

PARSED_BYTES = 2**23
"""Of positions that are parsed at once: DuckDB takes some times as much memory for them."""

_ADDED_LATER = {"created": "BOOLEAN DEFAULT false"}
"""Columns that the ledgers of earlier versions lack."""

_INSERT = """
    INSERT INTO main._etl_loads BY NAME SELECT
        $target AS target, $load_id AS load_id,
        (SELECT coalesce(max(publication), 0) + 1 FROM main._etl_loads) AS publication,
        $pipeline AS pipeline, $window AS "window", $mode AS mode, $epoch AS epoch,
        $input_hash AS input_hash, $contract_hash AS contract_hash, $run_id AS run_id,
        $published_at AS published_at, $rows_read AS rows_read, $rows_loaded AS rows_loaded,
        $rows_quarantined AS rows_quarantined, $rows_filtered AS rows_filtered,
        $rows_deduplicated AS rows_deduplicated, $rows_deleted AS rows_deleted,
        $quarantine AS quarantine, $quarantine_checksum AS quarantine_checksum,
        $positions AS positions, $created AS created
"""


# The pipeline's newest load, and those after it that cleared the table.
_TOKENS = """
    SELECT load_id || '/' || epoch FROM main._etl_loads
    WHERE target = $1 AND (pipeline = $2 OR mode = 'replace' OR created) AND publication >= (
        SELECT max(publication) FROM main._etl_loads WHERE target = $1 AND pipeline = $2
    )
    ORDER BY publication
"""


def _undone(pipeline: str) -> str:
    """Under which name the undone loads of a pipeline are counted among the epochs of loads."""
    return f"undone {pipeline}"


class FileLedger:
    """The loads of one table, on an open connection.

    :param table: identifies the table inside the file, so that the file may be moved.
    :param shown: what an entry calls its target.
    """

    def __init__(self, connection: DuckDBPyConnection, *, table: str, shown: str) -> None:
        self.connection = connection
        self.table = table
        self.shown = shown

    def create(self) -> None:
        """Create what is missing, also in a ledger of an earlier version."""
        for statement in _TABLES:
            self.connection.execute(statement)
        held = run_sql(
            self.connection,
            "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database() "
            "AND schema_name = 'main' AND table_name = '_etl_loads'",
        )
        for name, kind in _ADDED_LATER.items():
            if (name,) not in held:
                self.connection.execute(f"ALTER TABLE main._etl_loads ADD COLUMN {name} {kind}")

    def entries(self, *, with_positions: bool = True) -> list[LedgerEntry]:
        """Oldest first; none where the file has no ledger.

        :param with_positions: they may be large, and those of many loads more than memory holds.
        """
        if not self._exists():
            return []
        sql = _ENTRIES if with_positions else _WITHOUT_POSITIONS
        cursor = self.connection.execute(sql, [self.table])
        names = [column[0] for column in cursor.description or []]
        return [self._entry(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]

    def _with_positions(self, entry: LedgerEntry) -> LedgerEntry:
        """Complete an entry that was read without them."""
        rows = run_sql(
            self.connection,
            "SELECT positions FROM main._etl_loads WHERE target = ? AND load_id = ?",
            [self.table, entry.load_id],
        )
        return replace(entry, positions=json.loads(str(rows[0][0])))

    def _inputs(self, entries: Sequence[LedgerEntry]) -> dict[str, InputIdentity]:
        """By name what the loads took whole, as they took it last."""
        whole = [entry.load_id for entry in entries if takes_whole_inputs(entry.window)]
        sizes = dict(self.connection.execute(_SIZES, [self.table]).fetchall() if whole else ())
        inputs: dict[str, InputIdentity] = {}
        for group in _groups(whole, sizes):
            rows = self.connection.execute(_INPUTS, [self.table, group]).fetchall()
            inputs |= {name: InputIdentity(name, size, version) for name, size, version in rows}
        return inputs

    def position(self, pipeline: str, *, with_inputs: bool, table_exists: bool) -> Position:
        """How far the pipeline has come."""
        entries = self.entries(with_positions=False)
        undone = self.current_epoch(_undone(pipeline)) if self._exists() else 0
        token = token_of(entries, pipeline, there=table_exists, undone=undone)
        if not table_exists:
            return Position(token)
        found = replace(position_of(entries, pipeline, with_inputs=False), token=token)
        if found.last is None:
            return found
        inputs = self._inputs(entries_of(entries, pipeline)) if with_inputs else {}
        return replace(found, last=self._with_positions(found.last), inputs=inputs)

    def check_position(self, load: Load, *, table_exists: bool) -> None:
        """Stop an attempt at a load that follows a position which is no longer the pipeline's.

        :raises PositionMovedError: another run published, or the table was replaced or dropped.
        """
        if load.follows is not None:
            rows = run_sql(self.connection, _TOKENS, [self.table, load.pipeline])
            undone = self.current_epoch(_undone(load.pipeline))
            token = join_token([str(row[0]) for row in rows], there=table_exists, undone=undone)
            check_position(load, token, where=self.shown)

    def find(self, load_id: str) -> tuple[LedgerEntry | None, bool]:
        """The load's entry, and whether another load replaced rows of it since (`supersedes`)."""
        found: LedgerEntry | None = None
        superseded = False
        for entry in self.entries(with_positions=False):
            if entry.load_id == load_id:
                found = entry
            elif found is not None and (entry.created or supersedes(entry.mode, found.mode)):
                superseded = True
        return self._with_positions(found) if found is not None else None, superseded

    def next_epoch(self, load_id: str, *, previous: LedgerEntry | None) -> int:
        """Hand out an epoch that is newer than any before."""
        epoch = max(self.current_epoch(load_id), previous.epoch if previous else 0) + 1
        self._forget_epoch(load_id)
        self.connection.execute(
            "INSERT INTO main._etl_epochs VALUES (?, ?, ?)", [self.table, load_id, epoch]
        )
        return epoch

    def current_epoch(self, load_id: str) -> int:
        """The newest epoch of an attempt that has not published; 0 when there is none."""
        rows = run_sql(
            self.connection,
            "SELECT coalesce(max(epoch), 0) FROM main._etl_epochs WHERE target = ? AND load_id = ?",
            [self.table, load_id],
        )
        return int(str(rows[0][0]))

    def record(self, entry: LedgerEntry) -> None:
        """Write the load's entry in place of an earlier one, and end its epoch."""
        self.connection.execute(
            "DELETE FROM main._etl_loads WHERE target = ? AND load_id = ?",
            [self.table, entry.load_id],
        )
        values = entry_to_dict(replace(entry, target=self.table))
        values["positions"] = json.dumps(entry.positions)
        self.connection.execute(_INSERT, values)
        self._forget_epoch(entry.load_id)

    def forget(self, entry: LedgerEntry) -> None:
        """Take a load out, and let no attempt at it that is under way publish."""
        if entry.created:
            self._retire_older(entry.load_id)
        self.connection.execute(
            "DELETE FROM main._etl_loads WHERE target = ? AND load_id = ?",
            [self.table, entry.load_id],
        )
        self.next_epoch(entry.load_id, previous=entry)
        self.next_epoch(_undone(entry.pipeline), previous=None)

    def _retire_older(self, load_id: str) -> None:
        """Take out the loads from before this one, which made the table anew.

        Only its entry says that their rows are gone.
        """
        retired = run_sql(
            self.connection,
            "DELETE FROM main._etl_loads WHERE target = $1 AND publication < (SELECT "
            "max(publication) FROM main._etl_loads WHERE target = $1 AND load_id = $2) "
            "RETURNING pipeline",
            [self.table, load_id],
        )
        for pipeline in sorted({str(row[0]) for row in retired}):
            self.next_epoch(_undone(pipeline), previous=None)

    def _forget_epoch(self, load_id: str) -> None:
        self.connection.execute(
            "DELETE FROM main._etl_epochs WHERE target = ? AND load_id = ?", [self.table, load_id]
        )

    def _exists(self) -> bool:
        return bool(
            run_sql(
                self.connection,
                "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() "
                "AND schema_name = 'main' AND table_name = '_etl_loads'",
            )
        )

    def _entry(self, values: dict[str, Any]) -> LedgerEntry:
        return replace(entry_from_dict(values), target=self.shown)


def _groups(load_ids: Sequence[str], sizes: dict[str, int]) -> Iterator[list[str]]:
    """Split loads, in order, by how much their positions are together."""
    group: list[str] = []
    taken = 0
    for load_id in load_ids:
        if group and taken + sizes[load_id] > PARSED_BYTES:
            yield group
            group, taken = [], 0
        group.append(load_id)
        taken += sizes[load_id]
    if group:
        yield group
