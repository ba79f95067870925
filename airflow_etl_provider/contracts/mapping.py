"""A mapping contract: the versioned answer to "what goes where"."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)

from airflow_etl_provider.contracts.conversions import Conversion
from airflow_etl_provider.contracts.problem import did_you_mean, found
from airflow_etl_provider.contracts.spec import Faults, Names, Scalar, Spec, Text, Words
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

__all__ = ["Approval", "ColumnMapping", "DatasetRef", "MappingContract", "OnFailure", "Unmapped"]

OnFailure = Literal["reject", "null", "default"]

_Fields = Annotated[
    dict[Text, LogicalType],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": r"\S"},
            "additionalProperties": LogicalType.__get_pydantic_json_schema__(None, None),
        }
    ),
]


class DatasetRef(Spec):
    """One side of a contract: which dataset, and its columns with their types, in order."""

    dataset: Annotated[Text | None, Field(description="connection/name, or a path.")] = None
    fingerprint: Annotated[
        Text | None, Field(description="The hash of its schema when the contract was made.")
    ] = None
    fields: Annotated[
        _Fields, Field(description="Each column with its logical type: int64, decimal(12,2), ...")
    ] = {}  # noqa: RUF012 - pydantic copies it


def _read_moment(value: object) -> object:
    # Pydantic takes numbers and their text as seconds since 1970, which nobody writes here.
    if isinstance(value, datetime) or (isinstance(value, str) and "-" in value[1:]):
        return value
    raise ValueError(f"found {found(value)}; expected a moment such as 2026-11-20T09:14:00Z")


class Approval(Spec):
    """Who approved a contract, and when."""

    by: Annotated[Text, Field(description="A person's name.")]
    at: Annotated[
        AwareDatetime,
        BeforeValidator(_read_moment),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": (
                    r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:?\d{2})$"
                ),
            }
        ),
        Field(description="A moment with its zone: 2026-11-20T09:14:00Z."),
    ]


class Unmapped(Spec):
    """What the contract leaves out knowingly."""

    source: Annotated[Names, Field(description="Source fields that go nowhere.")] = ()
    target: Annotated[Names, Field(description="Target columns that nothing fills.")] = ()


def _read_steps(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _read_on_failure(value: object) -> object:
    return "null" if value is None else value


class _StepsSchema:
    """Annotation: describes one step or a list of them, only when somebody asks."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        from airflow_etl_provider.contracts.conversions import conversion_schema

        one = conversion_schema()
        return {"anyOf": [one, {"type": "array", "items": one}]}


class ColumnMapping(Spec):
    """Where one target column comes from.

    :param from_: source fields (written `from`), in the order the first conversion takes them.
    :param convert: steps, applied in the order written; empty means identity.
    :param when: an SQL condition over source fields; where it is not true the value is NULL.
    :param default: the value that `on_failure: default` puts in.
    """

    from_: Annotated[
        Names,
        Field(alias="from", description="The source field, or several for the first conversion."),
    ] = ()
    convert: Annotated[
        tuple[Conversion, ...],
        BeforeValidator(_read_steps),
        _StepsSchema(),
        Field(description="A conversion, or several one after the other; none takes it as it is."),
    ] = ()
    when: Annotated[
        Text | None,
        Field(
            description="An SQL condition over source fields; where it is not true, the value is "
            "NULL."
        ),
    ] = None
    on_failure: Annotated[
        OnFailure,
        Words(("reject", "null", "default")),
        BeforeValidator(_read_on_failure),
        Field(
            description="What becomes of a value that does not convert: reject (the record), null "
            "or default."
        ),
    ] = "reject"
    default: Annotated[Scalar | None, Field(description="The value for `on_failure: default`.")] = (
        None
    )
    confidence: Annotated[
        Annotated[float, Field(strict=True, ge=0, le=1)] | None,
        Field(description="How sure the one who proposed it was, 0 to 1."),
    ] = None
    evidence: Annotated[Names, Field(description="Why, in words.")] = ()
    status: Annotated[
        Annotated[
            Literal["proposed", "approved", "edited", "rejected"],
            Words(("proposed", "approved", "edited", "rejected")),
        ]
        | None,
        Field(description="Where this column stands, where that differs from the contract."),
    ] = None

    @model_validator(mode="after")
    def _fits(self) -> ColumnMapping:
        faults = Faults()
        if not self.from_ and not self.convert:
            faults.add((), "needs `from`: a source field, or a conversion that needs none")
        elif not self.from_ and self.convert[0].min_inputs > 0:
            word = self.convert[0].name
            faults.add(("from",), f"is missing: {word} takes {self.convert[0].inputs_in_words()}")
        for at, step in enumerate(self.convert[1:], start=1):
            if step.min_inputs > 1 or step.max_inputs == 0:
                faults.add(
                    ("convert", at), f"{step.name} takes source fields, so it can only come first"
                )
        if self.on_failure == "default" and self.default is None:
            faults.add(("default",), "is missing: `on_failure: default` puts it in")
        if self.on_failure != "default" and self.default is not None:
            faults.add(
                ("default",),
                "goes with `on_failure: default`; to fill NULL use the conversion `default`",
            )
        faults.report()
        return self

    def to_spec(self) -> dict[str, Any]:
        """Write it as in a contract file."""
        steps = [step.to_spec() for step in self.convert]
        written: dict[str, Any] = {
            "from": _one_or_list(self.from_),
            "convert": _one_or_list(steps),
            "when": self.when,
        }
        if self.on_failure != "reject":
            written["on_failure"] = self.on_failure
        written |= {
            "default": self.default,
            "confidence": self.confidence,
            "evidence": list(self.evidence),
            "status": self.status,
        }
        return {key: value for key, value in written.items() if value not in (None, [])}


class MappingContract(Spec):
    """The columns of the target and where each comes from."""

    contract: Annotated[Text, Field(description="Its name, mostly the pipeline's.")]
    version: Annotated[
        int, Field(strict=True, ge=1, description="Counts up with every change.")
    ] = 1
    status: Annotated[
        Literal["proposed", "approved", "rejected", "superseded"],
        Words(("proposed", "approved", "rejected", "superseded")),
        Field(description="Only an approved contract runs."),
    ] = "approved"
    approved: Annotated[Approval | None, Field(description="Who approved it, and when.")] = None
    source: Annotated[DatasetRef, Field(description="What the data comes from.")] = DatasetRef()
    target: Annotated[DatasetRef, Field(description="What the data goes to.")]
    columns: Annotated[
        dict[Text, ColumnMapping],
        Field(description="Each target column with where it comes from.", min_length=1),
    ]
    unmapped: Annotated[Unmapped, Field(description="What is left out knowingly.")] = Unmapped()

    @model_validator(mode="after")
    def _fits(self) -> MappingContract:
        faults = Faults()
        self._check_target(faults)
        self._check_source(faults)
        faults.report()
        return self

    def _check_target(self, faults: Faults) -> None:
        known = self.target.fields
        for name in self.columns:
            if name not in known:
                near = did_you_mean(name, known)
                faults.add(("columns", name), f"has no type: list it under target.fields{near}")
            if name in self.unmapped.target:
                faults.add(("unmapped", "target"), f"names {name!r}, which `columns` fills")
        for name in known:
            if name not in self.columns and name not in self.unmapped.target:
                faults.add(
                    ("target", "fields", name), "is neither under `columns` nor in unmapped.target"
                )

    def _check_source(self, faults: Faults) -> None:
        known = self.source.fields
        used: set[str] = set()
        for name, mapping in self.columns.items():
            used.update(mapping.from_)
            for field in mapping.from_:
                if known and field not in known:
                    faults.add(
                        ("columns", name, "from"),
                        f"found {found(field)}, which source.fields does not have"
                        f"{did_you_mean(field, known)}",
                    )
        for field in self.unmapped.source:
            if known and field not in known:
                faults.add(
                    ("unmapped", "source"),
                    f"names {field!r}, which source.fields does not have"
                    f"{did_you_mean(field, known)}",
                )
            if field in used:
                faults.add(("unmapped", "source"), f"names {field!r}, which `columns` uses")

    def require_approved(self) -> None:
        """Refuse to run by a contract that nobody stands for.

        :raises SpecificationError: the contract, or one of its columns, is not approved.
        """
        shown = f"Contract {self.contract!r} version {self.version}"
        if self.status != "approved":
            raise SpecificationError(
                f"{shown} is {self.status}; only an approved contract runs.",
                hint="Review it, and set `status: approved` with `approved: { by: ..., at: ... }`.",
            )
        for status in ("rejected", "proposed"):
            names = [name for name, column in self.columns.items() if column.status == status]
            if names:
                raise SpecificationError(
                    f"{shown} is approved, but these columns are {status}: {', '.join(names)}.",
                    hint="Approve or edit them, or move them to unmapped.target.",
                )

    def contract_hash(self) -> str:
        """64 hexadecimal digits over what decides rows: columns and target types, in any order.

        Name, version, confidence, evidence and approval change no row, so they change no hash.
        """
        decides = {
            name: {
                "from": list(column.from_),
                "convert": [step.to_spec() for step in column.convert],
                "when": column.when,
                "on_failure": column.on_failure,
                "default": column.default,
                "type": str(self.target.fields[name]),
            }
            for name, column in self.columns.items()
        }
        text = json.dumps(decides, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_spec(self) -> dict[str, Any]:
        """Write it as in a contract file: plain values, short forms, what is absent left away."""
        written: dict[str, Any] = {
            "contract": self.contract,
            "version": self.version,
            "status": self.status,
        }
        if self.approved is not None:
            moment = self.approved.at.isoformat().replace("+00:00", "Z")
            written["approved"] = {"by": self.approved.by, "at": moment}
        written["source"] = _dataset_to_spec(self.source)
        written["target"] = _dataset_to_spec(self.target)
        written["columns"] = {name: column.to_spec() for name, column in self.columns.items()}
        written["unmapped"] = {
            side: list(names)
            for side, names in (("source", self.unmapped.source), ("target", self.unmapped.target))
            if names
        }
        return {key: value for key, value in written.items() if value != {}}


def _dataset_to_spec(dataset: DatasetRef) -> dict[str, Any]:
    return dataset.model_dump(mode="json", exclude_defaults=True)


def _one_or_list(items: Any) -> Any:
    return items[0] if len(items) == 1 else list(items)
