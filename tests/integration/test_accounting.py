"""Rows are conserved: whole loads of dirty files against the slow reader, record by record."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from airflow_etl_provider.engines.quarantine import verify_quarantine
from airflow_etl_provider.exceptions import SourceFormatError, SpecificationError
from tests.integration.loading import Files, a_job
from tests.reference import slow_reader
from tests.reference.accounts import Account, Typed, account_of_text, csv_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect
    from tests.integration.loading import Job

PINNED = {"delimiter": ",", "quote": '"', "escape": "", "comment": "", "skip_rows": 0}

QUICK = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


cells = st.sampled_from(
    [b"", b"1", b"22", b"-7.50", b"ab", b"skip", "é".encode(), "北京".encode(), b"NULL", b" x ",
     b"#", b'5" pipe', b'""', b'"a"', b'"a,b"', b'"say ""hi"""', b'"l\nm"', b'"l\r\nm"', b'" y "',
     b'"\n"']
)  # fmt: skip
broken_cells = st.sampled_from(
    [b'"open', b'"a"b', b'x"y"', b'"', b'"a\n"b', b' "z"', b'"z" ', b"\xff", b"\xe9t", b"\xc3",
     b"\x00", b'"\x00"', b'"\xff\n"', b"\r", b"\xed\xa0\x80"]
)  # fmt: skip
ends = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r\n", b"\r"])


def lines(good: st.SearchStrategy[bytes], *, width: int) -> st.SearchStrategy[bytes]:
    """Mostly records of the right width; the rest is damage of every kind."""
    right = st.lists(good, min_size=width, max_size=width).map(b",".join)
    ragged = st.lists(good, min_size=1, max_size=width + 2).map(b",".join)
    damaged = st.lists(st.one_of(good, broken_cells), min_size=width, max_size=width).map(b",".join)
    other = st.sampled_from([b"", b"", b"  ", b"\t", b'"', b"," * width, b"," * (width - 1)])
    return st.one_of(right, right, right, right, ragged, damaged, other)


@st.composite
def bodies(draw: st.DrawFn, good: st.SearchStrategy[bytes], *, header: bytes) -> bytes:
    """One file: empty, only a header, or a header and dirty lines."""
    if draw(st.integers(0, 11)) == 0:
        return draw(st.sampled_from([b"", b"\n", b"\xef\xbb\xbf", header, header + b"\r\n"]))
    width = header.count(b",") + 1
    made = [header, *draw(st.lists(lines(good, width=width), max_size=14))]
    usual = draw(ends)
    mixed = draw(st.integers(0, 3)) == 0
    after = [draw(ends) if mixed else usual for _ in made]
    if draw(st.booleans()):
        after[-1] = b""
    data = b"".join(line + end for line, end in zip(made, after, strict=True))
    return draw(st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"])) + data


@st.composite
def some_files(
    draw: st.DrawFn, *, headers: tuple[bytes, ...], good: st.SearchStrategy[bytes] = cells
) -> Files:
    header = draw(st.sampled_from(headers))
    contents = draw(st.lists(bodies(good, header=header), min_size=1, max_size=3))
    packed = draw(st.lists(st.booleans(), min_size=len(contents), max_size=len(contents)))
    said = {"dialect": PINNED, "header_rows": 1, "encoding": "utf-8"}
    return Files(tuple(contents), tuple(packed), draw(st.sampled_from([said, said, {}])))


def assert_accounted(report: RunReport, account: Account, job: Job, pipeline: Pipeline) -> None:
    """The report says what the reference says, and the quarantine holds just what it says."""
    assert report.rows_read == account.read
    assert report.rows_loaded == len(account.loaded)
    assert report.rows_quarantined == len(account.rejected)
    assert report.rows_filtered == account.filtered
    assert report.accounted == report.rows_read
    assert report.reasons == account.reasons
    assert sum(one.rows_read for one in report.inputs) == report.rows_read
    if not account.rejected:
        assert report.quarantine is None
        return
    assert report.quarantine is not None
    assert verify_quarantine(report.quarantine).rows == len(account.rejected)
    dialects = {name: dialect for name, _, dialect in job.inputs(pipeline)}
    found = job.rejects(report)
    for reject, wanted in zip(found, account.rejected, strict=True):
        labels = {f"{r.code}:{r.column}" if r.column else r.code for r in reject.reasons}
        assert (reject.input, reject.record, labels) == (
            wanted.input, wanted.record, wanted.reasons
        )  # fmt: skip
        if wanted.raw is not None:
            assert reject.raw == wanted.raw
            assert reject.line in (None, wanted.line)
        else:
            assert reject.fields == wanted.fields
            assert reread(reject.raw, dialects[reject.input]) == wanted.fields


def reread(raw: bytes, dialect: ResolvedDialect) -> dict[str, str | None]:
    """The fields of a record that was written again."""
    (part,) = slow_reader.read(raw, replace(dialect, bom=0, skip_rows=0, header_rows=0))
    return dict(zip(dialect.columns, part.fields or (), strict=True))


def load_or_refuse(
    job: Job, pipeline: Pipeline, *, all_text: bool, judge: Callable[..., Account]
) -> tuple[RunReport, Account] | None:
    """Run a load, and work out what it should have done; None where both see nothing to load."""
    try:
        account = judge(job.inputs(pipeline))
    except (SourceFormatError, KeyError) as error:
        event(f"refused: {type(error).__name__}")
        with pytest.raises((SourceFormatError, SpecificationError)):
            job.run(pipeline, all_text=all_text)
        assert not job.csv.exists()
        return None
    report = job.run(pipeline, all_text=all_text)
    assert_accounted(report, account, job, pipeline)
    return report, account


HEADERS = (b"id,name,amount", b'"id","name",amount', b"id,name,ID", b"a,,a,a", b"x,y", b"only")


@QUICK
@given(some_files(headers=HEADERS))
@example(
    Files(
        (b'id,name,amount\r\n,5" pipe,\r\r\n',),
        (False,),
        {"dialect": PINNED, "header_rows": 1, "encoding": "utf-8"},
    )
)
def test_text_is_loaded_or_quarantined_as_the_slow_reader_says(files: Files) -> None:
    with a_job(files=files) as job:
        columns: tuple[str, ...] = ()

        def judge(files: list[tuple[str, bytes, ResolvedDialect]]) -> Account:
            nonlocal columns
            columns = files[0][2].columns
            return account_of_text(files, columns=columns)

        to_file = job.pipeline({"location": str(job.csv), "mode": "replace"}, source=files.source)
        done = load_or_refuse(job, to_file, all_text=True, judge=judge)
        if done is None:
            return
        _, account = done
        wanted = account.loaded
        if len(columns) == 1:
            wanted = [(value or "",) for (value,) in wanted]
        assert csv_rows(job.csv.read_bytes(), columns) == wanted
        to_table = job.pipeline(source=files.source)
        load_or_refuse(job, to_table, all_text=True, judge=judge)
        assert job.rows() == account.loaded


TYPED = {
    "contract": "orders",
    "status": "approved",
    "target": {"fields": {"id": "int64", "name": "string", "amount": "decimal(12,2)"}},
    "columns": {
        "id": {"from": "id", "convert": "cast"},
        "name": {"from": "name"},
        "amount": {"from": "amount", "convert": "parse_decimal"},
    },
}
RULES: list[dict[str, Any]] = [
    {"column": "amount", "between": [0, None]},
    {"column": "name", "length": [1, 6]},
]

typed_cells = st.one_of(
    st.sampled_from([b"1", b"2", b"3", b"40", b"5.25", b"skip", b"Ada", b""]), cells
)


@QUICK
@given(some_files(headers=(b"id,name,amount",), good=typed_cells), st.booleans())
def test_typed_rows_are_loaded_filtered_or_quarantined_as_the_reference_says(
    files: Files, unique: bool
) -> None:
    rules = [*RULES, {"column": "id", "unique": True}] if unique else RULES
    more = {"mapping": TYPED, "rules": rules, "filter": "name is distinct from 'skip'"}
    with a_job(files=files) as job:
        pipeline = job.pipeline(source=files.source, **more)
        done = load_or_refuse(job, pipeline, all_text=False, judge=Typed(unique=unique).account)
        if done is not None:
            assert job.rows() == done[1].loaded


def numbered(*numbers: int, name: str = "row") -> bytes:
    return b"id,name\n" + b"".join(b"%d,%s %d\n" % (n, name.encode(), n) for n in numbers)


def in_table(job: Job) -> int:
    return int(job.rows("SELECT count(*) FROM orders")[0][0])


def test_two_appends_of_different_files_report_what_each_added() -> None:
    with a_job(numbered(1, 2) + b"short\n", numbered(3, 4, 5)) as job:
        first = job.run(job.pipeline(files="part-0.csv"), run_id="first")
        assert (first.rows_read, first.rows_loaded, in_table(job)) == (3, 2, 2)
        second = job.run(job.pipeline(files="part-1.csv"), run_id="second")
        assert (second.rows_read, second.rows_loaded, in_table(job)) == (3, 3, 5)
        again = job.run(job.pipeline(files="part-1.csv"), run_id="third")
        assert (again.status, again.rows_loaded, in_table(job)) == ("already_loaded", 3, 5)


def test_a_replace_reports_just_the_rows_that_are_there_afterwards() -> None:
    with a_job(numbered(1, 2, 3), numbered(4) + b"short\n") as job:
        replace_ = {"connection": "warehouse", "table": "orders", "mode": "replace"}
        first = job.run(job.pipeline(replace_, files="part-0.csv"), run_id="first")
        assert first.rows_loaded == in_table(job) == 3
        second = job.run(job.pipeline(replace_, files="part-1.csv"), run_id="second")
        assert second.rows_loaded == in_table(job) == 1
        assert job.rows() == [("4", "row 4")]
        assert second.accounted == second.rows_read == 2


def test_a_merge_reports_rows_inserted_and_updated_together() -> None:
    with a_job(numbered(1, 2, 3), numbered(3, 4, 4, name="new") + b"short\n") as job:
        merge = {"connection": "warehouse", "table": "orders", "mode": "merge", "key": "id"}
        first = job.run(job.pipeline(merge, files="part-0.csv"), run_id="first")
        assert first.rows_loaded == in_table(job) == 3
        second = job.run(job.pipeline(merge, files="part-1.csv"), run_id="second")
        assert (second.rows_loaded, second.rows_quarantined, second.rows_read) == (2, 2, 4)
        assert job.rows("SELECT * FROM orders ORDER BY id") == [
            ("1", "row 1"),
            ("2", "row 2"),
            ("3", "new 3"),
            ("4", "new 4"),
        ]
