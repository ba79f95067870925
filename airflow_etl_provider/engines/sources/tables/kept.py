"""Rows that wait in a file from the first reading on: another query may give another order."""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING

from airflow_etl_provider.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

__all__ = ["KeptRows"]


class KeptRows:
    """Keeps the rows of one source.

    :param scratch: where the file is made; the system's temporary folder when absent.
    """

    def __init__(self, scratch: Path | None) -> None:
        self._scratch = scratch
        self._file: IO[bytes] | None = None

    @property
    def there(self) -> bool:
        """Whether they are kept already."""
        return self._file is not None

    def keep(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, name: str) -> None:
        """Write them down, all or none.

        :param name: of the source, for whoever has to make room.
        :raises SourceError: there is no room.
        """
        import pyarrow as pa

        try:
            file = tempfile.TemporaryFile(  # noqa: SIM115 - close() ends it
                prefix="airflow-etl-", dir=self._scratch
            )
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with pa.ipc.new_stream(file, schema, options=options) as writer:
                for batch in batches:
                    writer.write_batch(batch)
        except OSError as error:
            raise SourceError(
                f"The rows of {name} can't be kept in {self._scratch or tempfile.gettempdir()}"
                f": {error.strerror or type(error).__name__}.",
                hint="Make room there, or check fewer rows by `where`.",
            ) from error
        self._file = file

    def read(self) -> Iterator[pa.RecordBatch]:
        """Give them once more, in the same order."""
        import pyarrow as pa

        if self._file is None:
            return
        self._file.seek(0)
        yield from pa.ipc.open_stream(self._file)

    def again(
        self, read: Callable[[], Iterable[pa.RecordBatch]], schema: pa.Schema, *, name: str
    ) -> Iterator[pa.RecordBatch]:
        """Give the rows, read at the first time and kept from then on."""
        if not self.there:
            self.keep(read(), schema, name=name)
        yield from self.read()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
