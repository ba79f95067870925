"""Every type, text and name comes back as it was."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.targets.base import Deletes
from tests.conformance.targets.cases import SCHEMA, a_load, every_kind, every_mode, parameters

if TYPE_CHECKING:
    from tests.conformance.targets.cases import Case


EXTREMES: dict[str, list[Any]] = {
    "bool": [True, False],
    "int16": [-32768, 32767],
    "int32": [-(2**31), 2**31 - 1],
    "int64": [-(2**63), 2**63 - 1],
    "float32": [-1.5, 3.4028234663852886e38],
    "float64": [5e-324, -1.7976931348623157e308],
    "decimal(38,10)": [Decimal("-9999999999999999999999999999.9999999999"), Decimal("1E-10")],
    "decimal(5,2)": [Decimal("999.99"), Decimal("0.00")],
    "string": ["", 'a "b", c\r\nd\te; \\N NULL '],
    "string(3)": ["ö€🙂", "x"],
    "binary": [b"", b"\x00\xff\x80"],
    "date": [date(1, 1, 1), date(9999, 12, 31)],
    "time": [time(0, 0), time(23, 59, 59, 999999)],
    "timestamp": [datetime.min, datetime.max],  # noqa: DTZ901
    "timestamptz": [
        datetime(1970, 1, 1, tzinfo=timezone.utc),
        datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=timezone.utc),
    ],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": ['{"a": [1, null, "x"]}', "[]"],
    "array<int64>": [[], [1, None, -(2**63)]],
}


@pytest.mark.parametrize("case", parameters(mode="replace", typed=True), indirect=True)
@pytest.mark.parametrize("written", EXTREMES)
def test_every_type_comes_back_with_its_extremes_and_null(case: Case, written: str) -> None:
    schema = Schema((Field("id", parse_type("int64")), Field("name", parse_type(written))))
    values = [*EXTREMES[written], None]
    case.load(a_load(), list(enumerate(values)), schema=schema)
    found = getattr(case.place, f"_{case.place.kind.name}")(("id", "name"), "orders")
    came_back = [value for _, value in sorted(found, key=lambda row: row[0])]
    if written == "float32":
        # A driver may give the shortest text of a small float as a large one.
        came_back = pa.array(came_back, pa.float32()).to_pylist()
    assert [_plain(v) for v in came_back] == [_plain(v) for v in values]


def _plain(value: Any) -> Any:
    """Values apart from the driver's choice of class for them."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, str) and value[:1] in ("{", "[") and value[-1:] in ("}", "]"):
        return json.loads(value)
    if isinstance(value, float | Decimal | bool | int | str | bytes | list | dict | type(None)):
        return value
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc) if value.tzinfo else value
    return str(value)


NAMES = [
    "select",
    "Mixed Case",
    "semi;colon -- comment",
    'quote " inside',
    "'); drop table orders; --",
    "back\\slash",
    "größe €",
    "日本語🙂",
    "{braces} %s :x ? $1",
    "new\nline",
    "comma, here",
    "a" * 63,
]


@every_mode
def test_any_text_may_be_a_column(case: Case) -> None:
    schema = Schema((*SCHEMA.fields, *(Field(name, parse_type("string")) for name in NAMES)))
    row = (1, "one", *(f"value {n}; '\"" for n in range(len(NAMES))))
    case.load(a_load(), [row], schema=schema)
    assert case.place.rows("id", "name", *NAMES) == [tuple(str(v) for v in row)]


@pytest.mark.parametrize("case", parameters(database=True), indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_any_text_may_be_a_table(case: Case, name: str) -> None:
    case.place.execute("create table orders (id bigint, name varchar)")
    case.place.execute("insert into orders values (7, 'stays')")
    case.place.table = name
    case.load(a_load(), [(1, "one")])
    assert case.place.rows(table=name) == [("1", "one")]
    assert case.place.rows() == [("7", "stays")]
    assert case.load(a_load(), [(1, "one")]) is None


@every_kind
def test_text_of_all_kinds_survives(case: Case) -> None:
    texts = ["=1+1", "'; drop table orders; --", "\u0000".strip("\0") + "x", " padded ", "a\u2028b",
             "e\u0301", "\ufeffbom", "{}", "#", "\\", "NULL", "\r", "🙂" * 100]  # fmt: skip
    case.load(a_load(), list(enumerate(texts)))
    found = dict(case.place.rows() or [])
    assert [found[str(n)] for n in range(len(texts))] == texts


@pytest.mark.parametrize("case", parameters(mode="merge"), indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_any_text_may_name_keys_versions_and_times_of_deletes(case: Case, name: str) -> None:
    deleted_at = name[::-1] if name[::-1] != name else "b" * 63
    schema = Schema((Field(name, parse_type("int64")), Field("name", parse_type("string"))))
    write = {"schema": schema, "key": (name,), "latest_by": name, "deletes": Deletes(deleted_at)}
    case.load(a_load("a" * 32), [(1, "one", False), (2, "two", False)], **write)
    case.load(a_load("b" * 32), [(1, "uno", False), (2, None, True)], **write)
    found = case.place.rows(name, "name", deleted_at) or []
    assert [(key, text, time is None) for key, text, time in found] == [
        ("1", "uno", True),
        ("2", "two", False),
    ]


@pytest.mark.parametrize("case", parameters(mode="replace_partition"), indirect=True)
def test_any_text_may_name_a_partition(case: Case) -> None:
    fields = [Field(name, parse_type("int64")) for name in NAMES]
    schema = Schema((*fields, Field("name", parse_type("string"))))
    write = {"schema": schema, "partition_by": tuple(NAMES)}
    one, two = (1,) * len(NAMES), (2,) * len(NAMES)
    case.load(a_load("a" * 32), [(*one, "old"), (*two, "old")], **write)
    case.load(a_load("b" * 32), [(*two, "new"), (*two, "new")], **write)
    texts = ("1",) * len(NAMES), ("2",) * len(NAMES)
    assert case.place.rows(*NAMES, "name") == [
        (*texts[0], "old"),
        (*texts[1], "new"),
        (*texts[1], "new"),
    ]
