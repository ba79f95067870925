"""JSON Schema of the files that people write, for editors: completion, tooltips, red lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from airflow_etl_provider.contracts.incremental import BELONGS_TO
from airflow_etl_provider.contracts.inputs import INPUT_NAME, MAX_INPUTS
from airflow_etl_provider.contracts.mapping import MappingContract
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.contracts.source_spec import DELIMITED_ONLY

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["contract_schema", "pipeline_schema"]

DRAFT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_GIVEN = {"not": {"type": "null"}}

_FOLLOWING = {"enum": ["new_files", "column"]}


def pipeline_schema() -> Schema:
    """Describe a pipeline file."""
    schema = _schema(Pipeline, title="A pipeline")
    parts = schema["$defs"]
    for source in (parts["SourceSpec"], parts["InputSpec"]):
        source["properties"]["format"] = _with_tsv(source["properties"]["format"])
        source["oneOf"] = [
            {"allOf": [_given("location"), _absent("table", "query")]},
            {"allOf": [_given("connection", "table"), _absent("location", "query")]},
            {"allOf": [_given("connection", "query"), _absent("location", "table")]},
        ]
        source["allOf"] = [
            _if_then({"format": {"enum": ["jsonl", "parquet"]}}, _absent(*DELIMITED_ONLY)),
            _if_then({"format": {"const": "parquet"}}, _absent("encoding")),
        ]
    schema["oneOf"] = [
        {"allOf": [_given("source"), _absent("inputs", "select")]},
        {"allOf": [_given("inputs", "select"), _absent("source")]},
    ]
    schema["properties"]["inputs"] |= {
        "minProperties": 1,
        "maxProperties": MAX_INPUTS,
        "propertyNames": {"pattern": INPUT_NAME},
    }
    _describe_incremental(parts["Incremental"])
    schema["allOf"] = [
        _if_follows(_if_then({"on_reload": {"const": "replace_load"}}, {"not": {}})),
        _if_follows({"properties": {"mode": {"not": {"const": "replace"}}}}),
        _if_follows({"properties": {"mode": {"not": {"const": "replace_partition"}}}}, by="column"),
        _if_follows(_given("mode", mode={"not": {"const": "append"}}), lag=_GIVEN),
    ]
    parts["TargetSpec"]["allOf"] = [
        {"anyOf": [_given("location"), _given("connection", "table")]},
        _if_then({"mode": {"const": "merge"}}, _given("key")),
        _if_then({"latest_by": _GIVEN}, _given("mode", mode={"const": "merge"})),
        _if_then({"deletes": _GIVEN}, _given("mode", mode={"const": "merge"})),
        _if_then(
            {"on_reload": {"const": "replace_load"}},
            _given("load_columns", load_columns={"const": True}),
        ),
    ]
    parts["DeleteSpec"]["allOf"] = [
        _if_then({"how": {"const": "soft"}}, _given("column")),
        _if_then({"column": _GIVEN}, _given("how", how={"const": "soft"})),
    ]
    _describe_rule(parts["Rule"])
    rules = schema["properties"]["rules"]
    one = {"$ref": "#/$defs/Rule"}
    schema["properties"]["rules"] = {
        "anyOf": [one, {"type": "array", "items": one}],
        "description": rules["description"],
    }
    _describe_columns(parts["ColumnMapping"])
    return schema


def contract_schema() -> Schema:
    """Describe a mapping contract's file."""
    schema = _schema(MappingContract, title="A mapping contract")
    _describe_columns(schema["$defs"]["ColumnMapping"])
    return schema


class _Generator(GenerateJsonSchema):
    """Without the titles and defaults that pydantic makes up from Python's names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> Schema:
        return self.generate_inner(schema["schema"])


def _schema(model: type[BaseModel], *, title: str) -> Schema:
    schema = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    return {"$schema": DRAFT, **schema, "title": title}


def _with_tsv(schema: Schema) -> Schema:
    """Add the word that reading turns into csv with tabs."""
    if "enum" in schema:
        return schema | {"enum": [*schema["enum"], "tsv"]}
    return {
        key: [_with_tsv(part) for part in value] if key == "anyOf" else value
        for key, value in schema.items()
    }


def _given(*keys: str, **values: Schema) -> Schema:
    """Tell that keys stand there with something in them."""
    return {
        "required": list(keys),
        "properties": {key: values.get(key, _GIVEN) for key in keys},
    }


def _absent(*keys: str) -> Schema:
    """Tell that keys do not stand there, or hold nothing."""
    return {"properties": {key: {"enum": [None, {}]} for key in keys}}


def _if_then(properties: Schema, then: Schema) -> Schema:
    return {"if": {"required": list(properties), "properties": properties}, "then": then}


def _if_follows(target: Schema, **incremental: Any) -> Schema:
    """Tell what a target is like whose source is incremental in one of the following ways."""
    by = {"by": {"const": incremental.pop("by")} if "by" in incremental else _FOLLOWING}
    taken = {"required": [*by, *incremental], "properties": by | incremental}
    source = {"required": ["incremental"], "properties": {"incremental": taken}}
    return _if_then({"source": source}, {"properties": {"target": target}})


def _describe_incremental(incremental: Schema) -> None:
    incremental["required"] = ["by"]
    incremental["allOf"] = [
        _if_then({"by": {"not": {"enum": list(words)}}}, _absent(key))
        for key, words in BELONGS_TO.items()
    ]
    incremental["allOf"] += [
        _if_then({"by": {"not": {"const": "new_files"}}}, _given("column")),
        *[
            _if_then({"lag": {"type": of}}, {"properties": {"start": {"type": [of, "null"]}}})
            for of in ("integer", "string")
        ],
    ]


def _describe_rule(rule: Schema) -> None:
    subjects = ("column", "columns", "rows", "load")
    true = {"const": True}
    checks = [_given("not_null", not_null=true), _given("unique", unique=true)]
    checks += [_given(key) for key in ("in_set", "between", "matches", "length")]
    keys = [checks[1], _given("references")]
    others = [*checks[:1], *checks[2:], _given("max_null_share")]
    checks.append(keys[1])
    about_column = {"oneOf": [{"anyOf": checks}, _given("max_null_share")]}
    no_checks = {"not": {"anyOf": [*checks, _given("max_null_share")]}}
    key_checks = {"anyOf": keys, "not": {"anyOf": others}}
    rule["oneOf"] = [_given(subject) for subject in subjects]
    rule["allOf"] = [
        {"if": _given("column"), "then": about_column},
        {"if": _given("columns"), "then": key_checks},
        {"if": {"anyOf": [_given("rows"), _given("load")]}, "then": no_checks},
        {
            "if": {"anyOf": [_given("load"), _given("max_null_share")]},
            "then": {"properties": {"severity": {"enum": ["warn", "fail"]}}},
        },
    ]


def _describe_columns(column: Schema) -> None:
    column["properties"]["on_failure"] = {
        "enum": [*column["properties"]["on_failure"]["enum"], None],
        "description": column["properties"]["on_failure"]["description"],
    }
    column["anyOf"] = [_given("from"), _given("convert")]
    column["allOf"] = [
        _if_then({"on_failure": {"const": "default"}}, _given("default")),
        {
            "if": _given("default"),
            "then": _given("on_failure", on_failure={"const": "default"}),
        },
    ]
