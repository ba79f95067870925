"""Write rejects as they come: bounded in memory, durable before the load's commit, private."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING, Any, cast

from airflow_etl_provider.engines.arrow_values import array_of, scalar_of
from airflow_etl_provider.engines.quarantine.manifest import (
    Manifest,
    QuarantineFile,
    Status,
    checksum_of,
    quarantine_error_of,
    write_manifest,
)
from airflow_etl_provider.engines.quarantine.place import REJECTS, open_home, safe_name
from airflow_etl_provider.engines.strict_json import to_json
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import pyarrow as pa

    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.contracts.reject import Reason, Reject
    from airflow_etl_provider.engines.quarantine.place import Owner, Place
    from airflow_etl_provider.engines.row_groups import RowGroupWriter

__all__ = ["QuarantineWriter", "quarantine_schema"]

CHUNK_ROWS = 5_000
CHUNK_BYTES = 4 * 2**20
"""What is gathered as Python objects before it becomes Arrow."""

GROUP_BYTES = 8 * 2**20
"""Row groups are small: someone reads the first hundred rejects of a million."""


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

    Nothing is created before the first reject.

    :param home: a folder, or the URL of a prefix in a bucket.
    :param connection: for a bucket; without it the environment logs in.
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
        connection: Connection | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._home = open_home(home, connection=connection)
        self.pipeline, self.load_id, self.run_id, self.owner = pipeline, load_id, run_id, owner
        self._clock = clock or (lambda: datetime.now(timezone.utc))
        self.codes: Counter[str] = Counter()
        self.rows = 0
        self._place: Place | None = None
        self._file: _Measured | None = None
        self._writer: RowGroupWriter | None = None
        self._manifest: Manifest | None = None
        self._failed: QuarantineError | None = None

    def add(self, rejects: Iterable[Reject]) -> None:
        """Write rejects as they come.

        :raises QuarantineError: the folder can't be written; nothing may be published then.
        """
        held: list[Reject] = []
        size = 0
        for reject in rejects:
            held.append(reject)
            size += len(reject.raw)
            if len(held) >= CHUNK_ROWS or size >= CHUNK_BYTES:
                self._write_rejects(held)
                held, size = [], 0
        if held:
            self._write_rejects(held)

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
        place, file = self._place, self._file
        if place is None or file is None:
            return None
        try:
            self._writer.close()
            place.finish(file.file)
            files = (file.described(REJECTS),)
            manifest = Manifest(
                location=place.location,
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
            write_manifest(place, manifest)
        except OSError as error:
            raise self._fail(error) from error
        self._manifest = manifest
        return manifest

    def mark(self, status: Status) -> None:
        """Record what became of the load; a quarantine marked `not_published` is never swept."""
        if self._manifest is None or self._place is None:
            return
        self._manifest = replace(self._manifest, status=status)
        try:
            write_manifest(self._place, self._manifest)
        except OSError as error:
            raise quarantine_error_of(error, self._place.location) from error

    def discard(self) -> None:
        """Remove all that was written; may be called at any time, and twice."""
        if self._writer is not None:
            self._writer.abandon()
        if self._place is not None:
            if self._file is not None:
                self._place.abandon(self._file.file)
            # What can't be removed now is an orphan, which a later sweep takes.
            with suppress(OSError):
                self._place.remove()
            self._home.tidy(self._load, home=True)
        self._writer = self._file = self._place = self._manifest = None
        self.rows = 0
        self.codes.clear()

    def _write_rejects(self, rejects: list[Reject]) -> None:
        import pyarrow as pa

        # Thousands of rejects share a few reasons, often the very same tuple.
        kinds = {id(reject.reasons): reject.reasons for reject in rejects}
        for kind, count in Counter(id(reject.reasons) for reject in rejects).items():
            for code in {reason.code for reason in kinds[kind]}:
                self.codes[code] += count
        rows = {kind: [_reason_of(reason) for reason in kinds[kind]] for kind in kinds}
        names = {name: _text(name) for name in {reject.input for reject in rejects}}
        columns: list[list[Any]] = [
            [names[reject.input] for reject in rejects],
            [reject.record for reject in rejects],
            [reject.line for reject in rejects],
            [reject.raw for reject in rejects],
            [_fields_of(reject) for reject in rejects],
            [rows[id(reject.reasons)] for reject in rejects],
        ]
        schema = pa.schema(list(quarantine_schema())[2:])
        arrays = [array_of(c, f.type) for c, f in zip(columns, schema, strict=True)]
        self._write(pa.RecordBatch.from_arrays(arrays, schema=schema))

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

        self._place = self._home.begin(self._load, safe_name(self.run_id), self.owner)
        self._file = _Measured(self._place.create(REJECTS))
        self._writer = RowGroupWriter(
            cast("IO[bytes]", self._file), quarantine_schema(), group_bytes=GROUP_BYTES
        )
        return self._writer

    @property
    def _load(self) -> tuple[str, str]:
        return safe_name(self.pipeline), safe_name(self.load_id)

    def _fail(self, error: OSError) -> QuarantineError:
        location = self._place.location if self._place is not None else self._home.location
        self._failed = quarantine_error_of(error, location)
        return self._failed


def _fields_of(reject: Reject) -> str | None:
    if reject.text is not None or reject.fields is None:
        return reject.text
    return _json(reject.fields)


def _reason_of(reason: Reason) -> dict[str, str | None]:
    return {
        "code": reason.code,
        "column": None if reason.column is None else _text(reason.column),
        "step": reason.step,
        "message": _text(reason.message),
    }


def _json(fields: dict[str, Any]) -> str:
    text = to_json(fields, default=str)
    return (
        text if text.isascii() or _encodes(text) else to_json(fields, ascii_only=True, default=str)
    )


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


class _Measured(io.RawIOBase):
    """Passes bytes on, and knows their number and checksum when they are through."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self._digest = hashlib.sha256()
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        # A raw file may take less than it is given.
        left = memoryview(data).cast("B")
        self._digest.update(left)
        self._size += len(left)
        while len(left):
            left = left[self.file.write(left) :]
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        if not self.file.closed:
            self.file.flush()

    def described(self, name: str) -> QuarantineFile:
        return QuarantineFile(name=name, size=self._size, sha256=self._digest.hexdigest())
