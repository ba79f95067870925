"""Many small files, which are read together, and accounted for each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_etl_provider.engines.attempt import Attempt
from tests.integration.loading import Job

if TYPE_CHECKING:
    from pathlib import Path

HEAD = b"id,amount\n"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files each reading was of."""
    found: list[int] = []
    read = Attempt._read

    def note(self, number, unit, schema):
        found.append(len(unit))
        return read(self, number, unit, schema)

    monkeypatch.setattr(Attempt, "_read", note)
    return found


def write(job: Job, *contents: bytes) -> None:
    for number, data in enumerate(contents):
        (job.folder / f"part-{number:03}.csv").write_bytes(data)


def rows(first: int, count: int) -> bytes:
    return HEAD + b"".join(b"%d,%d.50\n" % (n, n) for n in range(first, first + count))


def books(report) -> list[tuple[int, int, int]]:
    return [(i.rows_read, i.rows_loaded, i.rows_quarantined) for i in report.inputs]


def test_small_files_are_read_together(job, units) -> None:
    write(job, *(rows(10 * n, 10) for n in range(20)))

    report = job.run()

    assert units == [20]
    assert books(report) == [(10, 10, 0)] * 20
    assert sorted(int(id) for (id,) in job.rows("SELECT id FROM orders")) == list(range(200))


def test_a_file_with_a_broken_record_is_read_alone(job, units) -> None:
    write(job, rows(0, 3), rows(10, 3), HEAD + b"20,1\nbroken\n21,2\n", rows(30, 3), rows(40, 3))

    report = job.run()

    assert units == [2, 1, 2]
    assert books(report) == [(3, 3, 0), (3, 3, 0), (3, 2, 1), (3, 3, 0), (3, 3, 0)]
    (reject,) = job.rejects(report)
    assert (reject.input.rpartition("/")[2], reject.record) == ("part-002.csv", 2)


def test_errors_that_make_up_for_each_other_are_found_by_the_reader(job, units) -> None:
    write(job, rows(0, 3), HEAD + b"10,1\n11\n12,3,4\n", rows(20, 3))

    report = job.run()

    assert units == [3, 1, 1, 1]
    assert books(report) == [(3, 3, 0), (3, 1, 2), (3, 3, 0)]
    assert [reject.raw for reject in job.rejects(report)] == [b"11", b"12,3,4"]


def test_rows_that_break_a_rule_keep_file_number_and_text(job, units) -> None:
    write(job, rows(0, 3), HEAD + b"10,1\n11,-5\n", HEAD + b"-7,1\n21,2\n")
    rules = [{"rows": "try_cast(id as integer) >= 0"}, {"rows": "amount not like '-%'"}]

    report = job.run(job.pipeline(rules=rules))

    assert units == [3]
    assert books(report) == [(3, 3, 0), (2, 1, 1), (2, 1, 1)]
    found = [(r.input.rpartition("/")[2], r.record, r.raw) for r in job.rejects(report)]
    assert found == [("part-001.csv", 2, b"11,-5"), ("part-002.csv", 1, b"-7,1")]


def test_every_row_is_known_to_be_of_its_file(job, units) -> None:
    files = [HEAD + b"".join(b"%d-%d,1\n" % (n, at) for at in range(300 + n)) for n in range(60)]
    write(job, *files)
    last = " or ".join(f"id = '{n}-{299 + n}'" for n in range(60))

    report = job.run(job.pipeline(rules=[{"rows": f"not ({last})"}]))

    assert units == [60]
    assert books(report) == [(300 + n, 299 + n, 1) for n in range(60)]
    found = [(r.input.rpartition("/")[2], r.record, r.raw) for r in job.rejects(report)]
    assert found == [(f"part-{n:03}.csv", 300 + n, b"%d-%d,1" % (n, 299 + n)) for n in range(60)]


def test_rows_that_are_filtered_count_for_their_file(job, units) -> None:
    write(job, rows(0, 3), rows(10, 3), rows(20, 3))

    report = job.run(job.pipeline(filter="id <> '11'"))

    assert units == [3]
    assert [i.rows_filtered for i in report.inputs] == [0, 1, 0]


def test_a_key_is_unique_over_all_files(job, units) -> None:
    write(job, rows(0, 3), rows(2, 3), rows(4, 3))

    report = job.run(job.pipeline(rules=[{"column": "id", "unique": True}]))

    assert units == [3]
    found = [(r.input.rpartition("/")[2], r.record) for r in job.rejects(report)]
    assert found == [("part-001.csv", 1), ("part-002.csv", 1)]
    assert sorted(int(id) for (id,) in job.rows("SELECT id FROM orders")) == list(range(7))


def test_files_that_are_written_otherwise_are_not_mixed(job, units) -> None:
    write(job, rows(0, 2), rows(10, 2), b"id;amount\n20;1\n", b"amount,id\n5,30\n", b"")

    report = job.run()

    assert units == [2, 1, 1, 1]
    assert books(report)[-1] == (0, 0, 0)
    assert job.rows("SELECT amount FROM orders WHERE id = '30'") == [("5",)]


def test_packed_files_are_read_together_too(tmp_path, job, units) -> None:
    import gzip

    for number in range(3):
        (tmp_path / f"part-{number}.csv.gz").write_bytes(gzip.compress(rows(10 * number, 4)))

    assert job.run().rows_loaded == 12
    assert units == [3]


def test_a_name_with_a_quote_is_only_a_name(tmp_path, job, units) -> None:
    (tmp_path / "part-it's.csv").write_bytes(rows(0, 2))
    (tmp_path / "part-x'); DROP TABLE y.csv").write_bytes(rows(10, 2))

    assert job.run().rows_loaded == 4
    assert units == [2]
