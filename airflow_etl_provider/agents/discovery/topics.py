"""Profile a topic: how keys and values are written, and what the fields of the newest ones are."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from airflow_etl_provider.contracts.profile import DatasetProfile, FieldProfile
from airflow_etl_provider.contracts.source_spec import SourceSpec
from airflow_etl_provider.engines.sources.schema_registry import (
    avro_fields,
    read_schema,
    schema_id,
)
from airflow_etl_provider.exceptions import EtlError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.engines.sources.topics import TopicLook, TopicReader

__all__ = ["TopicPlace", "profile_topic"]

Written = Literal["json", "avro", "text", "binary", "none"]

_ENOUGH = 0.98
"""The share of messages that must be of a format; the others are told in a note."""


@dataclass(frozen=True, slots=True)
class TopicPlace:
    """A topic of a connection."""

    connection: str
    topic: str


def profile_topic(
    reader: TopicReader, connection: Connection, topic: str, *, name: str, sample: int
) -> DatasetProfile:
    """Profile the newest messages of a topic, about `sample` of them.

    :raises SourceNotFoundError: there is no such topic.
    :raises SourceError: the cluster can't be reached.
    """
    look = reader.look(topic, most=sample)
    values = [value for _, value in look.messages if value is not None]
    written, share = _format_of(values)
    keys, _ = _format_of([key for key, _ in look.messages if key is not None])
    notes = []
    if written != "none" and share < 1:
        notes.append(f"{1 - share:.1%} of the messages are not {written}.")
    empty = len(look.messages) - len(values)
    if empty:
        notes.append(f"{empty:,} of {len(look.messages):,} messages have no value (tombstones).")
    found = _profile_values(connection, values, written, name=name, notes=notes)
    looked_at = len(look.messages)
    return replace(
        found,
        name=name,
        location=topic,
        connection=connection.name,
        format=written,
        kind="topic",
        rows=look.size,
        # Offsets, of which some have no message.
        counted=False,
        inputs=len(look.offsets),
        looked_at=min(found.looked_at or looked_at, look.size),
        margin=0.0 if looked_at >= look.size else 0.98 / math.sqrt(max(looked_at, 1)),
        dialect=_dialect(look, written, keys),
        notes=(*found.notes, *notes),
    )


def _dialect(look: TopicLook, written: Written, keys: Written) -> dict[str, object]:
    return {
        "key_format": keys,
        "value_format": written,
        "partitions": len(look.offsets),
        "offsets": {str(number): list(ends) for number, ends in look.offsets.items()},
    }


def _format_of(messages: Sequence[bytes]) -> tuple[Written, float]:
    """Tell how messages are written, and how many of them are."""
    if not messages:
        return "none", 1.0
    seen = Counter(_kind(message) for message in messages)
    kind, count = seen.most_common(1)[0]
    if kind == "json" or count < _ENOUGH * len(messages):
        objects = seen["json"]
        if objects >= _ENOUGH * len(messages):
            return "json", objects / len(messages)
        if seen["json"] + seen["text"] >= _ENOUGH * len(messages):
            return "text", (seen["json"] + seen["text"]) / len(messages)
    return kind, count / len(messages)


def _kind(message: bytes) -> Written:
    if schema_id(message) is not None:
        return "avro"
    try:
        text = message.decode("utf-8")
    except UnicodeDecodeError:
        return "binary"
    if "\0" in text:
        return "binary"
    if text.lstrip()[:1] == "{":
        try:
            if isinstance(json.loads(text), dict):
                return "json"
        except (ValueError, RecursionError):
            return "text"
    return "text"


def _profile_values(
    connection: Connection,
    values: Sequence[bytes],
    written: Written,
    *,
    name: str,
    notes: list[str],
) -> DatasetProfile:
    if written == "json":
        return _profile_lines(values, name)
    if written == "text":
        texts = [json.dumps({"value": value.decode("utf-8", "replace")}) for value in values]
        return _profile_lines([text.encode() for text in texts], name)
    if written == "avro":
        return _profile_avro(connection, values, name, notes)
    return DatasetProfile(name, "", written, rows=0, fields=())


def _profile_lines(values: Sequence[bytes], name: str) -> DatasetProfile:
    """Profile JSON objects as the lines of a file, which is what they would be loaded as."""
    from airflow_etl_provider.agents.discovery.discover import profile_dataset

    with tempfile.TemporaryDirectory(prefix="airflow-etl-") as folder:
        path = Path(folder) / "messages.jsonl"
        with path.open("wb") as file:
            for value in values:
                # A line break may stand between two keys, and nowhere else.
                file.write(value.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")
        spec = SourceSpec(location=str(path), format="jsonl")
        return profile_dataset(spec, connections=_no_connection, name=name, sample=len(values))


def _no_connection(name: str) -> Connection:
    raise AssertionError(f"nobody asked for {name}")


def _profile_avro(
    connection: Connection, values: Sequence[bytes], name: str, notes: list[str]
) -> DatasetProfile:
    """Tell the fields of the newest schema; the values are not decoded."""
    numbers = Counter(number for value in values if (number := schema_id(value)) is not None)
    newest = max(numbers)
    if len(numbers) > 1:
        notes.append(f"{len(numbers)} schemas are in use; these are the fields of {newest}.")
    fields: tuple[FieldProfile, ...] = ()
    try:
        fields = tuple(
            FieldProfile(field.name, field.type, field.type, field.nullable, 0.0, 0)
            for field in avro_fields(read_schema(connection, newest))
        )
        notes.append("The fields are those of the schema; values were not looked at.")
    except EtlError as error:
        notes.append(f"Its fields are not known: {error}")
    return DatasetProfile(name, "", "avro", rows=0, fields=fields)
