"""The shapes of requests and answers, made of the records themselves."""

from __future__ import annotations

from dataclasses import MISSING, fields
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, get_type_hints

from fastapi.exceptions import RequestValidationError
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
)

from airflow_etl_provider.metadata.queries import MAX_PAGE
from airflow_etl_provider.metadata.records.encoding import record_from_json

if TYPE_CHECKING:
    from airflow_etl_provider.metadata.records import Record

__all__ = [
    "ContractDecision",
    "ContractEdit",
    "ErrorBody",
    "FieldError",
    "Listing",
    "ListingQuery",
    "MetricsQuery",
    "Recording",
    "Series",
    "SettingsEdit",
    "listing_query",
    "model_of",
    "typed_record",
]

T = TypeVar("T")
R = TypeVar("R", bound="Record")

_TYPES = {"datetime": datetime, "Json": dict[str, Any]}


@cache
def model_of(record: type[Record]) -> type[BaseModel]:
    """A model with the record's fields, types and defaults."""
    hints = get_type_hints(record, localns=_TYPES)
    made: dict[str, Any] = {}
    for field in fields(record):  # type: ignore[arg-type]
        default: Any = ...
        if field.default is not MISSING:
            default = field.default
        elif field.default_factory is not MISSING:
            default = Field(default_factory=field.default_factory)
        made[field.name] = (hints[field.name], default)
    name = record.__name__.removesuffix("Record")
    return create_model(
        name, __doc__=(record.__doc__ or "").split("\n")[0], __module__=__name__, **made
    )


def typed_record(record: type[R], content: dict[str, Any]) -> R:
    """Check every field's type before a record is made; keys of newer workers are left out.

    :raises RequestValidationError: names the fields.
    """
    try:
        model_of(record).model_validate(content)
    except ValidationError as error:
        raise RequestValidationError(
            [
                fault | {"loc": ("body", record.COLLECTION, *fault["loc"])}
                for fault in error.errors()
            ]
        ) from error
    return record_from_json(record, content)


class Listing(BaseModel, Generic[T]):
    """Some of the answers, newest first."""

    items: list[T]
    cursor: Annotated[
        str | None, Field(description="Give it as `after` for the next ones; null at the end.")
    ] = None


class FieldError(BaseModel):
    """One thing that is wrong with a request."""

    field: str
    message: str


class ErrorBody(BaseModel):
    """Why a request was not answered."""

    code: Annotated[str, Field(description="Stable; the page of errors has it as a heading.")]
    message: str
    hint: str | None = None
    errors: list[FieldError] = []


class ListingQuery(BaseModel):
    """What every listing can be asked for."""

    model_config = ConfigDict(extra="forbid")

    since: Annotated[AwareDatetime | None, Field(description="The earliest moment, included.")] = (
        None
    )
    until: Annotated[AwareDatetime | None, Field(description="The latest, excluded.")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
    after: Annotated[str | None, Field(max_length=2000, description="The cursor before.")] = None


@cache
def listing_query(record: type[Record]) -> type[ListingQuery]:
    """The same, with the filters of a record; each may be given several times."""
    filters: dict[str, Any] = {
        name: (
            Annotated[list[str], Field(max_length=100)],
            Field(default=[], description=f"Only with one of these values of `{name}`."),
        )
        for name in record.FILTERS
    }
    return create_model(
        f"{record.__name__.removesuffix('Record')}Query",
        __base__=ListingQuery,
        __module__=__name__,
        **filters,
    )


Name = Annotated[str, Field(min_length=1, max_length=250)]


class MetricsQuery(BaseModel):
    """What is asked of metrics."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[list[Name], Field(min_length=1, max_length=20)]
    since: AwareDatetime
    until: AwareDatetime
    pipeline: Annotated[list[Name], Field(max_length=100)] = []
    run_id: Annotated[list[Name], Field(max_length=100)] = []
    resolution: Annotated[
        int | None, Field(ge=1, le=366 * 86_400, description="Seconds that a point is wide.")
    ] = None
    aggregation: Literal["avg", "min", "max", "sum", "count", "last"] = "avg"
    group_by: Literal["none", "pipeline", "run"] = "pipeline"


class Series(BaseModel):
    """One line of a chart: moments and values of the same length."""

    name: str
    group: str
    at: list[datetime]
    value: list[float]


Comment = Annotated[str | None, Field(max_length=4000)]


class ContractDecision(BaseModel):
    """What a person decided about a version of a contract."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["approved", "rejected"]
    comment: Comment = None


class ContractEdit(BaseModel):
    """A contract as a person wrote it, which becomes the next version."""

    model_config = ConfigDict(extra="forbid")

    body: dict[str, Any]
    comment: Comment = None


class SettingsEdit(BaseModel):
    """What shall override the configuration of an agent."""

    model_config = ConfigDict(extra="forbid")

    settings: dict[str, Any]
    comment: Comment = None


class Recording(BaseModel):
    """Records of several kinds, written in one transaction."""

    model_config = ConfigDict(extra="forbid")

    records: Annotated[
        list[dict[str, Any]],
        Field(
            max_length=5000,
            description="Each with `collection` beside its fields: "
            '`{"collection": "run", "id": ...}`.',
        ),
    ]
