"""What every home of rejects promises, a folder and a bucket alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from airflow_etl_provider.contracts.reject import Reason, Reject
from airflow_etl_provider.engines.quarantine import (
    Owner,
    QuarantineWriter,
    list_quarantines,
    read_quarantine,
    sweep_orphans,
    sweep_other_attempts,
    verify_quarantine,
)
from airflow_etl_provider.engines.quarantine.place import open_place
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_etl_provider.contracts.connection import Connection

LATER = 10**11
"""Seconds since the epoch, long after every grace."""

LOAD = {"pipeline": "orders", "load_id": "a" * 32}


@dataclass(frozen=True)
class Kind:
    """A home, how to reach it, and another look at what is in it."""

    home: str
    connection: Connection | None
    names: Callable[[], list[str]]

    def writer(self, run_id: str = "run 1", **changed: Any) -> QuarantineWriter:
        values = LOAD | {"run_id": run_id, "owner": Owner("table t", 1)} | changed
        return QuarantineWriter(self.home, connection=self.connection, **values)

    def sealed(self, status: str | None = None, **changed: Any) -> str:
        writer = self.writer(**changed)
        writer.add([reject()])
        manifest = writer.seal()
        assert manifest is not None
        if status is not None:
            writer.mark(status)  # type: ignore[arg-type]
        return manifest.location

    def listed(self, home: str | None = None) -> list[str]:
        found = list_quarantines(home or self.home, connection=self.connection)
        return [manifest.location for manifest in found]

    def sweep(self, epoch: int, location: str | None = None) -> list[str]:
        return sweep_other_attempts(
            self.home,
            **LOAD,
            published_by=Owner("table t", epoch),
            location=location,
            connection=self.connection,
        )


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.s3)])
def kind(request, tmp_path):
    if request.param == "folder":
        home = tmp_path / "home"
        files = lambda: sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file())  # noqa: E731
        return Kind(str(home), None, files)
    server = request.getfixturevalue("s3_server")
    return Kind(server.url("lake/quarantine/"), server.connection(), server.keys)


def reject(number: int = 1, raw: bytes = b"1;x") -> Reject:
    reasons = (Reason("not_converted", "amount", "parse_decimal", "no decimal"),)
    return Reject("a.csv", number, raw, reasons, {"id": "1"}, number + 1)


def test_without_rejects_nothing_is_written(kind):
    writer = kind.writer()

    assert writer.seal() is None
    writer.mark("published")
    writer.discard()
    assert kind.names() == []


def test_what_was_sealed_is_read_and_verified(kind):
    writer = kind.writer()
    writer.add(reject(number) for number in range(1, 4))
    manifest = writer.seal()

    assert manifest is not None
    assert verify_quarantine(manifest.location, connection=kind.connection) == manifest
    found = list(read_quarantine(manifest.location, connection=kind.connection))
    assert found == [reject(1), reject(2), reject(3)]
    assert manifest.files[0].size > 0


def test_only_as_many_are_read_as_are_wanted(kind):
    location = kind.sealed()

    assert list(read_quarantine(location, limit=0, connection=kind.connection)) == []


def test_one_that_is_not_sealed_is_not_listed(kind):
    writer = kind.writer()
    writer.add([reject()])
    assert kind.listed() == []

    writer.seal()

    assert len(kind.listed()) == 1


def test_the_fate_is_marked_and_the_checksum_stays(kind):
    location = kind.sealed(status="not_published")

    found = verify_quarantine(location, connection=kind.connection)

    assert found.status == "not_published"


def test_discard_leaves_nothing_whatever_the_state(kind):
    writing = kind.writer()
    writing.add([reject()])
    writing.discard()
    writing.discard()
    sealed = kind.writer()
    sealed.add([reject()])
    sealed.seal()
    sealed.discard()

    assert kind.names() == []


def test_a_writer_that_is_forgotten_never_looks_complete(kind):
    writer = kind.writer()
    writer.add([reject()])
    writer._writer.abandon()
    del writer

    assert kind.listed() == []


def test_a_second_try_of_a_run_does_not_touch_what_the_first_left(kind):
    first, second = kind.sealed(), kind.sealed()

    assert first != second
    assert sorted(kind.listed()) == sorted([first, second])


def test_a_listing_may_start_at_any_depth(kind):
    location = kind.sealed()

    start = location
    for _ in range(3):
        assert kind.listed(start) == [location]
        start = start.rpartition("/")[0]


def test_a_place_of_nobody_says_so(kind):
    with pytest.raises(QuarantineError, match="is no quarantine"):
        list(read_quarantine(f"{kind.home.rstrip('/')}/a/b/c", connection=kind.connection))


def test_damage_is_noticed(kind):
    location = kind.sealed()
    place = open_place(location, connection=kind.connection)
    place.write("rejects.parquet", b"nothing")

    with pytest.raises(QuarantineError, match="checksum"):
        verify_quarantine(location, connection=kind.connection)
    with pytest.raises(QuarantineError, match="damaged"):
        list(read_quarantine(location, connection=kind.connection))


def test_a_load_sweeps_what_older_attempts_left_and_never_what_was_not_published(kind):
    died = kind.sealed(run_id="died")
    kept = kind.sealed(run_id="kept", status="not_published")
    newer = kind.sealed(run_id="newer", owner=Owner("table t", 9))
    other = kind.sealed(run_id="other", owner=Owner("table u", 1))
    mine = kind.sealed(run_id="mine", owner=Owner("table t", 2), status="published")

    assert kind.sweep(2, mine) == [died]
    assert sorted(kind.listed()) == sorted([kept, newer, other, mine])


def test_a_place_with_something_else_in_it_is_never_swept(kind):
    location = kind.sealed()
    open_place(location, connection=kind.connection).write("thesis.txt", b"ten years of work")

    assert kind.sweep(9) == []
    assert sweep_orphans(kind.home, [], now=LATER, connection=kind.connection) == []


def test_only_orphans_are_swept(kind):
    named = kind.sealed(run_id="named")
    orphan = kind.sealed(run_id="orphan")
    kept = kind.sealed(run_id="kept", status="not_published")

    young = sweep_orphans(kind.home, [named], connection=kind.connection)
    removed = sweep_orphans(kind.home, [named], now=LATER, connection=kind.connection)

    assert (young, removed) == ([], [orphan])
    assert sorted(kind.listed()) == sorted([named, kept])


def test_many_rejects_are_whole(kind):
    writer = kind.writer()
    raw = bytes(range(256)) * 40
    writer.add(reject(number, raw + number.to_bytes(4, "big")) for number in range(1, 3_001))
    manifest = writer.seal()

    assert manifest is not None
    verify_quarantine(manifest.location, connection=kind.connection)
    read = read_quarantine(manifest.location, connection=kind.connection)
    assert sum(1 for _ in read) == 3_000
