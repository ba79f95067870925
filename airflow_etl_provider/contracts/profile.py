"""What was found of a dataset: its fields as their values show them, and measured facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.types import LogicalType

__all__ = ["DatasetProfile", "FieldProfile", "NotRead"]


@dataclass(frozen=True, slots=True)
class FieldProfile:
    """One column, measured.

    Of a personal column nothing is told that is made of its values: `minimum`, `maximum`, `top` and
    `patterns` are empty.

    :param type: what the values are, which may be more than the declaration says: numbers in text.
    :param stored: how the source gives it.
    :param format: how the values are written, where a conversion needs to know: `%d/%m/%Y`,
        `1.234,5`, `leading zeros`; several, with `|` between them, where nothing tells which.
    :param semantic_type: what the values mean (`email`, `postal_code`), None where nobody knows.
    :param personal: whether the values say something of a person.
    :param confidence: of `semantic_type`, 0 to 1.
    :param null_words: texts that stand for NULL, and how many of the looked-at values are one.
    :param null_share: NULLs and null words, 0 to 1.
    :param distinct: different values; approximate above some thousands.
    :param shortest: length in characters, of text.
    :param top: the most frequent values, with how many of those that were looked at.
    :param patterns: shapes of values (`Aaa 999`), with the share of those that were looked at.
    :param notes: what a person should know (no values).
    """

    name: str
    type: LogicalType
    stored: LogicalType
    nullable: bool
    null_share: float
    distinct: int
    format: str | None = None
    semantic_type: str | None = None
    personal: bool = False
    confidence: float = 0.0
    unit: str | None = None
    null_words: dict[str, int] = field(default_factory=dict)
    minimum: str | None = None
    maximum: str | None = None
    shortest: int | None = None
    longest: int | None = None
    top: tuple[tuple[str, int], ...] = ()
    patterns: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON of the command and of the catalog."""
        return {
            "name": self.name,
            "type": str(self.type),
            "stored": str(self.stored),
            "nullable": self.nullable,
            "format": self.format,
            "unit": self.unit,
            "personal": self.personal,
            "semantic_type": self.semantic_type,
            "confidence": round(self.confidence, 3),
            "null_share": round(self.null_share, 6),
            "null_words": dict(self.null_words),
            "distinct": self.distinct,
            "min": self.minimum,
            "max": self.maximum,
            "shortest": self.shortest,
            "longest": self.longest,
            "top": [{"value": value, "count": count} for value, count in self.top],
            "patterns": [{"pattern": shape, "share": round(s, 4)} for shape, s in self.patterns],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class NotRead:
    """A dataset that is there and can't be read.

    :param code: of the error.
    :param reason: its message, which holds no value and no secret.
    """

    name: str
    location: str
    code: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "location": self.location,
            "problem": {"code": self.code, "message": self.reason},
            "fields": [],
        }


@dataclass(frozen=True, slots=True)
class DatasetProfile:
    """One dataset, measured.

    :param connection: that the location or table belongs to.
    :param format: `csv`, `jsonl`, `json`, `parquet` or `table`.
    :param dialect: of delimited text.
    :param rows: records that were read, without those that the reader rejects.
    :param rejected: records that the reader rejects, as broken as a load would find them.
    :param looked_at: rows whose values were looked at one by one.
    :param margin: a share measured on those is wrong by more than this in one of twenty cases; 0
        where all rows were looked at.
    :param keys: columns, or pairs of them, whose values are all there and all different.
    """

    name: str
    location: str
    format: str
    rows: int
    fields: tuple[FieldProfile, ...]
    connection: str | None = None
    rejected: int = 0
    inputs: int = 1
    bytes_read: int = 0
    looked_at: int = 0
    margin: float = 0.0
    dialect: dict[str, Any] | None = None
    keys: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON of the command and of the catalog."""
        return {
            "name": self.name,
            "connection": self.connection,
            "location": self.location,
            "format": self.format,
            "dialect": self.dialect,
            "rows": self.rows,
            "rows_rejected": self.rejected,
            "fields": [field.to_dict() for field in self.fields],
            "keys": [list(key) for key in self.keys],
            "profile": {
                "inputs": self.inputs,
                "bytes_read": self.bytes_read,
                "rows_looked_at": self.looked_at,
                "margin": round(self.margin, 4),
            },
            "notes": list(self.notes),
        }
