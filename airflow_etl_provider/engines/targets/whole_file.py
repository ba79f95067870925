"""Targets that are one file: every load writes a new one and gives it the name by a rename."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING

from airflow_etl_provider.engines.backends.duckdb.types import to_arrow_schema
from airflow_etl_provider.engines.targets.attempt_file import (
    AttemptFile,
    after_publishing,
    living_epochs,
    locked_folder,
    os_error_of,
    sweep_dead_attempts,
)
from airflow_etl_provider.engines.targets.base import (
    LedgerEntry,
    Publication,
    Published,
    Undone,
    WriteSpec,
)
from airflow_etl_provider.engines.targets.incoming import fitted, with_load_columns
from airflow_etl_provider.engines.targets.ledger import entry_of, judge_reload, judge_undo
from airflow_etl_provider.exceptions import (
    EtlError,
    FencedError,
    SpecificationError,
    TargetError,
    TargetMissingError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa
    from typing_extensions import Self

    from airflow_etl_provider.contracts.load import Load
    from airflow_etl_provider.contracts.schema import Limit, Schema
    from airflow_etl_provider.contracts.types import LogicalType

__all__ = ["Encoder", "WholeFileTarget"]

HISTORY = 100
"""Loads that the ledger of a file remembers; only the last one's rows are in it."""


class Encoder(ABC):
    """Turns batches into the bytes of one file."""

    @abstractmethod
    def write(self, batch: pa.RecordBatch) -> None: ...

    @abstractmethod
    def finish(self, ledger: list[LedgerEntry]) -> int:
        """Write what ends the file; returns the rows that are in it, counted by the format."""

    @abstractmethod
    def abandon(self) -> None:
        """Stop; the file is going to be removed."""


class WholeFileTarget(ABC):
    """What a CSV and a Parquet file have in common.

    A rename is atomic and keeps no one waiting, but a file can't refuse a writer: the epoch is
    checked just before the rename, under a lock that other loads of ours respect on file systems
    with locks. That is care, not fencing.
    """

    kind: str

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime] | None = None,
        wait_seconds: float = 60.0,
    ) -> None:
        self.path = path.expanduser().resolve()
        self.clock = clock or (lambda: datetime.now(timezone.utc))
        self.wait_seconds = wait_seconds

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def quarantine_home(self) -> str | None:
        return f"{self.path}.quarantine"

    def schema(self) -> Schema | None:
        """None always: the columns of a file are those of the load that wrote it."""
        return None

    def limit_of(self, of: LogicalType) -> Limit | None:
        return None

    def begin(self, *, load: Load, schema: Schema, write: WriteSpec) -> WholeFileSession:
        with self.reporting("Writing beside"):
            self._check(schema, write)
        with self.reporting("Writing beside"), self.locked():
            sweep_dead_attempts(self.path)
            entries = self.read_ledger(load.load_id)
            previous = next((e for e in entries if e.load_id == load.load_id), None)
            superseded = previous is not None and entries[-1] != previous
            verdict = judge_reload(previous, load=load, write=write, superseded=superseded)
            if verdict == "already_loaded":
                return WholeFileSession(self, load, schema, write, done=previous)
            epochs = [*living_epochs(self.path, load.load_id), previous.epoch if previous else 0]
            attempt = AttemptFile(self.path, load_id=load.load_id, epoch=max(epochs) + 1)
        return WholeFileSession(self, load, schema, write, attempt=attempt, epoch=max(epochs) + 1)

    def ledger(self) -> list[LedgerEntry]:
        return self.read_ledger()

    def undo(self, load_id: str) -> Undone:
        entry = next((e for e in self.read_ledger() if e.load_id == load_id), None)
        judge_undo(entry, load_id, target=self.name, load_columns=False)
        raise AssertionError("a file is replaced by every load, which can't be undone")

    def close(self) -> None:
        return

    @abstractmethod
    def read_ledger(self, load_id: str | None = None) -> list[LedgerEntry]:
        """What the file proves of its loads, oldest first.

        :param load_id: the only load that is asked for; without an entry of it, a format may
            spare itself the proof.
        """

    def history(self) -> list[LedgerEntry]:
        """The ledger as it is to be continued, proved or not."""
        return self.read_ledger()

    @abstractmethod
    def encoder(self, file: IO[bytes], schema: pa.Schema) -> Encoder: ...

    def prove(self, encoder: Encoder, ledger: list[LedgerEntry]) -> None:  # noqa: B027
        """Write the proof that lies beside the file, once that has its name; most need none."""

    def _check(self, schema: Schema, write: WriteSpec) -> None:
        if not len(schema):
            raise SpecificationError("The load has no columns.")
        if write.mode != "replace":
            raise SpecificationError(
                f"A {self.kind} file can only be replaced as a whole; mode {write.mode!r} is not "
                "possible with it.",
                hint="Use `mode: replace`, or a DuckDB file or PostgreSQL table as the target.",
            )
        if self.path.is_dir():
            raise TargetError(f"{self.path} is a folder.", hint="Give the target a file name.")
        if not self.path.parent.is_dir():
            raise TargetMissingError(
                f"The folder {self.path.parent} does not exist.", hint="Create it first."
            )
        with_load_columns(schema, write)

    @contextmanager
    def locked(self) -> Iterator[None]:
        with locked_folder(self.path.parent, wait_seconds=self.wait_seconds):
            yield

    @contextmanager
    def reporting(self, doing: str) -> Iterator[None]:
        """Turn what the operating system refuses into errors of ours."""
        try:
            yield
        except OSError as error:
            raise os_error_of(error, self.path, doing=doing) from error


class WholeFileSession:
    """One attempt at one load of a file."""

    def __init__(
        self,
        target: WholeFileTarget,
        load: Load,
        schema: Schema,
        write: WriteSpec,
        *,
        done: LedgerEntry | None = None,
        attempt: AttemptFile | None = None,
        epoch: int = 0,
    ) -> None:
        self._target, self._load, self._write = target, load, write
        self._schema = schema
        self._done, self._attempt = done, attempt
        self._epoch = done.epoch if done else epoch
        self._encoder: Encoder | None = None
        self._rows = 0

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def already_loaded(self) -> LedgerEntry | None:
        return self._done

    @property
    def arrow_schema(self) -> pa.Schema:
        return to_arrow_schema(self._schema)

    def write(self, batches: pa.RecordBatchReader) -> int:
        target, attempt = self._target, self._open_attempt()
        schema = to_arrow_schema(with_load_columns(self._schema, self._write))
        loaded_at = target.clock()
        encoder: Encoder
        with target.reporting("Writing beside"):
            encoder = self._encoder = target.encoder(attempt.file, schema)
        for batch in batches:
            ready = fitted(
                batch,
                schema,
                load_id=self._load.load_id if self._write.load_columns else None,
                loaded_at=loaded_at,
            )
            with target.reporting("Writing beside"):
                encoder.write(ready)
            self._rows += batch.num_rows
        return self._rows

    def publish(self, publication: Publication) -> Published:
        target, attempt, encoder = self._target, self._open_attempt(), self._encoder
        if encoder is None:
            raise TargetError(f"Nothing was written for {target.name} yet.")
        published = Published(rows_loaded=self._rows)
        with target.reporting("Publishing"), target.locked():
            entries = target.history()
            self._check_epoch(entries)
            entry = entry_of(
                load=self._load,
                write=self._write,
                target=target.name,
                epoch=self._epoch,
                publication=publication,
                published=published,
                published_at=target.clock().isoformat(),
            )
            kept = [e for e in entries if e.load_id != entry.load_id]
            ledger = [*kept, entry][-HISTORY:]
            rows = encoder.finish(ledger)
            if rows != self._rows:
                raise TargetError(
                    f"The file for {target.name} holds {rows} of {self._rows} rows. "
                    "Nothing was published."
                )
            attempt.publish()
            self._attempt = None
            # Without the proof the same load would be done again, to the same end.
            with after_publishing(target.path):
                target.prove(encoder, ledger)
        return published

    def abort(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            if self._encoder is not None:
                self._encoder.abandon()
            attempt.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()

    def _open_attempt(self) -> AttemptFile:
        if self._attempt is None:
            raise EtlError(f"This attempt at {self._target.name} is over already.")
        return self._attempt

    def _check_epoch(self, entries: list[LedgerEntry]) -> None:
        newest = max(
            [
                *living_epochs(self._target.path, self._load.load_id),
                *(entry.epoch for entry in entries if entry.load_id == self._load.load_id),
            ]
        )
        if newest > self._epoch or not self._open_attempt().path.exists():
            raise FencedError(
                f"A newer attempt ({newest}) of load {self._load.load_id} took over "
                f"{self._target.name}; attempt {self._epoch} published nothing."
            )
