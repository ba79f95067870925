"""A PostgreSQL table that can be loaded."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.targets.base import Position, Undone
from airflow_etl_provider.engines.targets.ledger import (
    check_undone,
    judge_reload,
    judge_undo,
    refuse_undo_below_mark,
    require_load_columns,
)
from airflow_etl_provider.engines.targets.postgres.altering import plan_altered
from airflow_etl_provider.engines.targets.postgres.catalog import Place, find_place, read_relation
from airflow_etl_provider.engines.targets.postgres.client import PostgresClient
from airflow_etl_provider.engines.targets.postgres.ledger import PostgresLedger, lock_target
from airflow_etl_provider.engines.targets.postgres.lookup import PostgresLookups
from airflow_etl_provider.engines.targets.postgres.plan import MAX_NAME_BYTES, plan_write
from airflow_etl_provider.engines.targets.postgres.session import Attempt, PostgresSession
from airflow_etl_provider.engines.targets.postgres.statements import delete_load
from airflow_etl_provider.engines.targets.postgres.types import limit_of
from airflow_etl_provider.engines.targets.postgres.uri import server_of
from airflow_etl_provider.engines.targets.table_name import parse_table_name
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.contracts.load import Load
    from airflow_etl_provider.contracts.schema import Limit, Schema
    from airflow_etl_provider.contracts.types import LogicalType
    from airflow_etl_provider.engines.plan import KeyLookup
    from airflow_etl_provider.engines.targets.base import LedgerEntry, WriteSpec

__all__ = ["LOCK_TIMEOUT", "PostgresTarget"]

LOCK_TIMEOUT = 600.0
"""Seconds to wait for a lock where the pipeline does not say."""


class PostgresTarget:
    """One table of a PostgreSQL database, there or to be created.

    ```python
    target = PostgresTarget(connection, table="sales.orders")
    with target.begin(load=load, schema=schema, write=WriteSpec(mode="append")) as session:
        session.write(batches)
        session.publish(publication)
    ```

    :param table: `table`, which means the connection's current schema, or `schema.table`; names
        are taken as they are written, and one with a dot in it goes into double quotes.
    :param lock_timeout: seconds to wait for a lock that others hold; None waits for ever.
    :param statement_timeout: seconds that one statement may take, COPY included; None leaves the
        role's own setting.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        table: str,
        lock_timeout: float | None = LOCK_TIMEOUT,
        statement_timeout: float | None = None,
    ) -> None:
        self._connection = connection
        self._table = parse_table_name(table)
        for part in filter(None, (self._table.schema, self._table.name)):
            if len(part.encode()) > MAX_NAME_BYTES:
                raise SpecificationError(
                    f"{part!r} has more than the {MAX_NAME_BYTES} bytes of a name in PostgreSQL."
                )
        self._place: Place | None = None
        self._timeouts = {"lock_timeout": int((lock_timeout or 0) * 1000)}
        if statement_timeout is not None:
            self._timeouts["statement_timeout"] = int(statement_timeout * 1000)

    def __repr__(self) -> str:
        return f"PostgresTarget({self.name!r})"

    @property
    def name(self) -> str:
        return f"{server_of(self._connection)}/{self._table}"

    @property
    def table_schema(self) -> str | None:
        return self._place.schema if self._place is not None else self._table.schema

    @property
    def quarantine_home(self) -> str | None:
        return None

    def schema(self) -> Schema | None:
        with closing(self._connect()) as client:
            client.start()
            place = find_place(client, self._table, where=server_of(self._connection))
            self._place = place
            relation = read_relation(client, place, where=self.name)
            return None if relation is None else relation.schema

    def limit_of(self, of: LogicalType) -> Limit | None:
        return limit_of(of)

    def begin(self, *, load: Load, schema: Schema, write: WriteSpec) -> PostgresSession:
        require_load_columns(load, write)
        client = self._connect()
        try:
            client.start()
            attempt = self._begin(client, load=load, schema=schema, write=write)
            if attempt.verdict == "already_loaded":
                client.close()
        except BaseException:
            client.close()
            raise
        return PostgresSession(client, attempt, connect=self._connect)

    def open_lookups(self, wanted: Sequence[KeyLookup], *, columns: Schema) -> PostgresLookups:
        client = self._connect()
        try:
            client.start()
            place = find_place(client, self._table, where=server_of(self._connection))
            client.rollback()
            return PostgresLookups(client, wanted, columns=columns, own=None, home=place)
        except BaseException:
            client.close()
            raise

    def ledger(self) -> list[LedgerEntry]:
        with closing(self._connect()) as client:
            client.start()
            place = find_place(client, self._table, where=server_of(self._connection))
            ledger = PostgresLedger(place)
            return ledger.entries(client) if ledger.is_there(client) else []

    def undo(self, load_id: str) -> Undone:
        with closing(self._connect()) as client:
            client.start()
            place = find_place(client, self._table, where=server_of(self._connection))
            ledger = PostgresLedger(place)
            self._judge_undo(client, ledger, load_id)
            epoch = ledger.take_over(client, load_id)
            client.commit()
            # An attempt under way may hold the rows, and wait for the ledger's as we do for those.
            client.start()
            ledger.end_older_attempts(client, load_id, epoch)
            client.commit()
            client.start()
            lock_target(client, place)
            ledger.wait_for_others(client, load_id)
            undone = self._undo(client, ledger, load_id)
            client.commit()
            return undone

    def _judge_undo(
        self, client: PostgresClient, ledger: PostgresLedger, load_id: str
    ) -> tuple[LedgerEntry, bool, bool]:
        """The load, whether there is a table at all, and whether that was made anew since."""
        entries = ledger.entries(client, load_id) if ledger.is_there(client) else []
        relation = read_relation(client, ledger.place, where=self.name)
        marked = relation is None or relation.column("_etl_load_id") is not None
        entry = entries[0] if entries else None
        judged = judge_undo(entry, load_id, target=self.name, load_columns=marked)
        gone = relation is None or ledger.is_superseded(client, load_id)
        later = ledger.later_by_column(client, load_id)
        refuse_undo_below_mark(judged, later=later, gone=gone)
        return judged, relation is not None, gone

    def _undo(self, client: PostgresClient, ledger: PostgresLedger, load_id: str) -> Undone:
        entry, there, gone = self._judge_undo(client, ledger, load_id)
        deleted = 0
        if there:
            deleted = client.execute(
                delete_load(ledger.place), [load_id], doing="to remove the load from"
            )
        check_undone(entry, deleted=deleted, gone=gone)
        # What is deferred fails here, where the server still names the constraint.
        client.execute("SET CONSTRAINTS ALL IMMEDIATE", doing="to remove the load from")
        ledger.mark_undone(client, entry)
        return Undone(entry, deleted)

    def position(self, pipeline: str, *, with_inputs: bool) -> Position:
        with closing(self._connect()) as client:
            client.start()
            place = find_place(client, self._table, where=server_of(self._connection))
            ledger = PostgresLedger(place)
            if not ledger.is_there(client):
                return Position()
            if read_relation(client, place, where=self.name) is None:
                return Position(ledger.token(client, pipeline, there=False))
            return ledger.position(client, pipeline, with_inputs=with_inputs)

    def close(self) -> None:
        """Do nothing: each call opens a connection of its own, and each session closes its own."""

    def _begin(
        self, client: PostgresClient, *, load: Load, schema: Schema, write: WriteSpec
    ) -> Attempt:
        place = find_place(client, self._table, where=server_of(self._connection))
        ledger = PostgresLedger(place)
        ledger.ensure(client)
        epoch = ledger.next_epoch(client, load)
        # The table is looked at once no other attempt of this load is publishing, and creating it.
        relation = plan_altered(
            client,
            read_relation(client, place, where=self.name),
            place=place,
            write=write,
            where=self.name,
        )
        plan = plan_write(relation, place=place, schema=schema, write=write, where=self.name)
        entries = ledger.entries(client, load.load_id)
        previous = entries[0] if entries else None
        # A table that was dropped holds nothing of what its ledger tells.
        verdict = judge_reload(
            previous if relation is not None else None,
            load=load,
            write=write,
            superseded=previous is not None and ledger.is_superseded(client, load.load_id),
        )
        if verdict == "already_loaded" and previous is not None:
            # The epoch is not counted: whoever loads other input under this id may go on.
            client.rollback()
            return Attempt(load, schema, write, plan, previous.epoch, verdict, previous)
        ledger.check_position(client, load, there=relation is not None)
        client.commit()
        if load.follows is None:
            client.start()
            ledger.end_older_attempts(client, load.load_id, epoch)
            client.commit()
        return Attempt(load, schema, write, plan, epoch, verdict, previous)

    def _connect(self) -> PostgresClient:
        return PostgresClient(self._connection, where=self.name, timeouts=self._timeouts)
