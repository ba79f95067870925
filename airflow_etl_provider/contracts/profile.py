"""What was found of a dataset: its fields as their values show them, and measured facts."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from airflow_etl_provider.contracts.sketch import Sketch
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_etl_provider.contracts.types import Kind, LogicalType

__all__ = ["DatasetProfile", "FieldProfile", "NotRead"]


@dataclass(frozen=True, slots=True)
class FieldProfile:
    """One column, measured.

    Of a personal column nothing is told that is made of its values: `minimum`, `maximum`, `top` and
    `patterns` are empty, there is no sketch, and quantiles are of lengths only.

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
    :param required: it is declared NOT NULL.
    :param description: that the source gives: a comment in a database.
    :param fits: the share of the values, null words apart, that are of `type`.
    :param almost: of text: a type that many of its values have, and their share.
    :param quantiles: every 1/32 of what `quantiles_of` says: numbers; dates and times in seconds
        (from 1970, from midnight); or lengths in characters.
    :param repeats: among the rows that were looked at, values that another row had before.
    :param sketch: of the distinct values, to compare them with those of other columns.
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
    required: bool = False
    description: str | None = None
    fits: float = 1.0
    almost: tuple[Kind, float] | None = None
    quantiles: tuple[float, ...] = ()
    quantiles_of: Literal["value", "length"] | None = None
    repeats: int = 0
    sketch: Sketch | None = None

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
            "required": self.required,
            "description": self.description,
            "fits": round(self.fits, 4),
            "almost": None if self.almost is None else [self.almost[0], round(self.almost[1], 4)],
            "quantiles": list(self.quantiles),
            "quantiles_of": self.quantiles_of,
            "repeats": self.repeats,
            "sketch": None if self.sketch is None else str(self.sketch),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> FieldProfile:
        """Read what `to_dict` wrote; what an older version did not know of stays empty.

        :raises SpecificationError: it is none.
        """
        with _reading("a column"):
            almost, sketch = facts.get("almost"), facts.get("sketch")
            return cls(
                name=str(facts["name"]),
                type=parse_type(facts["type"]),
                stored=parse_type(facts["stored"]),
                nullable=bool(facts["nullable"]),
                null_share=float(facts["null_share"]),
                distinct=int(facts["distinct"]),
                format=facts.get("format"),
                semantic_type=facts.get("semantic_type"),
                personal=bool(facts.get("personal")),
                confidence=float(facts.get("confidence") or 0.0),
                unit=facts.get("unit"),
                null_words=dict(facts.get("null_words") or {}),
                minimum=facts.get("min"),
                maximum=facts.get("max"),
                shortest=facts.get("shortest"),
                longest=facts.get("longest"),
                top=tuple((str(one["value"]), int(one["count"])) for one in facts.get("top", ())),
                patterns=tuple(
                    (str(one["pattern"]), float(one["share"])) for one in facts.get("patterns", ())
                ),
                notes=tuple(facts.get("notes", ())),
                required=bool(facts.get("required")),
                description=facts.get("description"),
                fits=float(facts.get("fits", 1.0)),
                almost=None if almost is None else (almost[0], float(almost[1])),
                quantiles=tuple(float(one) for one in facts.get("quantiles", ())),
                quantiles_of=facts.get("quantiles_of"),
                repeats=int(facts.get("repeats", 0)),
                sketch=None if sketch is None else Sketch.parse(sketch),
            )


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
    :param format: `csv`, `jsonl`, `json`, `parquet` or `table`; of a topic, how its values are
        written: `json`, `avro`, `text`, `binary`, `none`.
    :param dialect: of delimited text; of a topic, its partitions, offsets and formats.
    :param rows: records that the reader takes, without those that it rejects.
    :param counted: False where `rows` is an estimate, because a part was read; then all that is
        told of values is told of that part.
    :param rejected: records that the reader rejects, as broken as a load would find them.
    :param looked_at: rows whose values were looked at one by one.
    :param margin: a share measured on those is wrong by more than this in one of twenty cases; 0
        where all rows were looked at.
    :param keys: columns, or pairs of them, whose values are all there and all different.
    :param dependencies: of a column, those that it determines among the rows that were looked at:
        the same postal code, the same city.
    :param description: that the source gives: a comment in a database.
    :param sample: some rows as text, in the order of the fields; values of personal columns are
        masked.
    :param primary_key: that is declared, () where none is.
    :param partitions: the columns that folders are named by (`day=2026-01-01`).
    :param hashing: of the sketches; those of another one can't be compared.
    """

    name: str
    location: str
    format: str
    rows: int
    fields: tuple[FieldProfile, ...]
    connection: str | None = None
    counted: bool = True
    kind: Literal["table", "files", "topic"] = "files"
    rejected: int = 0
    inputs: int = 1
    bytes_read: int = 0
    looked_at: int = 0
    margin: float = 0.0
    dialect: dict[str, Any] | None = None
    keys: tuple[tuple[str, ...], ...] = ()
    dependencies: tuple[tuple[str, tuple[str, ...]], ...] = ()
    primary_key: tuple[str, ...] = ()
    description: str | None = None
    sample: tuple[tuple[str | None, ...], ...] = ()
    partitions: tuple[str, ...] = ()
    hashing: str = ""
    notes: tuple[str, ...] = ()

    @property
    def measured(self) -> int:
        """Rows that shares are of: all, or those of the part that was read."""
        return self.rows if self.counted else self.looked_at

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON of the command and of the catalog."""
        return {
            "name": self.name,
            "connection": self.connection,
            "location": self.location,
            "kind": self.kind,
            "format": self.format,
            "dialect": self.dialect,
            "rows": self.rows,
            "rows_counted": self.counted,
            "rows_rejected": self.rejected,
            "fields": [field.to_dict() for field in self.fields],
            "keys": [list(key) for key in self.keys],
            "dependencies": {name: list(others) for name, others in self.dependencies},
            "primary_key": list(self.primary_key),
            "partitions": list(self.partitions),
            "description": self.description,
            "sample": [list(row) for row in self.sample],
            "profile": {
                "inputs": self.inputs,
                "bytes_read": self.bytes_read,
                "rows_looked_at": self.looked_at,
                "margin": round(self.margin, 4),
                "hashing": self.hashing,
            },
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> DatasetProfile:
        """Read what `to_dict` wrote; what an older version did not know of stays empty.

        :raises SpecificationError: it is none.
        """
        with _reading("a dataset"):
            method = found.get("profile") or {}
            return cls(
                name=str(found["name"]),
                location=str(found.get("location") or ""),
                format=str(found["format"]),
                rows=int(found["rows"]),
                fields=tuple(FieldProfile.from_dict(one) for one in found["fields"]),
                connection=found.get("connection"),
                kind=found.get("kind") or ("table" if found["format"] == "table" else "files"),
                counted=bool(found.get("rows_counted", True)),
                rejected=int(found.get("rows_rejected", 0)),
                inputs=int(method.get("inputs", 1)),
                bytes_read=int(method.get("bytes_read", 0)),
                looked_at=int(method.get("rows_looked_at", 0)),
                margin=float(method.get("margin", 0.0)),
                dialect=found.get("dialect"),
                keys=tuple(tuple(key) for key in found.get("keys", ())),
                dependencies=tuple(
                    (name, tuple(others)) for name, others in found.get("dependencies", {}).items()
                ),
                primary_key=tuple(found.get("primary_key", ())),
                partitions=tuple(found.get("partitions", ())),
                description=found.get("description"),
                sample=tuple(tuple(row) for row in found.get("sample", ())),
                hashing=str(method.get("hashing", "")),
                notes=tuple(found.get("notes", ())),
            )


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise SpecificationError(
            f"What was found of {what} can't be read: {type(error).__name__} at {error}.",
            hint="Give what `airflow-etl discover --json` wrote.",
        ) from error
