"""The batch engine: one pipeline, one load, one report."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.report import RunReport, Status
from airflow_etl_provider.engines.progress import Beats, Progress
from airflow_etl_provider.engines.stopping import interrupted_by
from airflow_etl_provider.exceptions import (
    BudgetExceededError,
    CancelledError,
    EtlError,
    FencedError,
    LoadConflictError,
    LoadRuleError,
    QuarantineError,
    TargetChangedError,
    TargetDataError,
    TargetMissingError,
    TargetPermissionError,
    TargetSchemaError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.engines.attempt import Attempt
    from airflow_etl_provider.engines.backends.base import Backend
    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
    from airflow_etl_provider.engines.lineage import Flow
    from airflow_etl_provider.engines.preparation import Prepared
    from airflow_etl_provider.engines.quarantine import Manifest, QuarantineWriter
    from airflow_etl_provider.engines.quarantine.manifest import Status as Outcome
    from airflow_etl_provider.engines.targets.base import LedgerEntry, LoadSession, Published

__all__ = ["EngineOptions", "Progress", "Window", "run_pipeline"]

log = logging.getLogger(__name__)


REFUSALS = (
    LoadConflictError,
    TargetChangedError,
    TargetDataError,
    TargetMissingError,
    TargetPermissionError,
    TargetSchemaError,
)
"""Answers of a target that is there: it has published nothing, for certain."""

_NOTHING_LOADED = {
    "replace": "No row was loaded, and the target was replaced by that: it is empty now.",
    "replace_partition": "No row was loaded, so no partition was replaced: all rows stay.",
}
"""What people are told of a load without rows, by mode."""


@dataclass(frozen=True, slots=True)
class Window:
    """The data interval of a run: start included, end excluded; both with a time zone."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the machine offers and the caller wants.

    :param quarantine_home: where rejected rows go when neither the pipeline nor the target says so.
    :param scratch: where spilled rows go; the system's temporary folder when absent.
    :param memory_limit: bytes that DuckDB may hold; the rest of the process comes on top.
        At least 64 MiB, and 160 KiB per column.
    :param all_text: convert no cell; every column is text.
    """

    quarantine_home: Path = Path("quarantine")
    scratch: Path | None = None
    threads: int | None = None
    memory_limit: int = 256 * 2**20
    all_text: bool = False


def run_pipeline(
    pipeline: Pipeline,
    *,
    connections: Connections,
    run_id: str,
    window: Window | None = None,
    base: Path | None = None,
    options: EngineOptions | None = None,
    clock: Callable[[], datetime],
    progress: Callable[[Progress], None] | None = None,
    cancel: Callable[[], bool] | None = None,
    planned: Callable[[Flow], None] | None = None,
) -> RunReport:
    """Load what the source holds into the target, whole or not at all.

    :param base: folder that relative locations and contract files start from (the pipeline file's).
    :param progress: called at most about once a second, and at the end of each stage.
    :param cancel: asked between batches, and by another thread while queries run; True stops the
        run, which then publishes nothing.
    :param planned: told what the run reads and writes, once before the first row.
    :raises EtlError: nothing was published; its `report` (when reading had begun) says how far
        it came.
    """
    from airflow_etl_provider.engines.accounting import DuplicatesFoundError, UnbalancedError
    from airflow_etl_provider.engines.preparation import NothingNew, flow_of, prepare

    options = options or EngineOptions()
    started, started_at = time.monotonic(), clock()
    with ExitStack() as stack:
        prepared = prepare(
            pipeline,
            connections=connections,
            base=base,
            window=window,
            options=options,
            run_id=run_id,
            stack=stack,
        )
        if isinstance(prepared, NothingNew):
            return prepared.report(
                pipeline, run_id=run_id, started=started_at, seconds=time.monotonic() - started
            )
        if planned is not None:
            planned(flow_of(prepared, connections=connections, base=base))
        beats = Beats(
            prepared, progress=progress, started=started, started_at=started_at.isoformat()
        )
        careful: frozenset[InputIdentity] | None = frozenset()
        hopeful = prepared.hopeful
        while True:
            run = _Run(
                prepared,
                options=options,
                beats=beats,
                cancel=cancel,
                careful=careful,
                hopeful=hopeful,
            )
            try:
                return run.load()
            except DuplicatesFoundError as error:
                hopeful = False
                log.info("%s Reading all again, the keys first.", error)
            except UnbalancedError as error:
                # The first surprise costs one input the fast road, a second one all of them, so
                # that a load of many broken files starts again twice at most.
                if careful is None:
                    raise
                careful = frozenset(error.inputs) if not careful else None
                log.info("%s Reading it again, record by record.", error)


class _Run:
    """One attempt, from the target's epoch to the report."""

    def __init__(
        self,
        prepared: Prepared,
        *,
        options: EngineOptions,
        beats: Beats,
        cancel: Callable[[], bool] | None,
        careful: frozenset[InputIdentity] | None,
        hopeful: bool,
    ) -> None:
        self.prepared = prepared
        self.options = options
        self.beats = beats
        self.cancel = cancel or (lambda: False)
        self.careful = careful
        self.hopeful = hopeful

    def load(self) -> RunReport:
        from airflow_etl_provider.engines.backends.duckdb.backend import DuckDbBackend
        from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
        from airflow_etl_provider.engines.targets.base import Deletes, WriteSpec

        prepared, options = self.prepared, self.options
        target = prepared.pipeline.target
        with (
            ComputeSession(
                memory_limit=options.memory_limit,
                threads=options.threads,
                scratch=options.scratch,
                columns=prepared.width,
            ) as compute,
            # The plan is bound before the target hears of the load.
            closing(DuckDbBackend(prepared.plan, session=compute, hopeful=self.hopeful)) as backend,
            prepared.target.begin(
                load=prepared.load,
                schema=prepared.plan.target,
                write=WriteSpec(
                    mode=target.mode,
                    key=target.key,
                    latest_by=target.latest_by,
                    load_columns=target.load_columns,
                    partition_by=target.partition_by,
                    absent=prepared.plan.absent_keys,
                    deletes=Deletes(target.deletes.column) if target.deletes else None,
                    add_columns=prepared.evolution.add_columns,
                    widen_columns=prepared.evolution.widen_columns,
                ),
            ) as session,
        ):
            if (entry := session.already_loaded) is not None:
                self._sweep(epoch=entry.epoch, location=entry.quarantine)
                return self._already_loaded(entry)
            return self._write(session, backend, compute)

    def _write(self, session: LoadSession, backend: Backend, compute: ComputeSession) -> RunReport:
        from airflow_etl_provider.engines.attempt import Attempt
        from airflow_etl_provider.engines.quarantine import Owner, QuarantineWriter
        from airflow_etl_provider.engines.targets.base import LookingSession

        prepared = self.prepared
        lookups = None
        if prepared.plan.lookups and isinstance(session, LookingSession):
            lookups = session.open_lookups(prepared.plan.lookups)
        quarantine = QuarantineWriter(
            prepared.quarantine_home,
            pipeline=prepared.load.pipeline,
            load_id=prepared.load.load_id,
            run_id=prepared.load.run_id,
            owner=Owner(prepared.target.name, session.epoch),
            connection=prepared.quarantine_connection,
        )
        attempt = Attempt(
            plan=prepared.plan,
            source=prepared.source,
            backend=backend,
            quarantine=quarantine,
            lookups=lookups,
            careful=self.careful,
            scratch=self.options.scratch,
            beat=lambda tally, name: self.beats.tell(tally, f"loading {name}"),
            cancelled=self.cancel,
            taken=prepared.taken(compute.connection, cancelled=self.cancel),
            hopeful=self.hopeful,
            high_mark=prepared.high_mark(),
        )
        try:
            taken = self._send(session, attempt)
            attempt.tally.check_written(taken)
            manifest = quarantine.seal()
        except BaseException as error:
            quarantine.discard()
            self._explain(error, attempt)
            raise
        self._hold_back(attempt, quarantine, manifest)
        self.beats.tell(attempt.tally, "publishing", force=True)
        published = self._publish(session, attempt, quarantine, manifest)
        self._sweep(epoch=session.epoch, location=manifest.location if manifest else None)
        return self._report(attempt, manifest, published)

    def _send(self, session: LoadSession, attempt: Attempt) -> int:
        import pyarrow as pa

        schema = session.arrow_schema
        batches = attempt.batches(schema)
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        try:
            with interrupted_by(self.cancel, partial(_interrupt, session, attempt.backend)):
                return session.write(reader)
        except BaseException as error:
            # The driver saw only that its input broke off; why is ours to say.
            if attempt.failure is not None:
                raise attempt.failure from None
            if isinstance(error, EtlError) and self.cancel():
                raise _stopped() from None
            raise
        finally:
            # A driver that failed leaves the reading half-way, with a thread that uses the backend.
            batches.close()

    def _hold_back(
        self, attempt: Attempt, quarantine: QuarantineWriter, manifest: Manifest | None
    ) -> None:
        """Publish nothing over the budget or against a rule; the rejects stay to be looked at."""
        tally, budget = attempt.tally, self.prepared.pipeline.max_rejected
        failing, warning = attempt.broken_load_rules()
        for words in warning:
            tally.warnings[words] += 1
        error: EtlError | None = None
        if not all(budget.allows(rejected=n, read=records) for n, records in tally.parts):
            read = sum(records for _, records in tally.parts)
            reasons = ", ".join(f"{code} {count}" for code, count in tally.reasons.most_common(5))
            error = BudgetExceededError(
                f"{tally.quarantined} of {read} records rejected ({reasons}), more "
                "than max_rejected allows. Nothing was published.",
                hint=f"Look at them with `airflow-etl quarantine show {manifest.location}`, then "
                "mend the contract or raise max_rejected."
                if manifest
                else None,
            )
        elif failing:
            error = LoadRuleError(
                f"Rules of severity fail do not hold: {'; '.join(failing)}. Nothing was published."
            )
        if error is not None:
            if manifest is not None:
                _label(quarantine, "not_published")
            error.report = self._failed_report(error, attempt, manifest)
            raise error

    def _publish(
        self,
        session: LoadSession,
        attempt: Attempt,
        quarantine: QuarantineWriter,
        manifest: Manifest | None,
    ) -> Published:
        from airflow_etl_provider.engines.high_mark import positions_of
        from airflow_etl_provider.engines.targets.base import Publication

        tally = attempt.tally
        publication = Publication(
            rows_read=tally.records,
            rows_quarantined=tally.quarantined,
            rows_filtered=tally.filtered,
            rows_deduplicated=tally.deduplicated,
            quarantine=manifest.location if manifest else None,
            quarantine_checksum=manifest.checksum if manifest else None,
            positions=positions_of(self.prepared.load, attempt.high_mark),
        )
        try:
            if self.cancel():
                raise _stopped()
            with interrupted_by(self.cancel, partial(_interrupt, session, attempt.backend)):
                published = session.publish(publication)
        except (CancelledError, FencedError) as error:
            quarantine.discard()
            self._explain(error, attempt)
            raise
        except EtlError as error:
            # A target that spoke up published nothing. Of one that fell silent nobody knows whether
            # the commit came through: an orphan is swept later, a loss is for ever.
            if manifest is not None and isinstance(error, REFUSALS):
                _label(quarantine, "not_published")
            self._explain(error, attempt, manifest)
            raise
        if manifest is not None:
            _label(quarantine, "published")
        return published

    def _sweep(self, *, epoch: int, location: str | None) -> None:
        """Remove the rejects of attempts that died, or that the ledger names no more."""
        from airflow_etl_provider.engines.quarantine import Owner, sweep_other_attempts

        prepared = self.prepared
        removed = sweep_other_attempts(
            prepared.quarantine_home,
            pipeline=prepared.load.pipeline,
            load_id=prepared.load.load_id,
            published_by=Owner(prepared.target.name, epoch),
            location=location,
            connection=prepared.quarantine_connection,
        )
        if removed:
            log.info("Swept the rejects of %d other attempts at this load.", len(removed))

    def _explain(
        self, error: BaseException, attempt: Attempt, manifest: Manifest | None = None
    ) -> None:
        if isinstance(error, EtlError) and error.report is None:
            error.report = self._failed_report(error, attempt, manifest)

    def _base_report(self, attempt: Attempt) -> RunReport:
        prepared, tally = self.prepared, attempt.tally
        return RunReport(
            status="failed",
            run_id=prepared.load.run_id,
            pipeline=prepared.load.pipeline,
            load_id=prepared.load.load_id,
            target=prepared.target.name,
            rows_read=tally.records,
            rows_quarantined=tally.quarantined,
            rows_filtered=tally.filtered,
            rows_deduplicated=tally.deduplicated,
            bytes_read=tally.bytes_read,
            started_at=self.beats.started_at,
            seconds=round(self.beats.seconds, 3),
            reasons=dict(tally.reasons.most_common()),
            warnings=dict(tally.warnings.most_common()),
            inputs=tuple(i.report() for i in tally.inputs),
            select=prepared.select_report(tally),
            unmapped=prepared.unmapped,
            # What is about the whole run comes first: of many notes only the first are told.
            notes=(*filter(None, [prepared.note]), *tally.notes),
        )

    def _failed_report(
        self, error: EtlError, attempt: Attempt, manifest: Manifest | None
    ) -> RunReport:
        return replace(
            self._base_report(attempt),
            # An input that broke off has not told its count; what was judged had been read.
            rows_read=max(attempt.tally.records, attempt.tally.judged),
            rows_loaded=0,
            quarantine=manifest.location if manifest else None,
            error={"code": error.code, "message": str(error)},
        )

    def _report(
        self, attempt: Attempt, manifest: Manifest | None, published: Published
    ) -> RunReport:
        report = self._base_report(attempt)
        nothing = _NOTHING_LOADED.get(self.prepared.pipeline.target.mode)
        if nothing is not None and not published.rows_loaded:
            report = replace(report, notes=(nothing, *report.notes))
        status: Status = "done_with_rejects" if report.rows_quarantined else "done"
        if attempt.high_mark is not None and report.rows_read == report.rows_filtered:
            status = "nothing_new"
        self.beats.tell(attempt.tally, "done", force=True)
        return replace(
            report,
            status=status,
            rows_loaded=published.rows_loaded,
            rows_deduplicated=report.rows_deduplicated + published.rows_deduplicated,
            rows_deleted=published.rows_deleted,
            quarantine=manifest.location if manifest else None,
            schema_changes=self.prepared.evolution.changes,
        )

    def _already_loaded(self, entry: LedgerEntry) -> RunReport:
        """What the ledger says of the load; nothing was read or written now."""
        return RunReport(
            status="already_loaded",
            run_id=self.prepared.load.run_id,
            pipeline=entry.pipeline,
            load_id=entry.load_id,
            target=self.prepared.target.name,
            rows_read=entry.rows_read,
            rows_loaded=entry.rows_loaded,
            rows_quarantined=entry.rows_quarantined,
            rows_filtered=entry.rows_filtered,
            rows_deduplicated=entry.rows_deduplicated,
            rows_deleted=entry.rows_deleted,
            started_at=self.beats.started_at,
            seconds=round(self.beats.seconds, 3),
            quarantine=entry.quarantine,
            unmapped=self.prepared.unmapped,
            notes=(
                f"Run {entry.run_id} published this load at {entry.published_at}; nothing to do.",
            ),
        )


def _interrupt(session: LoadSession, backend: Backend) -> None:
    from airflow_etl_provider.engines.targets.base import Interruptible

    backend.interrupt()
    if isinstance(session, Interruptible):
        session.interrupt()


def _stopped() -> CancelledError:
    return CancelledError("The run was told to stop. Nothing was published.")


def _label(quarantine: QuarantineWriter, status: Outcome) -> None:
    """Say in the manifest what became of the load; what became of it does not depend on that."""
    try:
        quarantine.mark(status)
    except QuarantineError as error:
        log.warning("The quarantine could not be marked as %s (%s).", status, error.code)
