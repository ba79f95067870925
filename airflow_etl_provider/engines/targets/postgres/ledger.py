"""The table `_etl_loads` beside the target's: epochs, and the proof of what was loaded."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.contracts.load import InputIdentity
from airflow_etl_provider.engines.targets.base import LedgerEntry, Position
from airflow_etl_provider.engines.targets.ledger import (
    check_position,
    entry_from_dict,
    join_token,
)
from airflow_etl_provider.engines.targets.postgres.statements import on_table
from airflow_etl_provider.exceptions import FencedError, TargetPermissionError

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.load import Load
    from airflow_etl_provider.engines.targets.postgres.catalog import Place
    from airflow_etl_provider.engines.targets.postgres.client import PostgresClient

__all__ = ["LEDGER_TABLE", "PostgresLedger", "lock_target"]

LEDGER_TABLE = "_etl_loads"

_LOCK_CLASS = 0x0E71
"""The first half of our advisory locks' keys; the second is a hash of the table's name."""


def lock_target(client: PostgresClient, place: Place) -> None:
    """Hold the right to create, replace or merge into a table until the transaction ends.

    Readers and other writers are not kept out. Always taken before a row of the ledger is locked.
    """
    client.query(
        "SELECT 1 FROM pg_advisory_xact_lock(CAST($1 AS int4), hashtext($2))",
        [_LOCK_CLASS, place.key],
        doing="the lock of",
    )


@dataclass(frozen=True, slots=True)
class PostgresLedger:
    """The ledger rows of one target table."""

    place: Place

    def is_there(self, client: PostgresClient) -> bool:
        """Look for the table; one of an earlier version gets the columns that it lacks.

        :raises TargetPermissionError: it lacks some, and this role may not add them.
        """
        rows = client.query(_FIND, [self.place.schema, LEDGER_TABLE], doing="the ledger of")
        lacking = [name for name in _ADDED_LATER if rows and name not in rows[0][0]]
        if lacking:
            self._add_columns(client, lacking)
        return bool(rows)

    def _add_columns(self, client: PostgresClient, names: list[str]) -> None:
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS {n} {_ADDED_LATER[n]}" for n in names)
        statement = self._sql(f"ALTER TABLE table_placeholder {added}")
        try:
            client.execute(statement, doing="the ledger table of")
        except TargetPermissionError as error:
            denied = error
        else:
            return
        raise TargetPermissionError(
            f"The ledger table {self.place.schema}.{LEDGER_TABLE} was made by an earlier version "
            f"and lacks {', '.join(names)}; this role does not own it. {denied.message}",
            hint=f"Have its owner run {statement}, or let this role do so: GRANT its owner to it.",
        )

    def ensure(self, client: PostgresClient) -> None:
        """Create the table if it is missing.

        :raises TargetPermissionError: this role may not.
        """
        if self.is_there(client):
            return
        # All tables of a schema have one ledger, and first loads of several may begin at once:
        # even `CREATE TABLE IF NOT EXISTS` fails for the second of them.
        lock_target(client, replace(self.place, table=LEDGER_TABLE))
        if self.is_there(client):
            return
        try:
            client.execute(self._sql(_CREATE), doing="the ledger table of")
        except TargetPermissionError as error:
            denied = error
        else:
            return
        raise TargetPermissionError(
            f"The ledger table {self.place.schema}.{LEDGER_TABLE} is missing and this role may not "
            f"create it. {denied.message}",
            hint=f"GRANT CREATE ON SCHEMA to this role, or create {LEDGER_TABLE} for it (docs page "
            "`targets-postgres`).",
        )

    def next_epoch(self, client: PostgresClient, load: Load) -> int:
        """Count this attempt; waits for another attempt of the same load that is publishing."""
        rows = client.query(
            self._sql(_NEXT_EPOCH),
            [load.load_id, self.place.key, load.pipeline, load.window],
            doing="the ledger of",
        )
        return int(rows[0][0])

    def entries(self, client: PostgresClient, load_id: str | None = None) -> list[LedgerEntry]:
        """All published loads, or the one with this id; oldest first."""
        if load_id is not None:
            return self._entries(client, _ENTRY, [self.place.key, load_id])
        return self._entries(client, _ENTRIES, [self.place.key])

    def _entries(
        self, client: PostgresClient, sql: str, parameters: list[str]
    ) -> list[LedgerEntry]:
        names = [field.name for field in fields(LedgerEntry)]
        return [
            entry_from_dict(dict(zip(names, row, strict=True)))
            for row in client.query(self._sql(sql), parameters, doing="the ledger of")
        ]

    def token(self, client: PostgresClient, pipeline: str, *, there: bool) -> str:
        """The token of the pipeline's position.

        :param there: the table exists.
        """
        parameters = [self.place.key, pipeline]
        undone = client.query(self._sql(_COUNT_UNDONE), parameters, doing="the ledger of")
        rows = client.query(self._sql(_TOKENS), parameters, doing="the ledger of")
        return join_token([str(row[0]) for row in rows], there=there, undone=int(undone[0][0]))

    def position(self, client: PostgresClient, pipeline: str, *, with_inputs: bool) -> Position:
        """How far the pipeline has come in a table that is there."""
        # First of all, so that what is published between the queries makes this position an old
        # one, and not the loads that it does not know of known.
        token = self.token(client, pipeline, there=True)
        parameters = [self.place.key, pipeline]
        entries = self._entries(client, _LAST, parameters)
        inputs: dict[str, InputIdentity] = {}
        if with_inputs:
            loaded = client.query(self._sql(_LOADED), parameters, doing="the ledger of")
            inputs = {row[0]: InputIdentity(*row) for row in loaded}
        return Position(token, entries[0] if entries else None, inputs)

    def check_position(self, client: PostgresClient, load: Load, *, there: bool) -> None:
        """Stop an attempt at a load that follows a position which is no longer the pipeline's.

        It holds for the transaction only if the target is locked.

        :param there: the table existed when this transaction began.
        :raises PositionMovedError: another run published, or the table was replaced or dropped.
        """
        if load.follows is not None:
            token = self.token(client, load.pipeline, there=there)
            check_position(load, token, where=client.where)

    def later_by_column(self, client: PostgresClient, load_id: str) -> int:
        """Count the loads by column of the same pipeline that came after this one."""
        parameters = [self.place.key, load_id]
        rows = client.query(self._sql(_LATER_BY_COLUMN), parameters, doing="the ledger of")
        return int(rows[0][0])

    def is_superseded(self, client: PostgresClient, load_id: str) -> bool:
        """Whether another load replaced rows of this one after it was published (`supersedes`)."""
        rows = client.query(
            self._sql(_SUPERSEDED), [self.place.key, load_id], doing="the ledger of"
        )
        return bool(rows[0][0])

    def check_epoch(self, client: PostgresClient, load: Load, epoch: int, *, lock: bool) -> None:
        """Stop an attempt that a newer one took over from.

        :param lock: hold the row until the transaction ends, so that no newer one can begin.
        :raises FencedError: there is a newer epoch, or the row is gone.
        """
        rows = client.query(
            self._sql(_LOCK_EPOCH if lock else _EPOCH),
            [load.load_id, self.place.key],
            doing="the ledger of",
        )
        if not rows or rows[0][0] != epoch:
            newest = f"epoch {rows[0][0]}" if rows else "no epoch, its row was deleted"
            raise FencedError(
                f"Load {load.load_id} into {client.where} began again: this attempt has "
                f"epoch {epoch}, the ledger {newest}. This attempt publishes nothing.",
                hint="Let the newer attempt finish.",
            )

    def wait_for_others(self, client: PostgresClient, load_id: str) -> None:
        """Wait until no other transaction holds this load's row, and hold it."""
        client.query(self._sql(_LOCK_EPOCH), [load_id, self.place.key], doing="the ledger of")

    def record(self, client: PostgresClient, entry: LedgerEntry) -> None:
        """Write the proof, in the transaction that holds the rows."""
        values: list[Any] = [getattr(entry, name) for name in _RECORDED]
        values.append(json.dumps(entry.positions))
        client.execute(
            self._sql(_RECORD), [entry.load_id, entry.target, *values], doing="the ledger of"
        )

    def take_over(self, client: PostgresClient, load_id: str) -> int:
        """Count one more epoch, so that no attempt under way publishes any more.

        It waits for one that is publishing.
        """
        rows = client.query(self._sql(_TAKE_OVER), [load_id, self.place.key], doing="the ledger of")
        return int(rows[0][0])

    def mark_undone(self, client: PostgresClient, entry: LedgerEntry) -> None:
        """Say that the load is published no more.

        Where it made the table anew, only its entry says that the rows of older loads are gone: so
        these are not published any more either.
        """
        parameters = [entry.load_id, self.place.key]
        if entry.created:
            client.execute(self._sql(_RETIRE_OLDER), parameters, doing="the ledger of")
        client.execute(self._sql(_UNDONE), parameters, doing="the ledger of")

    def application(self, load: Load, epoch: int) -> str:
        """Name the session that writes an attempt, at most 63 bytes: seen in pg_stat_activity."""
        return f"{self._application(load.load_id)}{epoch}"

    def end_older_attempts(self, client: PostgresClient, load_id: str, epoch: int) -> None:
        """End the sessions of this load's older attempts, which can only hold locks any more.

        The epoch is committed before: none of them can publish.
        """
        client.query(
            _END_OLDER, [self._application(load_id), epoch], doing="to end older attempts on"
        )

    def _application(self, load_id: str) -> str:
        load_id = load_id.encode("ascii", "replace").decode()[:32]
        return f"etl {load_id} {zlib.crc32(self.place.key.encode()):08x} "

    def _sql(self, sql: str) -> str:
        return on_table(sql, schema=self.place.schema, table=LEDGER_TABLE)


_FIND = """
SELECT ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2
"""

_ADDED_LATER = {"created": "boolean"}
"""Columns that the ledgers of earlier versions lack; NULL in their rows."""

_CREATE = """
CREATE TABLE table_placeholder (
  load_id text NOT NULL,
  target text NOT NULL,
  epoch bigint NOT NULL,
  status text NOT NULL,
  pipeline text NOT NULL,
  "window" text NOT NULL,
  mode text,
  published_epoch bigint,
  input_hash text,
  contract_hash text,
  run_id text,
  published_at timestamptz,
  rows_read bigint,
  rows_loaded bigint,
  rows_quarantined bigint,
  rows_filtered bigint,
  rows_deduplicated bigint,
  rows_deleted bigint,
  quarantine text,
  quarantine_checksum text,
  positions jsonb,
  created boolean,
  PRIMARY KEY (load_id, target)
)
"""

_NEXT_EPOCH = """
INSERT INTO table_placeholder AS held (load_id, target, epoch, status, pipeline, "window")
VALUES ($1, $2, 1, 'begun', $3, $4)
ON CONFLICT (load_id, target) DO UPDATE SET epoch = held.epoch + 1
RETURNING epoch
"""

_EPOCH = "SELECT epoch FROM table_placeholder WHERE load_id = $1 AND target = $2"
_LOCK_EPOCH = f"{_EPOCH} FOR UPDATE"

_TAKE_OVER = """
UPDATE table_placeholder SET epoch = epoch + 1 WHERE load_id = $1 AND target = $2
RETURNING epoch
"""
_UNDONE = """
UPDATE table_placeholder SET status = 'undone' WHERE load_id = $1 AND target = $2
"""
_RETIRE_OLDER = """
UPDATE table_placeholder SET status = 'undone'
WHERE target = $2 AND status = 'published' AND published_at < (
  SELECT published_at FROM table_placeholder WHERE load_id = $1 AND target = $2
)
"""

_ENTRIES = """
SELECT load_id, pipeline, "window", target, mode, published_epoch, input_hash, contract_hash,
       run_id,
       to_char(published_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
       rows_read, rows_loaded, rows_quarantined, rows_filtered, rows_deduplicated, rows_deleted,
       quarantine, quarantine_checksum, CAST(positions AS text), coalesce(created, false)
FROM table_placeholder
WHERE target = $1 AND status = 'published'
ORDER BY published_at
"""
_ENTRY = _ENTRIES.replace("ORDER BY published_at", "AND load_id = $2")

_COUNT_UNDONE = """
SELECT count(*) FROM table_placeholder
WHERE target = $1 AND pipeline = $2 AND status = 'undone'
"""

# The pipeline's newest load, and those after it that cleared the table.
_TOKENS = """
SELECT load_id || '/' || published_epoch
FROM table_placeholder
WHERE target = $1 AND status = 'published' AND (pipeline = $2 OR mode = 'replace' OR created)
  AND published_at >= (
    SELECT max(published_at) FROM table_placeholder
    WHERE target = $1 AND pipeline = $2 AND status = 'published'
  )
ORDER BY published_at
"""

_KEPT = """AND pipeline = $2 AND published_at >= (
  SELECT coalesce(max(published_at), '-infinity')
  FROM table_placeholder
  WHERE target = $1 AND status = 'published' AND (mode = 'replace' OR created)
)
ORDER BY published_at
"""
_LAST = _ENTRIES.replace("ORDER BY published_at", _KEPT) + "DESC LIMIT 1"

_LOADED = """
SELECT input ->> 'name', CAST(input ->> 'size' AS int8), input ->> 'version'
FROM table_placeholder, jsonb_array_elements(positions -> 'inputs') AS inputs (input)
WHERE target = $1 AND status = 'published'
  AND ("window" LIKE 'input:%' OR "window" LIKE 'after:%')
"""
_LOADED += _KEPT

_LATER_BY_COLUMN = """
SELECT count(*)
FROM table_placeholder AS mine
JOIN table_placeholder AS other ON other.target = mine.target AND other.pipeline = mine.pipeline
WHERE mine.target = $1 AND mine.load_id = $2 AND other.status = 'published'
  AND other.positions -> 'column' IS NOT NULL AND other.published_at > mine.published_at
"""

_SUPERSEDED = """
SELECT count(*) > 0
FROM table_placeholder AS mine
JOIN table_placeholder AS other ON other.target = mine.target
WHERE mine.target = $1 AND mine.load_id = $2 AND other.load_id <> mine.load_id
  AND other.status = 'published'
  AND (other.created OR other.mode = 'replace'
       OR other.mode = 'replace_partition' AND mine.mode IN ('replace', 'replace_partition'))
  AND other.published_at > mine.published_at
"""

_RECORDED = (
    "mode",
    "epoch",
    "input_hash",
    "contract_hash",
    "run_id",
    "rows_read",
    "rows_loaded",
    "rows_quarantined",
    "rows_filtered",
    "rows_deduplicated",
    "rows_deleted",
    "quarantine",
    "quarantine_checksum",
    "created",
)
# Later than every load before, even where the server's clock was put back meanwhile.
_RECORD = """
UPDATE table_placeholder
SET status = 'published',
    published_at = greatest(clock_timestamp(), (
      SELECT max(published_at) + interval '1 microsecond'
      FROM table_placeholder WHERE target = $2 AND status = 'published'
    )),
    mode = $3, published_epoch = $4, input_hash = $5, contract_hash = $6, run_id = $7,
    rows_read = $8, rows_loaded = $9, rows_quarantined = $10, rows_filtered = $11,
    rows_deduplicated = $12, rows_deleted = $13, quarantine = $14, quarantine_checksum = $15,
    created = $16, positions = CAST($17 AS jsonb)
WHERE load_id = $1 AND target = $2
"""

_END_OLDER = """
SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
  AND CASE WHEN left(application_name, length($1)) = $1
           THEN CAST(substring(application_name FROM length($1) + 1) AS int8) < $2
           ELSE false END
"""
