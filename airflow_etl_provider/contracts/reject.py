"""A rejected record: what it was, where it stood, and every reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Reason", "Reject"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a record was rejected.

    `code` is stable and counted in reports: `wrong_field_count`, `broken_quote`, `bad_encoding`,
    `too_long`, `repeated_header`, `not_json`, `not_computed`, `not_converted`, `out_of_range`,
    `null_not_allowed`, `duplicate_key`, `rule:<kind>`. `message` never holds a value of the record.
    """

    code: str
    column: str | None = None
    step: str | None = None
    message: str = ""

    @property
    def label(self) -> str:
        """How reports count it: the code, with the column where there is one."""
        return f"{self.code}:{self.column}" if self.column else self.code


@dataclass(frozen=True, slots=True)
class Reject:
    """One rejected record.

    :param input: the file (or table, topic partition) it came from, as shown to people.
    :param record: its number in that input, from 1; header and blank lines are no records.
    :param raw: its bytes as they stood in the file, after decompression; for a record that was
        read but did not convert, its fields written again in the file's dialect.
    :param fields: the parsed source fields (text), None where it could not be parsed.
    :param line: physical line where it starts, from 1, where known.
    :param text: `fields` as JSON, where somebody wrote it already.
    """

    input: str
    record: int
    raw: bytes
    reasons: tuple[Reason, ...]
    fields: dict[str, Any] | None = field(default=None)
    line: int | None = None
    text: str | None = field(default=None, compare=False, repr=False)
