"""Schemas of messages, from a registry that speaks Confluent's API."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.exceptions import SourceError, SpecificationError

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["avro_fields", "read_schema", "schema_id"]

_SECONDS = 10.0
_MOST_BYTES = 4 * 2**20
_PLAIN = {
    "boolean": LogicalType("bool"),
    "int": LogicalType("int32"),
    "long": LogicalType("int64"),
    "float": LogicalType("float32"),
    "double": LogicalType("float64"),
    "bytes": LogicalType("binary"),
    "fixed": LogicalType("binary"),
    "string": LogicalType("string"),
    "enum": LogicalType("string"),
}
_LOGICAL = {
    "date": LogicalType("date"),
    "time-millis": LogicalType("time"),
    "time-micros": LogicalType("time"),
    "timestamp-millis": LogicalType("timestamptz"),
    "timestamp-micros": LogicalType("timestamptz"),
    "local-timestamp-millis": LogicalType("timestamp"),
    "local-timestamp-micros": LogicalType("timestamp"),
    "uuid": LogicalType("uuid"),
}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuse to go elsewhere: the login would be sent along."""

    def redirect_request(self, *_args: Any, **_named: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def schema_id(message: bytes) -> int | None:
    """Give the id in front of a message: a zero byte, then four bytes; None where there is none."""
    return int.from_bytes(message[1:5], "big") if len(message) > 5 and message[0] == 0 else None


def read_schema(connection: Connection, number: int) -> dict[str, Any]:
    """Ask the registry that the connection names for an Avro schema.

    The extra of the connection names it as clients of Confluent's do: `schema.registry.url`, and
    `schema.registry.basic.auth.user.info` (`user:password`) where it asks who one is.

    :raises SpecificationError: the connection names no registry.
    :raises SourceError: it can't be reached, or has no such Avro schema.
    """
    url = str(connection.extra.get("schema.registry.url") or "")
    if urlsplit(url).scheme not in ("http", "https"):
        raise SpecificationError(
            f"Connection {connection.name!r} names no schema registry.",
            hint='Write {"schema.registry.url": "https://..."} into its extra.',
        )
    asked = urllib.request.Request(f"{url.rstrip('/')}/schemas/ids/{number:d}")  # noqa: S310
    login = connection.extra.get("schema.registry.basic.auth.user.info")
    if login:
        coded = base64.b64encode(str(login).encode()).decode("ascii")
        asked.add_header("Authorization", f"Basic {coded}")
    where = urlsplit(url).hostname
    try:
        with _OPENER.open(asked, timeout=_SECONDS) as answer:
            content = json.loads(answer.read(_MOST_BYTES))
        if content.get("schemaType", "AVRO") != "AVRO":
            raise SourceError(f"Schema {number} of the registry at {where} is not Avro.")
        schema = json.loads(content["schema"])
    except urllib.error.HTTPError as error:
        raise SourceError(
            f"The schema registry at {where} has no schema {number} for us ({error.code}).",
            hint="Check `schema.registry.url` and its login.",
        ) from error
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise SourceError(
            f"The schema registry at {where} can't be read ({type(error).__name__}).",
            hint="Check `schema.registry.url`.",
        ) from error
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise SourceError(f"Schema {number} of the registry at {where} is no record.")
    return schema


def avro_fields(schema: dict[str, Any]) -> Schema:
    """Give the fields of an Avro record; what may be null is nullable, what is nested is JSON."""
    fields = []
    for field in schema.get("fields", ()):
        of = field.get("type")
        kinds = of if isinstance(of, list) else [of]
        others = [kind for kind in kinds if kind != "null"]
        type = _type(others[0]) if len(others) == 1 else LogicalType("json")
        fields.append(Field(str(field["name"]), type, nullable="null" in kinds))
    return Schema(tuple(fields))


def _type(of: Any) -> LogicalType:
    if isinstance(of, str):
        return _PLAIN.get(of, LogicalType("json"))
    if not isinstance(of, dict):
        return LogicalType("json")
    logical = of.get("logicalType")
    if logical == "decimal":
        precision, scale = int(of.get("precision", 38)), int(of.get("scale", 0))
        if 1 <= precision <= 38 and 0 <= scale <= precision:
            return LogicalType("decimal", precision=precision, scale=scale)
        return LogicalType("string")
    return _LOGICAL.get(str(logical)) or _PLAIN.get(str(of.get("type")), LogicalType("json"))
