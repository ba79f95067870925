"""Reading conversions as people write them: a word, or a word with its parameters."""

from __future__ import annotations

from typing import Any

from airflow_etl_provider.contracts.conversions.base import BY_NAME, Conversion
from airflow_etl_provider.contracts.problem import did_you_mean, found
from airflow_etl_provider.exceptions import SpecificationError

__all__ = ["CONVERSIONS", "conversion_schema", "read_conversion"]

_ORDER = """
    identity cast constant default coalesce null_words nullif trim normalize_space upper lower title
    strip_accents replace regex_extract regex_replace substring split_part pad concat template
    length parse_int parse_decimal parse_float parse_bool parse_date parse_time parse_timestamp
    parse_duration from_epoch to_timezone date_trunc date_part format_date round scale percent
    map_values hash mask uuid5 json_parse json_path array_split array_join sql
""".split()  # noqa: SIM905

CONVERSIONS: dict[str, type[Conversion]] = {name: BY_NAME[name] for name in _ORDER}
"""The closed set, by the words of contracts."""


def read_conversion(value: object) -> Conversion:
    """Read `cast`, `{constant: web}` or `{parse_decimal: {decimal: ","}}`.

    :raises SpecificationError: the word or a parameter is wrong, with what is allowed.
    """
    if isinstance(value, Conversion):
        return value
    if isinstance(value, str):
        return _build(_class_of(value), {})
    if isinstance(value, dict) and len(value) == 1:
        ((word, parameters),) = value.items()
        cls = _class_of(word)
        return _build(cls, _parameters(cls, parameters))
    words = "one word with its parameters" if isinstance(value, dict) else "a word"
    raise SpecificationError(
        f"A conversion is written as {words}, such as `cast` or `{{constant: web}}`; found "
        f"{found(value)}."
    )


def _class_of(word: object) -> type[Conversion]:
    cls = CONVERSIONS.get(word) if isinstance(word, str) else None
    if cls is None:
        near = did_you_mean(word, CONVERSIONS) or "."
        raise SpecificationError(
            f"{found(word)} is no conversion{near} Allowed: {', '.join(CONVERSIONS)}."
        )
    return cls


def _parameters(cls: type[Conversion], given: object) -> dict[str, Any]:
    if isinstance(given, dict) and all(isinstance(key, str) for key in given):
        return given
    if cls.primary is not None and not isinstance(given, dict):
        return {cls.primary: given}
    raise SpecificationError(
        f"{cls.name} takes {_allowed(cls)}; found {found(given)}. "
        f"Write `{{{cls.name}: {{parameter: value}}}}`."
    )


def _build(cls: type[Conversion], parameters: dict[str, Any]) -> Conversion:
    for key in parameters:
        if key not in cls.model_fields and not (cls.name == "hash" and key in ("salt", "key")):
            near = did_you_mean(key, cls.model_fields) or "."
            raise SpecificationError(
                f"{cls.name} has no parameter {key!r}{near} Allowed: {_allowed(cls)}."
            )
    for key, field in cls.model_fields.items():
        if field.is_required() and key not in parameters:
            raise SpecificationError(f"{cls.name} needs {key!r}. Its parameters: {_allowed(cls)}.")
    try:
        return cls.model_validate(parameters)
    except SpecificationError as error:
        words = error.message.replace(f"This {cls.__name__}: ", f"{cls.name}, ", 1)
        words = words.replace(f"This {cls.__name__} has", f"{cls.name} has", 1)
        raise type(error)(words) from error


def _allowed(cls: type[Conversion]) -> str:
    return ", ".join(cls.model_fields) or "no parameters"


def conversion_schema() -> dict[str, Any]:
    """Describe what may be written for a conversion, for editors (JSON Schema)."""
    bare = [
        name
        for name, cls in CONVERSIONS.items()
        if not any(field.is_required() for field in cls.model_fields.values())
    ]
    described = []
    for name, cls in CONVERSIONS.items():
        schema = cls.model_json_schema()
        schema.pop("title", None)
        forms: list[dict[str, Any]] = [schema]
        if cls.primary is not None:
            forms.append(schema["properties"][cls.primary])
        described.append(
            {
                "type": "object",
                "description": (cls.__doc__ or "").split("\n", 1)[0],
                "properties": {name: {"anyOf": forms} if len(forms) > 1 else schema},
                "required": [name],
                "additionalProperties": False,
            }
        )
    return {"anyOf": [{"enum": bare}, *described]}
