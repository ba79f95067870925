"""One attempt at one load: rows and ledger row in one transaction."""

from __future__ import annotations

import enum
import logging
import secrets
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_etl_provider.engines.targets.base import LedgerEntry, Publication, Published, WriteSpec
from airflow_etl_provider.engines.targets.ledger import Verdict, entry_of
from airflow_etl_provider.engines.targets.postgres import statements
from airflow_etl_provider.engines.targets.postgres.altering import alter_table
from airflow_etl_provider.engines.targets.postgres.catalog import Column, read_relation
from airflow_etl_provider.engines.targets.postgres.deletes import apply_deletes
from airflow_etl_provider.engines.targets.postgres.ledger import PostgresLedger, lock_target
from airflow_etl_provider.engines.targets.postgres.lookup import OwnTable, PostgresLookups
from airflow_etl_provider.engines.targets.postgres.plan import WritePlan, plan_write
from airflow_etl_provider.engines.targets.postgres.wire import WireFormat
from airflow_etl_provider.exceptions import (
    CancelledError,
    LoadConflictError,
    PositionMovedError,
    TargetChangedError,
    TargetDataError,
    TargetError,
    TargetSchemaError,
    TargetUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from typing_extensions import Self

    from airflow_etl_provider.contracts.load import Load
    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.engines.plan import KeyLookup
    from airflow_etl_provider.engines.targets.postgres.client import PostgresClient

__all__ = ["Attempt", "PostgresSession"]

log = logging.getLogger(__name__)

PUBLISH_IDLE_SECONDS = 60
"""How long a worker that is publishing may stand still between two statements.

The server then ends its session: it holds the ledger's row, for which a newer attempt waits before
it has an epoch by which it could end older ones.
"""

_ABORT_SECONDS = 30.0
"""How long `abort` waits for another thread's statement, once the server was told to stop it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What `begin` settled.

    :param previous: the entry of the same load, as far as one is published.
    """

    load: Load
    schema: Schema
    write: WriteSpec
    plan: WritePlan
    epoch: int
    verdict: Verdict
    previous: LedgerEntry | None


class _State(enum.Enum):
    BEGUN = "begun"
    WRITTEN = "written"
    ENDED = "ended"


class PostgresSession:
    """A load into PostgreSQL.

    :param connect: opens another connection, to find out whether a lost commit took place.
    """

    def __init__(
        self, client: PostgresClient, attempt: Attempt, *, connect: Callable[[], PostgresClient]
    ) -> None:
        self._client = client
        self._attempt = attempt
        self._connect = connect
        self._plan = attempt.plan
        self._ledger = PostgresLedger(attempt.plan.place)
        self._state = _State.BEGUN
        self._busy = threading.Lock()
        self._abandoned = threading.Event()
        self._staging: _Staging | None = None
        self._lookups: PostgresLookups | None = None
        self._rows = 0
        self._made_table = False
        self._input_failure: BaseException | None = None

    @property
    def epoch(self) -> int:
        return self._attempt.epoch

    @property
    def already_loaded(self) -> LedgerEntry | None:
        return self._attempt.previous if self._attempt.verdict == "already_loaded" else None

    @property
    def arrow_schema(self) -> pa.Schema:
        return self._plan.arrow_schema

    def open_lookups(self, wanted: Sequence[KeyLookup]) -> PostgresLookups:
        attempt = self._attempt
        replaced = attempt.load.load_id if attempt.verdict == "replace_load" else None
        client = self._connect()
        try:
            self._lookups = PostgresLookups(
                client,
                wanted,
                columns=attempt.schema,
                own=OwnTable(self._plan.place, attempt.write, replaced_load=replaced),
                home=self._plan.place,
            )
        except BaseException:
            client.close()
            raise
        return self._lookups

    def write(self, batches: pa.RecordBatchReader) -> int:
        with self._working(_State.BEGUN):
            client, attempt = self._client, self._attempt
            client.start(application=self._ledger.application(attempt.load, attempt.epoch))
            # After the name is set: either a newer attempt sees this session, or we see its epoch.
            self._check_turn(lock=False)
            if self._plan.creates:
                self._create_table()
            if attempt.verdict == "replace_load":
                self._delete_earlier_load()
            self._rows = self._copy(batches)
            self._state = _State.WRITTEN
            return self._rows

    def publish(self, publication: Publication) -> Published:
        with self._working(_State.WRITTEN):
            client, attempt = self._client, self._attempt
            client.bound_idle(PUBLISH_IDLE_SECONDS)
            staged = self._staging is not None and (
                attempt.write.mode != "append" or attempt.write.alters
            )
            checked = self._lookups if attempt.write.absent else None
            if checked is not None or staged or attempt.load.follows is not None:
                lock_target(client, self._plan.place)
            self._check_turn(lock=True)
            if checked is not None:
                checked.check_again()
            if self._lookups is not None:
                # It holds the tables that it looked at, also against our own ALTER TABLE.
                self._lookups.close()
            alter_table(client, self._plan.place, attempt.write)
            published = self._apply()
            # What is deferred fails here, where the server still names the constraint.
            client.execute("SET CONSTRAINTS ALL IMMEDIATE", doing="the rows for")
            entry = entry_of(
                load=attempt.load,
                write=attempt.write,
                target=self._plan.place.key,
                epoch=attempt.epoch,
                publication=publication,
                published=published,
                published_at="",
                created=self._plan.creates,
            )
            self._ledger.record(client, entry)
            if self._staging is not None:
                client.execute(
                    statements.drop_table(self._staging.schema, self._staging.name),
                    doing="the staging table of",
                )
            self._commit()
            self._end()
            log.info(
                "published load %s into %s: %d rows, epoch %d",
                attempt.load.load_id,
                client.where,
                published.rows_loaded,
                attempt.epoch,
            )
            return published

    def interrupt(self) -> None:
        if self._lookups is not None:
            self._lookups.interrupt()
        self._client.cancel()

    def abort(self) -> None:
        self._abandoned.set()
        waited = 0.0
        while not self._busy.acquire(timeout=0.2):
            # Again and again: a cancel between two statements has no effect.
            self._client.cancel()
            waited += 0.2
            if waited > _ABORT_SECONDS:
                # Its reader does not give the thread back. The transaction is broken by the cancel,
                # and the thread closes the connection when it returns.
                log.warning(
                    "load %s: aborted while it was still reading", self._attempt.load.load_id
                )
                return
        try:
            self._end()
        finally:
            self._busy.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()

    @contextmanager
    def _working(self, state: _State) -> Iterator[None]:
        with self._busy:
            if self._abandoned.is_set():
                raise self._aborted()
            if self._state is not state:
                raise RuntimeError(f"a session that has {self._state.value} can't do this")
            try:
                yield
            except BaseException as error:
                moved = self._moved() if isinstance(error, TargetDataError) else None
                self._end()
                if moved is not None:
                    raise moved from None
                raise
            if self._abandoned.is_set() and self._state is not _State.ENDED:
                self._end()
                raise self._aborted()

    def _check_turn(self, *, lock: bool) -> None:
        """Stop an attempt that may not publish any more.

        The first attempt that follows a position wins; of other loads the newest attempt does.
        """
        client, attempt = self._client, self._attempt
        if attempt.load.follows is not None:
            there = not self._made_table and (
                read_relation(client, self._plan.place, where=client.where) is not None
            )
            self._ledger.check_position(client, attempt.load, there=there)
        else:
            self._ledger.check_epoch(client, attempt.load, attempt.epoch, lock=lock)

    def _moved(self) -> PositionMovedError | None:
        """Tell whether rows were refused because another run has published the same ones.

        It may have waited for that run at an index of the table, long before it publishes.
        """
        load = self._attempt.load
        if load.follows is None or self._abandoned.is_set():
            return None
        try:
            self._client.rollback()
            self._client.start()
            self._check_turn(lock=False)
        except PositionMovedError as error:
            return error
        except TargetError as error:
            # What the table said of the rows is told, then.
            log.debug("load %s: its position is unknown (%s)", load.load_id, error.code)
        return None

    def _aborted(self) -> CancelledError:
        return CancelledError(
            f"Load {self._attempt.load.load_id} was aborted; nothing was published."
        )

    def _end(self) -> None:
        self._state = _State.ENDED
        if self._lookups is not None:
            self._lookups.close()
        self._client.close()

    def _create_table(self) -> None:
        attempt, place = self._attempt, self._plan.place
        lock_target(self._client, place)
        relation = read_relation(self._client, place, where=self._client.where)
        if relation is None:
            self._client.execute(
                statements.create_table(place, self._plan.created), doing="to create"
            )
            self._made_table = True
            return
        # Another load created it while this one waited for the lock, or before.
        try:
            found = plan_write(
                relation,
                place=place,
                schema=attempt.schema,
                write=attempt.write,
                where=self._client.where,
            )
        except TargetSchemaError:
            # By the table as it is, another run may well plan something that fits.
            found = None
        if found is None or found.arrow_schema != self._plan.arrow_schema:
            raise TargetChangedError(
                f"{self._client.where} was created meanwhile with other columns than this load's.",
                hint="Run again; the load then goes by the table as it is.",
            )
        self._plan = found

    def _delete_earlier_load(self) -> None:
        previous = self._attempt.previous
        deleted = self._client.execute(
            statements.delete_load(self._plan.place),
            [self._attempt.load.load_id],
            doing="to remove the earlier load from",
        )
        if previous is not None and previous.rows_loaded and not deleted:
            raise LoadConflictError(
                f"None of the {previous.rows_loaded} rows of the earlier load {previous.load_id} "
                f"in {self._client.where} carries its id, so they can't be replaced.",
                hint="They were loaded without `load_columns`. Remove them by hand together with "
                "the ledger row, and run again.",
            )

    def _copy(self, batches: pa.RecordBatchReader) -> int:
        plan = self._plan
        schema, table = plan.place.schema, plan.place.table
        if plan.staged:
            self._staging = self._create_staging()
            schema, table = self._staging.schema, self._staging.name
        wire = WireFormat(
            schema=plan.arrow_schema,
            encodings=tuple(column.encoding for column in plan.handed_over),
            constants=self._constants(),
        )
        wire.check(batches.schema)
        stream = pa.RecordBatchReader.from_batches(
            wire.wire_schema, self._watched(wire.encode(iter(batches)))
        )
        failure: BaseException
        try:
            names = [column.name for column in plan.staging]
            return self._client.copy(table, stream, schema=schema, columns=names)
        except Exception as error:  # noqa: BLE001 - raised below, without the driver's words
            failure = error
        if self._abandoned.is_set():
            failure = self._aborted()
        # The driver knows only that its input broke off, and quotes the input's traceback.
        raise self._input_failure or failure

    def _watched(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                if self._abandoned.is_set():
                    raise self._aborted()
                yield batch
        except GeneratorExit:
            raise
        except BaseException as error:
            self._input_failure = error
            raise

    def _create_staging(self) -> _Staging:
        plan, write = self._plan, self._attempt.write
        name = f"_etl_staging_{secrets.token_hex(8)}"
        temporary = plan.place.may_use_temporary
        schema = "pg_temp" if temporary else plan.place.schema
        statement = statements.create_staging(
            schema, name, plan.staging, not_null=write.key, temporary=temporary
        )
        self._client.execute(statement, doing="a staging table for")
        return _Staging(schema, name)

    def _constants(self) -> tuple[tuple[str, str | int], ...]:
        if not self._plan.extra:
            return ()
        rows = self._client.query(
            "SELECT CAST(extract(epoch FROM now()) * 1000000 AS int8)", doing="the clock of"
        )
        values: dict[str, str | int] = {
            "_etl_load_id": self._attempt.load.load_id,
            "_etl_loaded_at": int(rows[0][0]),
        }
        return tuple((column.name, values[column.name]) for column in self._plan.extra)

    def _apply(self) -> Published:
        """Make the written rows the table's, still unseen by others."""
        client, plan, write = self._client, self._plan, self._attempt.write
        published = Published(rows_loaded=self._rows)
        if self._staging is not None:
            if write.mode == "replace" and not plan.creates:
                # TRUNCATE would lock readers out, and show readers of an older snapshot no rows.
                client.execute(statements.delete_rows(plan.place), doing="to replace the rows of")
            if write.mode == "replace_partition" and not plan.creates:
                self._delete_partitions(self._staging)
            published = self._publish_staging(self._staging)
        if plan.creates and write.mode == "merge":
            client.execute(
                statements.add_primary_key(plan.place, write.key), doing="the primary key of"
            )
        return published

    def _delete_partitions(self, staging: _Staging) -> None:
        plan = self._plan
        columns = [c for c in plan.columns if c.name in self._attempt.write.partition_by]
        at = statements.count_null_partitions(columns, schema=staging.schema, name=staging.name)
        # Finding the others' rows takes one look at the table, and a second one for these.
        with_nulls = self._client.query(at, doing="the staged rows for")[0][0]
        for nulls in (False, True) if with_nulls else (False,):
            self._client.execute(
                statements.delete_partitions(
                    plan.place, columns, nulls=nulls, schema=staging.schema, name=staging.name
                ),
                doing="to replace partitions of",
            )

    def _publish_staging(self, staging: _Staging) -> Published:
        client, plan, write = self._client, self._plan, self._attempt.write
        columns: tuple[Column, ...] = plan.all_columns
        gone = Published(0)
        if plan.deletes:
            gone = apply_deletes(
                client, plan=plan, write=write, schema=staging.schema, name=staging.name
            )
            self._rows -= gone.rows_deleted + gone.rows_deduplicated
        older = 0
        if write.mode == "merge" and not plan.creates:
            older = self._count_older(staging)
            statement = statements.merge_from_staging(
                plan.place,
                columns,
                key=write.key,
                latest_by=write.latest_by,
                schema=staging.schema,
                name=staging.name,
                deleted_at=plan.deleted_at.name if plan.deleted_at is not None else None,
            )
        else:
            statement = statements.insert_from_staging(
                plan.place, columns, schema=staging.schema, name=staging.name
            )
        taken = client.execute(statement, doing="the rows for")
        # All of them are taken in spite of older ones where a trigger sets `latest_by`.
        if taken not in (self._rows, self._rows - older) and not self._overtaken(staging, taken):
            counted = f" ({older} of them older than what it holds)" if older else ""
            raise TargetDataError(
                f"{client.where} took {taken} of {self._rows} rows{counted}: a trigger, rule or "
                "policy of the table suppresses the others. Nothing was published.",
                hint="Filter those rows in the pipeline, where they are counted.",
            )
        return Published(
            rows_loaded=taken,
            rows_deduplicated=self._rows - taken + gone.rows_deduplicated,
            rows_deleted=gone.rows_deleted,
        )

    def _count_older(self, staging: _Staging) -> int:
        """Count what the merge leaves out; the server reports only the rows that it took.

        Before it, since a trigger may set `latest_by` of what it takes.
        """
        plan, write = self._plan, self._attempt.write
        if write.latest_by is None:
            return 0
        statement = statements.count_older(
            plan.place,
            plan.all_columns,
            key=write.key,
            latest_by=write.latest_by,
            schema=staging.schema,
            name=staging.name,
        )
        return int(self._client.query(statement, doing="the rows for")[0][0])

    def _overtaken(self, staging: _Staging, taken: int) -> bool:
        """Whether others, who need no lock of ours, wrote newer rows since they were counted."""
        if self._plan.creates or self._attempt.write.mode != "merge":
            return False
        # The merge holds a lock on each row that it left alone, so this count stays true.
        return taken + self._count_older(staging) == self._rows

    def _commit(self) -> None:
        try:
            self._client.commit()
        except TargetUnavailableError as error:
            lost = error
        else:
            return
        if not self._took_place():
            raise lost
        log.warning("the connection broke at the commit, which took place")

    def _took_place(self) -> bool:
        """Look from another connection whether the commit whose answer was lost came through."""
        load = self._attempt.load
        client = self._connect()
        try:
            client.start()
            # Waits for the lost transaction, should the server still be at it.
            self._ledger.wait_for_others(client, load.load_id)
            entries = self._ledger.entries(client, load.load_id)
            return bool(entries) and entries[0].epoch == self._attempt.epoch
        finally:
            client.close()


@dataclass(frozen=True, slots=True)
class _Staging:
    """A table that lives as long as the transaction."""

    schema: str
    name: str
