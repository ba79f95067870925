"""One reading of one JSON file: which encoding, lines or document, and what to tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.engines.sources.json_files.document import DocumentReader
from airflow_etl_provider.engines.sources.json_files.lines import read_lines
from airflow_etl_provider.engines.sources.json_files.reading import as_utf8, encoding_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from airflow_etl_provider.contracts.pipeline import SourceSpec
    from airflow_etl_provider.engines.sources.files import FileInput
    from airflow_etl_provider.engines.sources.json_files.reading import Reading
    from airflow_etl_provider.engines.sources.json_files.values import Unfolding

__all__ = ["JsonReading"]

CHUNK = 2**20


class JsonReading:
    """The records of a file; iterate once, then ask for `notes`."""

    def __init__(
        self,
        file: FileInput,
        spec: SourceSpec,
        kind: Literal["json", "jsonl"],
        unfolding: Unfolding | None,
    ) -> None:
        self._file = file
        self._spec = spec
        self._kind = kind
        self._unfolding = unfolding
        self._document: DocumentReader | None = None

    def __iter__(self) -> Iterator[Reading]:
        file, spec = self._file, self._spec
        encoding = spec.encoding or encoding_of(file.stored.sample(4)[0])
        with file.stored.open() as stored:
            stream = as_utf8(stored, encoding)
            if self._kind == "jsonl":
                yield from read_lines(stream, unfolding=self._unfolding)
                return
            self._document = DocumentReader(
                iter(lambda: stream.read(CHUNK), b""),
                name=file.identity.name,
                path=spec.record_path,
                unfolding=self._unfolding,
            )
            yield from self._document.records()

    def notes(self, *, alone: bool) -> tuple[str, ...]:
        """What people should know of the file once it was read to its end.

        :param alone: the source has no other file; of many, each may well be one record.
        """
        document, name = self._document, self._file.identity.name
        if document is None:
            return ()
        notes: tuple[str, ...] = ()
        if document.gaps:
            notes += (f"{name}: {document.gaps} commas with no record between them.",)
        if document.tables and alone:
            paths = " or ".join(f"`$.{key}`" for key in document.tables)
            words = (
                "is one object and was read as one record. If its records are inside, write where"
            )
            notes += (f"{name} {words}: `source.records`: {paths}.",)
        return notes
