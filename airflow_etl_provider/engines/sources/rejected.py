"""What a reader rejected, kept on disk while it reads, and the record numbers that follow."""

from __future__ import annotations

import json
import struct
import tempfile
from array import array
from bisect import bisect_right
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.reject import Reason, Reject
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["RejectLog", "number_rows"]

_HEAD = struct.Struct("<QQII")

_IN_MEMORY = 2**20

_KNOWN = 1_000
"""Reasons that are kept to be given again; a few are usual."""


class RejectLog:
    """Rejects of one reading, in file order; only their numbers stay in memory.

    :param scratch: where they are kept; the system's temporary folder when absent.
    """

    def __init__(self, input: str, *, scratch: Path | None = None) -> None:
        self._input = input
        self._scratch = scratch
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - close() ends it
            max_size=_IN_MEMORY,
            prefix="airflow-etl-",
            dir=None if scratch is None else str(scratch),
        )
        self.numbers = array("Q")

    def __len__(self) -> int:
        return len(self.numbers)

    def add(self, *, record: int, line: int, raw: bytes, code: str, message: str) -> None:
        said = json.dumps([code, message]).encode()
        try:
            self._file.write(_HEAD.pack(record, line, len(said), len(raw)))
            self._file.write(said)
            self._file.write(raw)
        except OSError as error:
            raise self._not_kept(error) from error
        self.numbers.append(record)

    def __iter__(self) -> Iterator[Reject]:
        try:
            self._file.seek(0)  # Writes what is still in the buffer.
        except OSError as error:
            raise self._not_kept(error) from error
        known: dict[bytes, tuple[Reason, ...]] = {}
        for _ in range(len(self.numbers)):
            record, line, size, raw = _HEAD.unpack(self._file.read(_HEAD.size))
            said = self._file.read(size)
            if said not in known:
                if len(known) >= _KNOWN:
                    known.clear()
                code, message = json.loads(said)
                known[said] = (Reason(code=code, message=message),)
            yield Reject(
                input=self._input,
                record=record,
                raw=self._file.read(raw),
                reasons=known[said],
                line=line,
            )

    def close(self) -> None:
        # The buffer is written once more, in vain where the disk is full.
        with suppress(OSError):
            self._file.close()

    def _not_kept(self, error: OSError) -> QuarantineError:
        # Not `gettempdir`: where no folder can be written to, it fails itself.
        folder = self._scratch or tempfile.tempdir or "the temporary folder"
        return QuarantineError(
            f"Rejected records can't be kept in {folder}: {error.strerror or error}.",
            hint="Make room there, or point the scratch folder elsewhere. Nothing was published.",
        )


def number_rows(rows: list[int], rejected: array[int]) -> list[int]:
    """Record numbers of rows, where the rejected numbers are taken by records that are no rows.

    :param rows: positions from 0 among the rows that were not rejected.
    """
    places = range(len(rejected))
    return [
        row + 1 + bisect_right(places, row + 1, key=lambda at: rejected[at] - at) for row in rows
    ]
