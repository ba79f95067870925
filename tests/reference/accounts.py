"""What a load has to do with delimited files, by the slow reader: no engine, no SQL, no Arrow."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect
from tests.reference import slow_reader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LINE_ENDS = ("\r\n", "\n", "\r")

OURS = ResolvedDialect(
    encoding="utf-8", bom=0, delimiter=",", quote='"', escape="", comment="", newline="\r\n",
    skip_rows=0, header_rows=1, columns=(),
)  # fmt: skip
"""How a CSV target writes."""


@dataclass(frozen=True)
class Rejected:
    """A record that must be quarantined; `fields` are None where it could not be read."""

    input: str
    record: int
    raw: bytes | None
    reasons: frozenset[str]
    line: int | None = None
    fields: dict[str, str | None] | None = None


@dataclass
class Account:
    """Where every record of one or more files has to end."""

    read: int = 0
    filtered: int = 0
    loaded: list[tuple[Any, ...]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def reasons(self) -> dict[str, int]:
        return dict(Counter(label for one in self.rejected for label in one.reasons))


def without_line_end(raw: bytes, encoding: str) -> bytes:
    for end in LINE_ENDS:
        if raw.endswith(end.encode(encoding)):
            return raw[: -len(end.encode(encoding))]
    return raw


def content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def account_of_text(
    files: Sequence[tuple[str, bytes, ResolvedDialect]], *, columns: Sequence[str]
) -> Account:
    """Every column as the text that it is; each file in its own dialect."""
    made = Account()
    for name, data, dialect in files:
        lines = {
            line.start: number
            for number, line in enumerate(slow_reader.physical_lines(data, dialect), start=1)
        }
        for part in slow_reader.read(data, dialect):
            if part.kind not in ("record", "rejected"):
                continue
            assert part.number is not None
            made.read += 1
            if part.fields is not None:
                values = dict(zip(dialect.columns, part.fields, strict=True))
                made.loaded.append(tuple(values[column] for column in columns))
                continue
            raw = without_line_end(data[part.start : part.end], dialect.encoding)
            code = frozenset([part.code or ""])
            made.rejected.append(Rejected(name, part.number, raw, code, lines[part.start]))
    return made


def csv_rows(data: bytes, columns: Sequence[str]) -> list[tuple[str | None, ...]]:
    """Read what a CSV target wrote; NULL in a file of one column is the empty text."""
    parts = slow_reader.read(data, replace(OURS, columns=tuple(columns)))
    assert [part.kind for part in parts[:1]] == ["header"]
    assert {part.kind for part in parts[1:]} <= {"record"}
    return [tuple(part.fields or ()) for part in parts[1:]]


@dataclass(frozen=True)
class Typed:
    """The reference for one typed contract: id int64, name string, amount decimal(12,2).

    Rows named `skip` are filtered, amounts are at least 0, names have 1 to 6 characters, and with
    `unique` the first row with an id survives.
    """

    unique: bool = False

    def account(self, files: Sequence[tuple[str, bytes, ResolvedDialect]]) -> Account:
        """Where the records end.

        :raises KeyError: the files have other columns.
        """
        made, taken = Account(), set()
        for name, data, dialect in files:
            if not {"id", "name", "amount"} <= set(dialect.columns):
                raise KeyError(name)
            text = account_of_text([(name, data, dialect)], columns=dialect.columns)
            ruled = {one.record: one for one in text.rejected}
            rows = iter(text.loaded)
            made.read += text.read
            for number in range(1, text.read + 1):
                if number in ruled:
                    made.rejected.append(ruled[number])
                    continue
                fields = dict(zip(dialect.columns, next(rows), strict=True))
                if fields["name"] == "skip":
                    made.filtered += 1
                    continue
                values, reasons = self.judge(fields["id"], fields["name"], fields["amount"])
                if not reasons and self.unique and values[0] is not None and values[0] in taken:
                    reasons = {"rule:unique:id"}
                if reasons:
                    made.rejected.append(
                        Rejected(name, number, None, frozenset(reasons), fields=fields)
                    )
                    continue
                taken.add(values[0])
                made.loaded.append(values)
        return made

    @staticmethod
    def judge(
        id_: str | None, name: str | None, amount: str | None
    ) -> tuple[tuple[Any, ...], set[str]]:
        """The values of a row, and the labels of the reasons against it."""
        reasons = set()
        number = total = None
        if id_ is not None:
            if re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", id_):
                number = int(id_)
            else:
                reasons.add("not_converted:id")
        if amount is not None:
            if re.fullmatch(r"\s*[+-]?[0-9]{1,9}(\.[0-9]{0,2})?\s*", amount):
                total = Decimal(amount.strip())
                if total < 0:
                    reasons.add("rule:between:amount")
            else:
                reasons.add("not_converted:amount")
        if name is not None and not 1 <= len(name) <= 6:
            reasons.add("rule:length:name")
        return (number, name, total), reasons
