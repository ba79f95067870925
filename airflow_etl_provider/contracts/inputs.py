"""The named inputs of a `select`, as a person writes them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from airflow_etl_provider.contracts.problem import NotYetError, found
from airflow_etl_provider.contracts.source_spec import Incremental, SourceSpec
from airflow_etl_provider.contracts.spec import Text
from airflow_etl_provider.contracts.types import LogicalType  # noqa: TC001 - pydantic reads it

__all__ = ["INPUT_NAME", "MAX_INPUTS", "InputSpec", "Inputs"]

MAX_INPUTS = 50
"""More inputs in one select belong into several pipelines."""

INPUT_NAME = r"^(?! )[^:\x00-\x1f\x7f]{1,63}(?<! )$"
"""What an input may be called, as JSON Schema writes it."""

_MAX_NAME = 63


def _no_incremental(_: object) -> Incremental:
    raise NotYetError("is not supported yet for an input of a select; narrow it there by `where`")


class InputSpec(SourceSpec):
    """One named input: a source that is read as a whole, with types for what is text in it."""

    incremental: Annotated[
        Incremental | None,
        BeforeValidator(_no_incremental),
        Field(description="Not supported yet for an input of a select."),
        WithJsonSchema({"not": {}}),
    ] = None
    fields: Annotated[
        dict[Text, LogicalType],
        Field(
            description="Types of fields: each value is cast strictly, and a record with one that "
            "does not convert is quarantined. Others keep the type of the file."
        ),
    ] = {}  # noqa: RUF012 - pydantic copies it


def _check_names(inputs: dict[str, InputSpec]) -> dict[str, InputSpec]:
    if len(inputs) > MAX_INPUTS:
        raise ValueError(f"names {len(inputs)} inputs; at most {MAX_INPUTS} are allowed")
    folded: dict[str, str] = {}
    for name in inputs:
        if len(name) > _MAX_NAME or not name.isprintable() or name != name.strip() or ":" in name:
            raise ValueError(
                f"found {found(name)}; the name of an input has at most {_MAX_NAME} characters, no "
                "colon, no control character and no blank at its ends"
            )
        if folded.setdefault(name.lower(), name) != name:
            raise ValueError(
                f"names {folded[name.lower()]!r} and {name!r}, which are one name to SQL"
            )
    return inputs


Inputs = Annotated[dict[Text, InputSpec], AfterValidator(_check_names)]
"""Inputs by the names that the select calls them by."""
