"""Write rejects as they come: bounded in memory, durable before the load's commit, private."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow_etl_provider.engines.arrow_values import batch_of, scalar_of
from airflow_etl_provider.engines.quarantine.manifest import (
    REJECTS,
    Manifest,
    QuarantineFile,
    Status,
    checksum_of,
    local_home,
    quarantine_error_of,
    safe_name,
    sync_folder,
    write_manifest,
)
from airflow_etl_provider.engines.quarantine.owner import Owner, take_hold, write_owner
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa

    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.engines.row_groups import RowGroupWriter

__all__ = ["QuarantineWriter", "quarantine_schema"]

CHUNK_ROWS = 5_000
CHUNK_BYTES = 4 * 2**20
"""What is gathered as Python objects before it becomes Arrow."""

GROUP_BYTES = 8 * 2**20
"""Row groups are small: someone reads the first hundred rejects of a million."""

_MOST_VANISHED = 10
"""How often the folder of the load may be gone again before there is a place in it."""


def quarantine_schema() -> pa.Schema:
    """The columns of a quarantine file; without the first two it is what `add_batch` takes."""
    import pyarrow as pa

    reason = pa.struct([(name, pa.string()) for name in ("code", "column", "step", "message")])
    return pa.schema(
        [
            ("run_id", pa.string()),
            ("load_id", pa.string()),
            ("input", pa.string()),
            ("record", pa.int64()),
            ("line", pa.int64()),
            ("raw", pa.large_binary()),
            ("fields", pa.large_string()),
            ("reasons", pa.list_(reason)),
        ]
    )


class QuarantineWriter:
    """The rejects of one attempt at one load: add, seal, then mark or discard.

    Nothing is created before the first reject. Folders are 0700 and files 0600: they hold what the
    target would have held.

    :param owner: the attempt; without it no other attempt at the load sweeps what this one leaves.
    """

    def __init__(
        self,
        home: str | Path,
        *,
        pipeline: str,
        load_id: str,
        run_id: str,
        owner: Owner | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.home = local_home(home)
        self.pipeline, self.load_id, self.run_id, self.owner = pipeline, load_id, run_id, owner
        self._clock = clock or (lambda: datetime.now(timezone.utc))
        self.codes: Counter[str] = Counter()
        self.rows = 0
        self._folder: Path | None = None
        self._file: IO[bytes] | None = None
        self._writer: RowGroupWriter | None = None
        self._manifest: Manifest | None = None
        self._failed: QuarantineError | None = None

    def add(self, rejects: Iterable[Reject]) -> None:
        """Write rejects as they come.

        :raises QuarantineError: the folder can't be written; nothing may be published then.
        """
        held: list[dict[str, Any]] = []
        size = 0
        for reject in rejects:
            held.append(_row_of(reject))
            size += len(reject.raw)
            self.codes.update({reason.code for reason in reject.reasons})
            if len(held) >= CHUNK_ROWS or size >= CHUNK_BYTES:
                self._write_rows(held)
                held, size = [], 0
        if held:
            self._write_rows(held)

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Write rejects that are columns already: all of `quarantine_schema` but the first two."""
        self.codes.update(_codes_of(batch.column("reasons")))
        self._write(batch)

    def seal(self) -> Manifest | None:
        """Make all of it durable; None when there were no rejects.

        :raises QuarantineError: it can't be made durable; nothing may be published then.
        """
        if self._failed is not None:
            raise self._failed
        if self._manifest is not None or self._writer is None:
            return self._manifest
        folder, file = self._folder, self._file
        if folder is None or file is None:
            return None
        try:
            self._writer.close()
            file.flush()
            os.fsync(file.fileno())
            file.close()
            sync_folder(folder)
            files = (_described(folder / REJECTS),)
            manifest = Manifest(
                location=str(folder),
                pipeline=self.pipeline,
                load_id=self.load_id,
                run_id=self.run_id,
                rows=self.rows,
                checksum=checksum_of(files),
                files=files,
                codes=dict(self.codes.most_common()),
                sealed_at=self._clock().isoformat(),
                epoch=self.owner.epoch if self.owner else None,
            )
            write_manifest(manifest)
        except OSError as error:
            raise self._fail(error) from error
        self._manifest = manifest
        return manifest

    def mark(self, status: Status) -> None:
        """Record what became of the load; a quarantine marked `not_published` is never swept."""
        if self._manifest is None:
            return
        self._manifest = replace(self._manifest, status=status)
        try:
            write_manifest(self._manifest)
        except OSError as error:
            raise quarantine_error_of(error, Path(self._manifest.location)) from error

    def discard(self) -> None:
        """Remove all that was written; may be called at any time, and twice."""
        if self._writer is not None:
            self._writer.abandon()
        if self._file is not None and not self._file.closed:
            _close_quietly(self._file)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            _remove_empty(self._folder.parent, up_to=self.home)
        self._writer = self._file = self._folder = self._manifest = None
        self.rows = 0
        self.codes.clear()

    def _write_rows(self, rows: list[dict[str, Any]]) -> None:
        import pyarrow as pa

        schema = quarantine_schema()
        self._write(batch_of(rows, pa.schema(list(schema)[2:])))

    def _write(self, batch: pa.RecordBatch) -> None:
        import pyarrow as pa

        if self._failed is not None:
            raise self._failed
        if self._manifest is not None:
            raise QuarantineError(f"{self._manifest.location} is sealed already.")
        if batch.num_rows == 0:
            return
        schema = quarantine_schema()
        named = [scalar_of(name, pa.string()) for name in (_text(self.run_id), self.load_id)]
        ids = [pa.repeat(name, batch.num_rows) for name in named]
        columns = [batch.column(field.name).cast(field.type) for field in list(schema)[2:]]
        try:
            writer = self._writer or self._open()
            writer.write(pa.RecordBatch.from_arrays([*ids, *columns], schema=schema))
        except OSError as error:
            raise self._fail(error) from error
        self.rows += batch.num_rows

    def _open(self) -> RowGroupWriter:
        from airflow_etl_provider.engines.row_groups import RowGroupWriter

        self._folder = self._make_folder()
        descriptor = os.open(self._folder / REJECTS, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        take_hold(self._file)
        self._writer = RowGroupWriter(self._file, quarantine_schema(), group_bytes=GROUP_BYTES)
        return self._writer

    def _make_folder(self) -> Path:
        """A folder that no other attempt has: an earlier try of the run may have left its own."""
        load = self.home / safe_name(self.pipeline) / safe_name(self.load_id)
        for _ in range(_MOST_VANISHED):
            try:
                return self._make_folder_in(load)
            except FileNotFoundError:
                # Another attempt ended just now, and took the empty folder of the load away.
                continue
        return self._make_folder_in(load)

    def _make_folder_in(self, load: Path) -> Path:
        for folder in [*reversed(load.parents), load]:
            folder.mkdir(mode=0o700, exist_ok=True)
        run = safe_name(self.run_id)
        number = 1
        while True:
            folder = load / (run if number == 1 else f"{run}.{number}")
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                number += 1
                continue
            if self.owner is not None:
                write_owner(folder, self.owner)
            for made in (folder, load, load.parent):
                sync_folder(made.parent)
            return folder

    def _fail(self, error: OSError) -> QuarantineError:
        self._failed = quarantine_error_of(error, self._folder or self.home)
        return self._failed


def _row_of(reject: Reject) -> dict[str, Any]:
    return {
        "input": _text(reject.input),
        "record": reject.record,
        "line": reject.line,
        "raw": reject.raw,
        "fields": None if reject.fields is None else _json(reject.fields),
        "reasons": [
            {
                "code": reason.code,
                "column": None if reason.column is None else _text(reason.column),
                "step": reason.step,
                "message": _text(reason.message),
            }
            for reason in reject.reasons
        ],
    }


def _json(fields: dict[str, Any]) -> str:
    text = json.dumps(fields, ensure_ascii=False, default=str)
    return text if text.isascii() or _encodes(text) else json.dumps(fields, default=str)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(text: str) -> str:
    """Text that UTF-8 can hold: names of files may carry bytes that it can't."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _codes_of(reasons: pa.Array) -> Counter[str]:
    """Rejected records by code; a code counts once per record."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pairs = pa.table(
        {
            "record": pc.list_parent_indices(reasons),
            "code": pc.struct_field(pc.list_flatten(reasons), "code"),
        }
    )
    counted = pairs.group_by(["record", "code"]).aggregate([]).group_by("code")
    table = counted.aggregate([("record", "count")])
    return Counter(
        dict(zip(table["code"].to_pylist(), table["record_count"].to_pylist(), strict=True))
    )


def _described(path: Path) -> QuarantineFile:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return QuarantineFile(name=path.name, size=path.stat().st_size, sha256=digest.hexdigest())


def _close_quietly(file: IO[bytes]) -> None:
    try:
        file.close()
    except OSError:
        # Bytes still in the buffer found no room; the file is removed anyway.
        return


def _remove_empty(folder: Path, *, up_to: Path) -> None:
    while folder.is_relative_to(up_to):
        try:
            folder.rmdir()
        except OSError:
            # Not empty: other attempts keep theirs there.
            return
        folder = folder.parent
