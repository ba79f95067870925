"""The highest value that a pipeline's loads took of a column, from the ledger and back into it.

Records that come late may have that very value. Merge takes all records from it on again, which
changes nothing. Append must tell the late ones from those that it has: the ledger holds a digest of
each row that has the highest value, up to MOST_TIES of them, and their number in any case.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_etl_provider.engines.arrow_values import array_of
from airflow_etl_provider.engines.interval import EPOCH, in_microseconds
from airflow_etl_provider.exceptions import LoadConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from airflow_etl_provider.contracts.load import Load
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.engines.backends.base import Verdicts
    from airflow_etl_provider.engines.targets.base import Position

__all__ = ["MOST_TIES", "High", "HighMark", "high_of", "positions_of"]

MOST_TIES = 10_000
"""Digests in one ledger row: a quarter of a megabyte."""

KEY = "column"
"""Where the ledger's positions hold the highest value."""


@dataclass(frozen=True, slots=True)
class High:
    """The highest value that was loaded.

    :param value: as `Verdicts.marks` has it.
    :param rows: how many rows of the target have it.
    :param digests: how many by their digest; None where they were too many, or are not needed.
    :param basis: names contract and types; only digests of one basis can be compared.
    """

    kind: Literal["instant", "integer"]
    value: int
    rows: int
    digests: Mapping[str, int] | None
    basis: str


def high_of(pipeline: Pipeline, position: Position) -> High | None:
    """Read what the last load noted; None where everything is new.

    :raises LoadConflictError: rows were appended by other ways than by this column, so that all
        would be appended again.
    """
    incremental, last = pipeline.source.incremental, position.last
    if incremental is None or incremental.by != "column" or last is None:
        return None
    noted = last.positions.get(KEY)
    if not isinstance(noted, dict) or noted.get("name") != incremental.column:
        if pipeline.target.mode == "append" and incremental.start is None:
            raise LoadConflictError(
                f"Pipeline {pipeline.pipeline!r} loaded into {last.target} before, but not by "
                f"column {incremental.column!r}: it is not known from which value on records are "
                "new, and appending all would double them.",
                hint="Set `incremental.start` to the first value that is not loaded, or use merge.",
            )
        return None
    high = noted.get("high")
    if high is None:
        return None
    instant = isinstance(high, str)
    return High(
        kind="instant" if instant else "integer",
        value=in_microseconds(datetime.fromisoformat(high)) if instant else int(high),
        rows=int(noted.get("rows") or 0),
        digests=noted.get("digests"),
        basis=str(noted.get("basis")),
    )


def positions_of(load: Load, high_mark: HighMark | None) -> dict[str, Any]:
    """What the ledger notes of how far a load came: its inputs, and the highest value."""
    inputs = [{"name": i.name, "size": i.size, "version": i.version} for i in load.inputs]
    return {"inputs": inputs} | (high_mark.noted() if high_mark is not None else {})


class HighMark:
    """Follows the highest value through one attempt at a load.

    :param before: what the load before noted.
    :param appends: rows that were loaded must not come again; merge does not mind.
    """

    def __init__(
        self,
        before: High | None,
        *,
        column: str,
        kind: Literal["instant", "integer"],
        basis: str,
        appends: bool,
    ) -> None:
        self.column = column
        self.kind = kind
        self.basis = basis
        self.appends = appends
        self._before = before
        known = before.digests if before is not None and before.basis == basis else None
        self._loaded = None if known is None else Counter(known)
        self._passed_over = 0
        self._value = before.value if before else None
        self._rows = before.rows if before else 0
        self._digests: Counter[str] | None = None
        if appends and (before is None or known is not None):
            self._digests = Counter(known or {})

    def take(self, verdict: Verdicts) -> Verdicts:
        """Leave out the rows that are loaded already, and look for the highest value."""
        import pyarrow.compute as pc

        if verdict.marks is None:
            return verdict
        if self.appends and self._before is not None:
            verdict = self._without_loaded(verdict, self._before.value)
            verdict = self._without_loaded_losers(verdict, self._before.value)
        top = pc.max(verdict.marks).as_py()
        if top is not None and (self._value is None or top > self._value):
            self._value, self._rows = top, 0
            self._digests = Counter() if self.appends else None
        if top is not None and top == self._value:
            self._note(verdict, top)
        return verdict

    def check(self) -> None:
        """Stop where late records can't be told from loaded ones; at the end of the reading.

        :raises LoadConflictError: more records have the value than were loaded of it.
        """
        if self._before is not None and self._passed_over > self._before.rows:
            raise LoadConflictError(
                f"{self._passed_over} records have the highest value of {self.column!r} that was "
                f"loaded, and {self._before.rows} of them are in the target; which, can't be told "
                f"(more than {MOST_TIES}, or the contract has changed). Nothing was published.",
                hint="Use mode merge with a key, or a finer column; or undo the last load and run "
                "again, which takes all of them by the present contract.",
            )

    def noted(self) -> dict[str, Any]:
        """What the ledger is to hold for the next run."""
        value: str | int | None = self._value
        if self._value is not None and self.kind == "instant":
            value = (EPOCH + timedelta(microseconds=self._value)).isoformat()
        high = {
            "name": self.column,
            "high": value,
            "rows": self._rows,
            "digests": None if self._digests is None else dict(self._digests),
            "basis": self.basis,
        }
        return {KEY: high}

    def _without_loaded(self, verdict: Verdicts, value: int) -> Verdicts:
        import pyarrow as pa

        equal = _places(verdict.marks, value)
        loaded = {at for at, digest in self._ties(verdict.good, equal) if self._is_loaded(digest)}
        if not loaded or verdict.marks is None:
            return verdict
        keep = array_of([at not in loaded for at in range(len(verdict.marks))], pa.bool_())
        return replace(
            verdict,
            good=verdict.good.filter(keep),
            marks=verdict.marks.filter(keep),
            filtered=verdict.filtered + len(loaded),
        )

    def _without_loaded_losers(self, verdict: Verdicts, value: int) -> Verdicts:
        """The same for rows whose keys were found in the target, where they are themselves.

        After the good ones: of two equal rows the one that is good must not be loaded again.
        """
        losing = verdict.losing
        if losing is None:
            return verdict
        ties = self._ties(losing.rows, _places(losing.marks, value))
        loaded = {losing.numbers[at] for at, digest in ties if self._is_loaded(digest)}
        return replace(
            verdict,
            failed=[row for row in verdict.failed if row.row not in loaded],
            filtered=verdict.filtered + len(loaded),
        )

    def _ties(self, batch: pa.RecordBatch, places: pa.Array) -> list[tuple[int, str | None]]:
        if not len(places):
            return []
        digests: list[str] | list[None] = [None] * len(places)
        if self._loaded is not None:
            digests = _digests_of(batch.take(places))
        return list(zip(places.to_pylist(), digests, strict=True))

    def _is_loaded(self, digest: str | None) -> bool:
        if self._loaded is None or digest is None:
            self._passed_over += 1
            return True
        self._loaded[digest] -= 1
        return self._loaded[digest] >= 0

    def _note(self, verdict: Verdicts, value: int) -> None:
        places = _places(verdict.marks, value)
        self._rows += len(places)
        if self._rows > MOST_TIES:
            self._digests = None
        if self._digests is not None:
            self._digests.update(_digests_of(verdict.good.take(places)))


def _places(marks: pa.Array | None, value: int) -> pa.Array:
    import pyarrow.compute as pc

    return pc.indices_nonzero(pc.equal(marks, value))


def _digests_of(rows: pa.RecordBatch) -> list[str]:
    """One digest per row, of names and values."""
    columns = [_plain(column).to_pylist() for column in rows.columns]
    names = rows.schema.names
    return [
        hashlib.blake2b(
            repr(list(zip(names, row, strict=True))).encode("utf-8", "surrogatepass"),
            digest_size=12,
        ).hexdigest()
        for row in zip(*columns, strict=True)
    ]


def _plain(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    plain = column.storage if isinstance(column, pa.ExtensionArray) else column
    if pa.types.is_timestamp(plain.type) or pa.types.is_date(plain.type):
        # Python has no words for years beyond 9999.
        return plain.cast(pa.int64() if plain.type.bit_width == 64 else pa.int32())
    return plain
