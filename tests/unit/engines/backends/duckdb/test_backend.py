"""The DuckDB backend over rows in memory: verdicts, one by one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from airflow_etl_provider.contracts.load import InputIdentity
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.backends.duckdb.backend import DuckDbBackend
from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
from airflow_etl_provider.engines.planner import build_plan
from airflow_etl_provider.engines.sources.base import Account
from airflow_etl_provider.exceptions import SpecificationError, TargetSchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.engines.backends.base import Verdicts

SOURCE = Schema((Field("id", parse_type("string")), Field("v", parse_type("string"))))


class Rows:
    """A scan over rows that are already here."""

    def __init__(self, name: str, rows: list[tuple[str | None, str | None]]) -> None:
        self.input = InputIdentity(name)
        self.rows = rows

    careful = True

    def relation(self, connection: Any) -> str:
        table = pa.table(
            {"id": [r[0] for r in self.rows], "v": [r[1] for r in self.rows]},
            schema=pa.schema([("id", pa.string()), ("v", pa.string())]),
        )
        connection.register(self.input.name, table)
        return f'"{self.input.name}"'

    def account(self, *, rows_seen: int) -> Account:
        return Account(len(self.rows), rows_seen, balanced=True, bytes_read=0)

    def rejects(self) -> Iterator[Reject]:
        return iter(())

    def record_numbers(self, rows: list[int]) -> list[int]:
        return [row + 1 for row in rows]

    def raw(self, fields: dict[str, str | None]) -> bytes:
        return json.dumps(fields).encode()

    def close(self) -> None:
        pass


def pipeline(columns: dict[str, Any], types: dict[str, str], **changes: Any) -> Pipeline:
    return Pipeline.model_validate(
        {
            "pipeline": "p",
            "source": {"location": "memory"},
            "target": {"connection": "c", "table": "t"} | changes.pop("target", {}),
            "mapping": {
                "contract": "p",
                "status": "approved",
                "target": {"fields": types},
                "columns": columns,
            },
        }
        | changes
    )


PLAIN: dict[str, Any] = {
    "id": {"from": "id", "convert": "cast"},
    "v": {"from": "v", "convert": "cast"},
}
TYPES = {"id": "int64", "v": "int64"}


def judge(
    given: Pipeline, *inputs: list[tuple[str | None, str | None]], target: Schema | None = None
) -> list[Verdicts]:
    plan = build_plan(given, given.mapping, source=SOURCE, target=target, window=None)  # type: ignore[arg-type]
    with ComputeSession(memory_limit=2**27) as session:
        backend = DuckDbBackend(plan, session=session)
        scans = [Rows(f"input_{n}", rows) for n, rows in enumerate(inputs)]
        if plan.unique_keys:
            backend.find_duplicates(scans)
        return [v for n, scan in enumerate(scans) for v in backend.judge(scan, number=n)]


def good(verdicts: list[Verdicts]) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for v in verdicts for row in v.good.to_pylist()]


def failed(verdicts: list[Verdicts]) -> list[tuple[int, tuple[int, ...]]]:
    return [(row.row, row.checks) for v in verdicts for row in v.failed]


def test_every_row_is_seen_and_ends_in_one_place() -> None:
    verdicts = judge(
        pipeline(PLAIN, TYPES, filter="v is distinct from 'skip'"),
        [("1", "2"), ("x", "y"), ("3", "skip"), ("4", None)],
    )
    assert sum(v.seen for v in verdicts) == 4
    assert good(verdicts) == [(1, 2), (4, None)]
    assert failed(verdicts) == [(1, (0, 1))]
    assert sum(v.filtered for v in verdicts) == 1


def test_a_failed_row_carries_its_source_record() -> None:
    (verdict,) = judge(pipeline(PLAIN, TYPES), [("x", 'quote " and \\ é')])
    assert json.loads(verdict.failed[0].record) == {"id": "x", "v": 'quote " and \\ é'}


def test_the_last_cast_is_strict_where_the_table_holds_less() -> None:
    table = Schema((Field("id", parse_type("int16")), Field("v", parse_type("int64"))))
    verdicts = judge(pipeline(PLAIN, TYPES), [("32767", "1"), ("32768", "2")], target=table)
    assert good(verdicts) == [(32767, 1)]
    assert len(failed(verdicts)) == 1


def test_text_that_the_table_can_not_hold_is_rejected_by_characters() -> None:
    types = {"id": "int64", "v": "string(3)"}
    columns = PLAIN | {"v": {"from": "v"}}
    verdicts = judge(pipeline(columns, types), [("1", "äöü"), ("2", "äöüß")])
    assert good(verdicts) == [(1, "äöü")]


def test_a_missing_value_where_the_table_allows_none_is_reported_once() -> None:
    table = Schema(
        (Field("id", parse_type("int64"), nullable=False), Field("v", parse_type("int64")))
    )
    verdicts = judge(pipeline(PLAIN, TYPES), [(None, "1"), ("x", "2")], target=table)
    assert [len(checks) for _, checks in failed(verdicts)] == [1, 1]


def test_duplicates_across_inputs_give_way_to_the_first_that_is_good() -> None:
    given = pipeline(PLAIN, TYPES, rules=[{"column": "id", "unique": True}])
    verdicts = judge(given, [("1", "bad"), ("1", "2"), (None, "3")], [("1", "4"), (None, "5")])
    assert good(verdicts) == [(1, 2), (None, 3), (None, 5)]


def test_the_newest_of_a_key_survives_and_ties_go_to_the_first() -> None:
    given = pipeline(PLAIN, TYPES, target={"mode": "merge", "key": "id", "latest_by": "v"})
    verdicts = judge(given, [("1", "5"), ("1", "9"), ("2", None), ("2", "1")], [("1", "9")])
    assert good(verdicts) == [(1, 9), (2, 1)]
    assert sum(v.deduplicated for v in verdicts) == 3


def test_an_sql_step_may_mean_null_and_rejects_only_what_fails() -> None:
    columns = PLAIN | {
        "id": {"from": "id", "convert": [{"sql": "nullif(id, '0')"}, "cast"]},
        "v": {"from": "v", "convert": {"sql": "case when v <> 'skip' then cast(v as int) + 1 end"}},
    }
    rows: list[tuple[str | None, str | None]] = [
        ("0", "1"),
        ("1", "skip"),
        ("2", "x"),
        (None, None),
    ]
    verdicts = judge(pipeline(columns, TYPES), rows)
    assert good(verdicts) == [(None, 2), (1, None), (None, None)]
    assert [row for row, _ in failed(verdicts)] == [2]


def test_a_later_sql_step_sees_the_value_and_fails_by_itself() -> None:
    columns = PLAIN | {
        "v": {"from": "v", "convert": ["trim", {"sql": "nullif(cast(value as int), 7)"}]}
    }
    verdicts = judge(pipeline(columns, TYPES), [("1", " 7 "), ("2", " 8"), ("3", "x"), ("4", None)])
    assert good(verdicts) == [(1, None), (2, 8), (4, None)]
    assert [row for row, _ in failed(verdicts)] == [2]


def test_many_batches_keep_their_order_and_positions() -> None:
    rows: list[tuple[str | None, str | None]] = [(str(n), "1") for n in range(200_000)]
    rows[150_000] = ("oops", "1")
    rows[199_999] = ("5", "1")
    given = pipeline(PLAIN, TYPES, rules=[{"column": "id", "unique": True}])
    verdicts = judge(given, rows)
    assert len(verdicts) > 1
    assert sorted(row for row, _ in failed(verdicts)) == [150_000, 199_999]
    assert [row[0] for row in good(verdicts)] == [n for n in range(199_999) if n != 150_000]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"filter": "nope = 1"}, "nope"),
        ({"filter": "v > 5"}, "text|compare"),
        ({"rules": [{"rows": "id + 1"}]}, "condition"),
        ({"rules": [{"load": "nope > 1"}]}, "nope"),
        ({"rules": [{"column": "v", "matches": "email"}]}, "types|text"),
        ({"rules": [{"column": "v", "between": ["a", "b"]}]}, "types|'a'|convert"),
    ],
)
def test_what_does_not_fit_is_told_before_a_row_is_read(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecificationError, match=words):
        judge(pipeline(PLAIN, TYPES, **changes), [])


def test_a_column_that_the_table_lacks_is_named() -> None:
    table = Schema((Field("id", parse_type("int64")), Field("value", parse_type("int64"))))
    with pytest.raises(TargetSchemaError, match="'v'"):
        judge(pipeline(PLAIN, TYPES), [], target=table)
