"""Telling the metadata store what a run does, without ever standing in the run's way."""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from airflow_etl_provider.exceptions import EtlError
from airflow_etl_provider.metadata.records import DatasetRecord
from airflow_etl_provider.metadata.registration import merge_dataset
from airflow_etl_provider.metadata.run_records import (
    events_at_end,
    events_at_start,
    records_at_end,
    records_at_start,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from airflow_etl_provider.metadata.records import PipelineRecord, SchemaVersionRecord
    from airflow_etl_provider.metadata.records.base import Json
    from airflow_etl_provider.metadata.run_records import Outcome, RunOf
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["Recorder", "Registration"]

log = logging.getLogger(__name__)

_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between the attempts to write one thing."""

_RELAY_PATIENCE = 5.0
"""Seconds that a run which is written waits for what a message bus is told."""


class Registration(Protocol):
    """What a run says of its pipeline and datasets, found out while it runs."""

    @property
    def pipeline(self) -> PipelineRecord: ...

    @property
    def specification(self) -> Json: ...

    @property
    def fingerprint(self) -> str: ...


class Recorder:
    """Writes in a thread of its own, in order, and tries again for a while.

    A store that is away costs a run nothing but a warning: its target's ledger holds the proof, and
    `airflow-etl metadata reconcile` writes later what was not written now.

    .. code-block:: python

        recorder = Recorder(run, open_store=lambda: SqlStore(url), clock=clock)
        recorder.begin()
        ...
        recorder.end(outcome_of_load(report, figures={}), patience=15)

    :param open_store: called in the thread, so that connecting delays nothing.
    :param relay: tells others of the events in the table once the run's own are there; warns of
        what goes wrong, and raises nothing.
    """

    def __init__(
        self,
        run: RunOf,
        *,
        open_store: Callable[[], MetadataStore],
        clock: Callable[[], datetime],
        relay: Callable[[MetadataStore], None] | None = None,
    ) -> None:
        self.run = run
        self._relay = relay
        self._open_store = open_store
        self._clock = clock
        self._version: int | None = None
        self._failed: EtlError | None = None
        self._stopped = threading.Event()
        self._written = threading.Event()
        self._work: queue.SimpleQueue[Callable[[MetadataStore], None] | None] = queue.SimpleQueue()
        # A daemon: a process that is told to stop does not wait for a store that is away.
        self._thread = threading.Thread(target=self._serve, name="etl-recorder", daemon=True)

    @property
    def failure(self) -> EtlError | None:
        """Why something was not written; None while all was."""
        return self._failed

    def begin(self, registration: Registration | None = None) -> None:
        """Say that the run goes on, and what its pipeline says."""
        self._thread.start()
        if registration is not None:
            self._work.put(lambda store: self._register(store, registration))
        self._work.put(
            lambda store: store.record(records_at_start(self.run, version=self._version))
        )
        self._work.put(lambda store: store.append_events(events_at_start(self.run)))

    def note(
        self, datasets: Sequence[DatasetRecord], *, schemas: Sequence[SchemaVersionRecord]
    ) -> None:
        """Write what the run found out of its datasets before the first row."""
        self._work.put(lambda store: _note(store, datasets, schemas))

    def end(self, outcome: Outcome, *, patience: float) -> None:
        """Say how it ended, and wait until that is written.

        :param patience: seconds that this waits at most.
        """
        at = self._clock()
        self._work.put(
            lambda store: store.record(
                records_at_end(self.run, outcome, at=at, version=self._version)
            )
        )
        self._work.put(lambda store: store.append_events(events_at_end(self.run, outcome, at=at)))
        self._work.put(None)
        if not self._written.wait(patience):
            self._stopped.set()
            log.warning(
                "Run %s was not recorded: the metadata store did not answer within %s s. The load "
                "itself is as reported; `airflow-etl metadata reconcile` records it later.",
                self.run.name,
                patience,
            )
        elif self._failed is not None:
            log.warning(
                "Run %s was not recorded: %s The load itself is as reported; `airflow-etl metadata "
                "reconcile` records it later.",
                self.run.name,
                self._failed,
            )
        else:
            # What others are to be told is in the table: whoever comes next tells the rest.
            self._thread.join(_RELAY_PATIENCE)
            if self._relay is not None and self._thread.is_alive():
                log.warning(
                    "The message bus has not taken the events of run %s within %s s. They stand in "
                    "the event table, and the next run tells them.",
                    self.run.name,
                    _RELAY_PATIENCE,
                )

    def _register(self, store: MetadataStore, registration: Registration) -> None:
        written = store.register_pipeline(
            registration.pipeline,
            specification=registration.specification,
            fingerprint=registration.fingerprint,
            by=None,
        )
        self._version = written.version

    def _serve(self) -> None:
        """Do the work in order; after a failure nothing more is tried, or every step would wait."""
        store: MetadataStore | None = None
        try:
            while (work := self._work.get()) is not None and not self._stopped.is_set():
                if self._failed is not None:
                    continue
                if store is None:
                    store = self._open()
                if store is not None:
                    self._try(work, store)
            self._written.set()
            if self._relay is not None and store is not None and self._failed is None:
                self._relay(store)
        finally:
            self._written.set()
            if store is not None:
                store.close()

    def _open(self) -> MetadataStore | None:
        try:
            return self._open_store()
        except EtlError as error:
            self._failed = error
        except Exception as error:  # noqa: BLE001 - a driver may fail in any way
            self._failed = _unexpected(error)
        return None

    def _try(self, work: Callable[[MetadataStore], None], store: MetadataStore) -> None:
        from airflow_etl_provider.exceptions import MetadataUnavailableError

        for pause in (*_PAUSES, None):
            try:
                work(store)
            except MetadataUnavailableError as error:
                if pause is None or self._stopped.is_set():
                    self._failed = error
                    return
                time.sleep(pause)
            except EtlError as error:
                self._failed = error
                return
            except Exception as error:
                # Whatever it is: a load is not lost for a row about it.
                log.debug("recording failed", exc_info=True)
                self._failed = _unexpected(error)
                return
            else:
                return


def _unexpected(error: Exception) -> EtlError:
    from airflow_etl_provider.exceptions import MetadataError

    return MetadataError(f"The metadata store failed with a {type(error).__qualname__}.")


def _note(
    store: MetadataStore,
    datasets: Sequence[DatasetRecord],
    schemas: Sequence[SchemaVersionRecord],
) -> None:
    known = [store.get(DatasetRecord, dataset.id) for dataset in datasets]
    told = []
    for dataset, there, schema in zip(datasets, known, schemas, strict=True):
        # A run knows a dataset as its plan needs it: the columns it reads, the types it wants.
        # Where discovery has looked, each would make the other's schema the next version, for ever.
        looked_at = there is not None and there.rows is not None
        version = None if looked_at else store.record_schema(schema).version
        told.append(merge_dataset(replace(dataset, schema_version=version), there))
    store.record(told)
