"""What a run takes after its pipeline's position: the files that are new, and how many of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.load import input_hash_of
from airflow_etl_provider.engines.high_mark import high_of
from airflow_etl_provider.engines.sources import open_chosen
from airflow_etl_provider.exceptions import LoadConflictError, SourceNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.engines.sources.base import Source
    from airflow_etl_provider.engines.sources.files import FileInput, ListedFile
    from airflow_etl_provider.engines.targets.base import Position

__all__ = ["Selection"]

NAMED = 5
"""Files that an error names; the others it counts."""


@dataclass(slots=True)
class Selection:
    """Picks the files of one run.

    :param position: None where the run takes all of them.
    :param note: for people, once picked: what is left to other runs, or why nothing is taken.
    """

    pipeline: Pipeline
    position: Position | None
    contract_hash: str
    note: str | None = None
    _listed: bool = field(default=False, init=False)

    def open(
        self,
        *,
        connections: Connections,
        base: Path | None,
        all_text: bool,
        scratch: Path | None,
        expected: Schema | None,
    ) -> Source | None:
        """Open what the run is to read; None when nothing is new.

        :raises LoadConflictError: a file that was appended before has changed.
        :raises SourceNotFoundError: nothing is there, and nothing ever was.
        """
        try:
            return open_chosen(
                self.pipeline.source,
                self._choose,
                connections=connections,
                base=base,
                all_text=all_text,
                scratch=scratch,
                expected=expected,
            )
        except SourceNotFoundError:
            # Files may be moved away once they are loaded; a location that never matched is a
            # mistake, and so is a file that is gone again.
            if self._listed or self.position is None or not self.position.inputs:
                raise
            self.note = "Nothing new: no file is there."
            return None

    def _choose(self, listed: list[ListedFile]) -> tuple[FileInput, ...]:
        self._listed = True
        incremental, position = self.pipeline.source.incremental, self.position
        if incremental is None or position is None or incremental.by == "column":
            files = tuple(made for file in listed for made in file.inputs())
            if position is not None and self._was_read_already(files, position):
                self.note = "Nothing new: the files are those that the last load read."
                return ()
            return files
        return self._new(listed, position, most=incremental.max_files)

    def _new(
        self, listed: list[ListedFile], position: Position, *, most: int | None
    ) -> tuple[FileInput, ...]:
        """Those that no load took; what is known by its name is not even opened."""
        loaded, left = position.inputs, 0
        new: list[FileInput] = []
        changed = [
            file.identity.name
            for file in listed
            if loaded.get(file.identity.name, file.identity) != file.identity
        ]
        for file in listed:
            if loaded.get(file.identity.name) == file.identity:
                continue
            if most is not None and len(new) >= most:
                left += 1
                continue
            for made in file.inputs():
                known = loaded.get(made.identity.name)
                if known != made.identity:
                    new.append(made)
                    if known is not None and made.identity.name not in changed:
                        changed.append(made.identity.name)
        if changed and self.pipeline.target.mode == "append":
            raise _changed(changed, pipeline=self.pipeline)
        if not new:
            self.note = f"Nothing new: all files ({len(listed)}) were loaded before."
        elif most is not None and (left := left + len(new[most:])):
            self.note = f"New files left to the next runs (`max_files`): {left}."
        return tuple(new[:most])

    def _was_read_already(self, files: tuple[FileInput, ...], position: Position) -> bool:
        """Whether the last load read the very same and left nothing above its highest value."""
        last, identities = position.last, tuple(file.identity for file in files)
        return (
            last is not None
            and last.contract_hash == self.contract_hash
            and high_of(self.pipeline, position) is not None
            and all(identity.version is not None for identity in identities)
            and last.input_hash == input_hash_of(identities)
        )


def _changed(names: list[str], *, pipeline: Pipeline) -> LoadConflictError:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return LoadConflictError(
        f"Pipeline {pipeline.pipeline!r} appended these files before, and they have changed since: "
        f"{', '.join(names[:NAMED])}{more}. Nothing was published.",
        hint="Appending them again would double the rows that did not change. Give what is new a "
        "new name, undo the load that took the file, or use mode merge.",
    )
