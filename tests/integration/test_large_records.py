"""Large fields, long files and wide tables: nothing lost, and damage stays where it is."""

from __future__ import annotations

import pytest

from airflow_etl_provider.engines.sources.delimited.dialect import MAX_RECORD_BYTES
from tests.integration.loading import Job, a_job

MIB = 2**20
HEADER = b"id,name,note\n"


def rows(start: int, stop: int) -> bytes:
    return b"".join(b"%d,name %d,x\n" % (number, number) for number in range(start, stop))


BEFORE, AFTER = HEADER + rows(0, 20_000), rows(20_001, 20_100)
"""Enough rows before the large one for the sniffer, and some after it."""


def notes(job: Job) -> dict[str, tuple[str, str]]:
    return {id_: (name, note) for id_, name, note in job.rows()}


@pytest.mark.parametrize("mib", [3, 8])
def test_a_field_above_the_longest_line_of_duckdb_is_loaded_whole(mib: int) -> None:
    large = "x" * mib * MIB
    with a_job(BEFORE + b"20000," + large.encode() + b",z\n" + AFTER + b"short\n") as job:
        report = job.run()
        assert (report.rows_read, report.rows_loaded) == (20_101, 20_100)
        assert notes(job)["20000"] == (large, "z")
        assert [(r.record, r.raw) for r in job.rejects(report)] == [(20_101, b"short")]


def test_a_quoted_field_of_8_mib_keeps_every_line_and_delimiter_in_it() -> None:
    large = ('a line, of "text"' * 10 + "\r\n\n") * (8 * MIB // 172)
    quoted = b'"' + large.replace('"', '""').encode() + b'"'
    with a_job(BEFORE + b"20000," + quoted + b",z\n" + AFTER) as job:
        report = job.run()
        assert report.rows_read == report.rows_loaded == 20_100
        assert notes(job)["20000"] == (large, "z")


def test_a_field_of_40_mib_is_rejected_and_costs_no_other_record() -> None:
    with a_job(BEFORE + b"20000," + b"x" * 40 * MIB + b",z\n" + AFTER) as job:
        report = job.run()
        assert report.reasons == {"too_long": 1}
        assert report.rows_loaded == len(job.rows()) == 20_099
        (reject,) = job.rejects(report)
        assert (reject.record, reject.line) == (20_001, 20_002)
        assert reject.raw == b"20000," + b"x" * (MAX_RECORD_BYTES - 6)


def test_a_quoted_field_of_40_mib_is_rejected_line_by_line_with_all_its_bytes() -> None:
    large = b'20000,"' + (b"x" * MIB + b"\n") * 40 + b'",z'
    with a_job(BEFORE + large + b"\n" + AFTER) as job:
        report = job.run()
        assert report.reasons == {"too_long": 1, "broken_quote": 40}
        assert report.rows_loaded == len(job.rows()) == 20_099
        rejects = job.rejects(report)
        assert b"\n".join(reject.raw for reject in rejects) == large
        assert [reject.record for reject in rejects] == list(range(20_001, 20_042))


@pytest.mark.parametrize("quoted", [False, True], ids=["nothing else quoted", "all names quoted"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_quote_left_open_in_a_file_of_30_mb_costs_its_own_line(
    quoted: bool, share: float
) -> None:
    name = b'"some name of %d"' if quoted else b"some name of %d"
    line = b"%d," + name + b",a note of such a length that the file has thirty megabytes in all, xx"
    made = [(line % (n, n)).replace(b"all, ", b"all ") for n in range(300_000)]
    at = int(300_000 * share)
    made[at] = b'%d,"some name,x' % at
    with a_job(HEADER + b"\n".join(made)) as job:
        report = job.run()
        assert (report.rows_read, report.rows_loaded) == (300_000, 299_999)
        (reject,) = job.rejects(report)
        assert (reject.record, reject.line, reject.raw) == (at + 1, at + 2, made[at])
        assert job.rows("SELECT count(DISTINCT id) FROM orders") == [(299_999,)]


@pytest.mark.parametrize("at", [0, 150_000, 299_999])
def test_one_bad_row_among_300000_is_the_only_one_that_is_missing(at: int) -> None:
    bad = b"%d,too,many,fields" % at
    with a_job(HEADER + rows(0, at) + bad + b"\n" + rows(at + 1, 300_000)) as job:
        report = job.run()
        assert (report.rows_read, report.rows_loaded) == (300_000, 299_999)
        assert [(r.record, r.raw) for r in job.rejects(report)] == [(at + 1, bad)]
        numbers = "SELECT count(*), sum(id::BIGINT) FROM orders"
        assert job.rows(numbers) == [(299_999, 300_000 * 299_999 // 2 - at)]


def test_a_table_of_3000_columns_is_loaded_within_the_default_memory() -> None:
    header = ",".join(f"column {number}" for number in range(3_000)).encode()
    row = b",".join(b"%d" % number for number in range(3_000))
    short, long = row.rpartition(b",")[0], row + b",one more"
    made = [header, *[row] * 20, short, long, b"1,2", row]
    with a_job(b"\n".join(made)) as job:
        report = job.run()
        assert (report.rows_read, report.rows_loaded) == (24, 21)
        assert job.rows() == [tuple(str(number) for number in range(3_000))] * 21
        assert [r.raw for r in job.rejects(report)] == [short, long, b"1,2"]
