from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from airflow_etl_provider.engines.quarantine.place import safe_name
from airflow_etl_provider.engines.quarantine.writer import quarantine_schema
from airflow_etl_provider.exceptions import NotSupportedYetError, QuarantineError


def writer(home: Path, *, run_id: str = "run 1", **changed: Any) -> QuarantineWriter:
    values = {"pipeline": "orders", "load_id": "a" * 32, "run_id": run_id}
    return QuarantineWriter(home, **(values | changed))


def reject(number: int = 1, **changed: Any) -> Reject:
    values = {
        "input": "a.csv",
        "record": number,
        "raw": b"1;x",
        "reasons": (Reason("not_converted", "amount", "parse_decimal", "no decimal"),),
        "fields": {"id": "1", "amount": None},
        "line": number + 1,
    }
    return Reject(**(values | changed))


def sealed(home: Path, *rejects: Reject, **changed: Any) -> str:
    quarantine = writer(home, **changed)
    quarantine.add(rejects or [reject()])
    manifest = quarantine.seal()
    assert manifest is not None
    return manifest.location


# --- writing and reading -----------------------------------------------------------------------


def test_without_rejects_nothing_is_written(tmp_path: Path) -> None:
    quarantine = writer(tmp_path / "home")
    quarantine.add([])
    assert quarantine.seal() is None
    quarantine.mark("published")
    quarantine.discard()
    assert not (tmp_path / "home").exists()


values = st.none() | st.text(alphabet=st.characters(codec="utf-8"))
rejects = st.builds(
    Reject,
    input=st.text(alphabet=st.characters(codec="utf-8")),
    record=st.integers(1, 2**62),
    raw=st.binary(),
    reasons=st.lists(
        st.builds(
            Reason,
            code=st.sampled_from(["bad_encoding", "not_json", "rule:unique"]),
            column=values,
            step=values,
            message=st.text(alphabet=st.characters(codec="utf-8")),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    fields=st.none() | st.dictionaries(st.text(alphabet=st.characters(codec="utf-8")), values),
    line=st.none() | st.integers(1, 2**62),
)


@given(given_rejects=st.lists(rejects, min_size=1, max_size=8))
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, given_rejects: list[Reject]
) -> None:
    home = tmp_path_factory.mktemp("home")
    location = sealed(home, *given_rejects)
    assert list(read_quarantine(location)) == given_rejects
    manifest = verify_quarantine(location)
    assert manifest.rows == len(given_rejects)
    assert manifest.codes == {
        code: sum(any(r.code == code for r in x.reasons) for x in given_rejects)
        for code in {r.code for x in given_rejects for r in x.reasons}
    }


def test_a_record_with_two_reasons_counts_once_under_each_code(tmp_path: Path) -> None:
    quarantine = writer(tmp_path)
    both = (Reason("a"), Reason("b"), Reason("a"))
    quarantine.add([reject(1, reasons=both), reject(2, reasons=(Reason("a"),))])
    manifest = quarantine.seal()
    assert manifest is not None
    assert (manifest.rows, manifest.codes) == (2, {"a": 2, "b": 1})


def test_columns_can_be_written_without_python_objects(tmp_path: Path) -> None:
    rows = [
        {
            "input": "a.csv",
            "record": n,
            "line": None,
            "raw": b"x",
            "fields": None,
            "reasons": [{"code": c, "column": None, "step": None, "message": ""} for c in codes],
        }
        for n, codes in enumerate([["a"], ["a", "a", "b"], ["b"], ["c"]])
    ]
    schema = pa.schema(list(quarantine_schema())[2:])
    quarantine = writer(tmp_path)
    quarantine.add_batch(pa.RecordBatch.from_pylist(rows, schema=schema).slice(1))
    quarantine.add([reject(9, reasons=(Reason("c"),))])
    manifest = quarantine.seal()
    assert manifest is not None
    assert manifest.codes == {"a": 1, "b": 2, "c": 2}
    assert [r.record for r in read_quarantine(manifest.location)] == [1, 2, 3, 9]


def test_the_file_is_plain_parquet_that_names_the_run(tmp_path: Path) -> None:
    location = Path(sealed(tmp_path))
    table = pq.read_table(location / "rejects.parquet")
    assert table.schema.names == quarantine_schema().names
    assert table.column("run_id").to_pylist() == ["run 1"]
    assert table.column("load_id").to_pylist() == ["a" * 32]


def test_only_as_many_are_read_as_are_wanted(tmp_path: Path) -> None:
    location = sealed(tmp_path, *(reject(n) for n in range(2500)))
    assert [r.record for r in read_quarantine(location, limit=3)] == [0, 1, 2]
    assert list(read_quarantine(location, limit=0)) == []
    assert sum(1 for _ in read_quarantine(location)) == 2500


def test_names_that_utf8_can_not_hold_are_escaped(tmp_path: Path) -> None:
    location = sealed(tmp_path, reject(input="b\udcffd.csv", fields={"x": "\ud800"}))
    (found,) = read_quarantine(location)
    assert found.input == "b\\udcffd.csv"
    assert found.fields == {"x": "\ud800"}


# --- place and rights --------------------------------------------------------------------------


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    location = Path(sealed(home))
    for folder in (home, location.parent, location.parent.parent, location):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in location.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["../../x", "/etc", "..", ".", "", "a/b", "a\0b", "é" * 300, "-x"])
def test_no_name_leads_out_of_the_home(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    location = Path(sealed(home, pipeline=name, load_id=name, run_id=name)).resolve()
    assert len(location.relative_to(home.resolve()).parts) == 3
    (found,) = list_quarantines(home)
    assert (found.pipeline, found.run_id) == (name, name)


@given(st.lists(st.text(), unique=True, min_size=2, max_size=5))
def test_different_names_stay_different(names: list[str]) -> None:
    assert len({safe_name(name) for name in names}) == len(names)


def test_a_second_try_of_a_run_does_not_touch_what_the_first_left(tmp_path: Path) -> None:
    first = sealed(tmp_path, reject(1))
    second = sealed(tmp_path, reject(2))
    assert first != second
    assert [r.record for r in read_quarantine(first)] == [1]
    assert [r.record for r in read_quarantine(second)] == [2]


def test_another_store_is_not_supported_yet() -> None:
    with pytest.raises(NotSupportedYetError, match="gs://"):
        writer("gs://bucket/q")  # type: ignore[arg-type]


# --- fate --------------------------------------------------------------------------------------


def test_the_checksum_stays_when_the_fate_is_marked(tmp_path: Path) -> None:
    quarantine = writer(tmp_path)
    quarantine.add([reject()])
    manifest = quarantine.seal()
    assert manifest is not None
    quarantine.mark("published")
    after = verify_quarantine(manifest.location)
    assert (after.status, after.checksum) == ("published", manifest.checksum)


def test_discard_leaves_nothing_whatever_the_state(tmp_path: Path) -> None:
    home = tmp_path / "home"
    open_one = writer(home)
    open_one.add([reject()])
    open_one.discard()
    open_one.discard()
    sealed_one = writer(home)
    sealed_one.add([reject()])
    sealed_one.seal()
    sealed_one.discard()
    assert not home.exists()


def test_discard_keeps_what_other_runs_left(tmp_path: Path) -> None:
    kept = sealed(tmp_path, run_id="run 0")
    quarantine = writer(tmp_path)
    quarantine.add([reject()])
    quarantine.discard()
    assert [q.location for q in list_quarantines(tmp_path)] == [kept]


def test_one_that_is_not_sealed_is_not_listed(tmp_path: Path) -> None:
    quarantine = writer(tmp_path)
    quarantine.add([reject()])
    assert list_quarantines(tmp_path) == []
    quarantine.seal()
    assert len(list_quarantines(tmp_path)) == 1


def test_a_listing_may_start_at_any_depth(tmp_path: Path) -> None:
    location = Path(sealed(tmp_path))
    for start in (tmp_path, location.parent.parent, location.parent, location):
        assert [q.location for q in list_quarantines(start)] == [str(location)]


def test_damage_is_noticed(tmp_path: Path) -> None:
    location = Path(sealed(tmp_path))
    file = location / "rejects.parquet"
    data = bytearray(file.read_bytes())
    data[10] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(QuarantineError, match="checksum"):
        verify_quarantine(location)
    file.write_bytes(b"nothing")
    with pytest.raises(QuarantineError, match="damaged"):
        list(read_quarantine(location))
    (location / "manifest.json").write_text('{"rows": 1}')
    with pytest.raises(QuarantineError, match="no manifest"):
        list(read_quarantine(location))
    with pytest.raises(QuarantineError, match="no quarantine"):
        list(read_quarantine(tmp_path))


def test_a_manifest_can_not_name_files_elsewhere(tmp_path: Path) -> None:
    secret = Path(sealed(tmp_path / "other"))
    location = Path(sealed(tmp_path / "home"))
    manifest = json.loads((location / "manifest.json").read_text())
    manifest["files"][0]["name"] = str(secret / "else.parquet")
    (location / "manifest.json").write_text(json.dumps(manifest))
    (secret / "rejects.parquet").rename(secret / "else.parquet")
    with pytest.raises(QuarantineError):
        list(read_quarantine(location))


# --- what can't be written ---------------------------------------------------------------------


def test_a_home_that_can_not_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, no folder")
    quarantine = writer(tmp_path / "home")
    with pytest.raises(QuarantineError, match=r"home.*Nothing was published.*set `quarantine`"):
        quarantine.add([reject()])
    with pytest.raises(QuarantineError):
        quarantine.seal()
    with pytest.raises(QuarantineError):
        quarantine.add([reject()])
    quarantine.discard()


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    code = """
        import os, resource, sys
        from pathlib import Path
        from airflow_etl_provider.contracts.reject import Reason, Reject
        from airflow_etl_provider.engines.quarantine import QuarantineWriter
        from airflow_etl_provider.exceptions import QuarantineError
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        quarantine = QuarantineWriter(sys.argv[1], pipeline="p", load_id="l", run_id="r")
        made = (Reject("a", n, os.urandom(1000), (Reason("x"),)) for n in range(20_000))
        try:
            quarantine.add(made)
            quarantine.seal()
        except QuarantineError as error:
            print(error)
            try:
                quarantine.seal()
            except QuarantineError:
                print("still failed")
        quarantine.discard()
    """
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(home)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout
    assert str(home) in done.stdout
    assert "still failed" in done.stdout
    assert not home.exists()


# --- sweeping ----------------------------------------------------------------------------------

LATER = 10**10
"""Seconds since the epoch, long after every grace."""


def test_only_orphans_are_swept(tmp_path: Path) -> None:
    named = sealed(tmp_path, run_id="named")
    orphan = sealed(tmp_path, run_id="orphan")
    kept = writer(tmp_path, run_id="kept")
    kept.add([reject()])
    manifest = kept.seal()
    assert manifest is not None
    kept.mark("not_published")
    died = writer(tmp_path, run_id="died")
    died.add([reject()])
    died._writer.abandon()
    died._file.file.close()
    lives = writer(tmp_path, run_id="lives")
    lives.add([reject()])
    removed = sweep_orphans(tmp_path, [named], now=LATER)
    assert sorted(Path(r).name for r in removed) == [safe_name("died"), Path(orphan).name]
    assert {q.location for q in list_quarantines(tmp_path)} == {named, manifest.location}
    assert lives.seal() is not None


def test_young_ones_are_not_swept(tmp_path: Path) -> None:
    location = sealed(tmp_path)
    assert sweep_orphans(tmp_path, []) == []
    old = 1_000_000
    for path in (*Path(location).iterdir(), Path(location)):
        os.utime(path, (old, old))
    assert sweep_orphans(tmp_path, []) == [location]


def test_other_pipelines_are_left_alone_when_one_is_swept(tmp_path: Path) -> None:
    mine = sealed(tmp_path, pipeline="mine")
    theirs = sealed(tmp_path, pipeline="theirs")
    assert sweep_orphans(tmp_path, [], pipeline="mine", now=LATER) == [mine]
    assert [q.location for q in list_quarantines(tmp_path)] == [theirs]


def test_folders_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "a" / "b" / "c"
    other.mkdir(parents=True)
    (other / "thesis.txt").write_text("ten years of work")
    assert sweep_orphans(tmp_path, [], now=LATER) == []
    assert (other / "thesis.txt").exists()


def test_a_link_is_not_followed_out_of_the_home(tmp_path: Path) -> None:
    elsewhere = Path(sealed(tmp_path / "elsewhere"))
    home = tmp_path / "home" / "a" / "b"
    home.mkdir(parents=True)
    (home / "link").symlink_to(elsewhere)
    assert sweep_orphans(tmp_path / "home", [], now=LATER) == []
    assert elsewhere.exists()


# --- sweeping after a load ---------------------------------------------------------------------


def attempt(home: Path, epoch: int, status: str = "sealed", **changed: Any) -> Path:
    owner = Owner(changed.pop("target", "table t"), epoch)
    quarantine = writer(home, run_id=f"{status} {epoch}", owner=owner, **changed)
    quarantine.add([reject()])
    manifest = quarantine.seal()
    assert manifest is not None
    assert manifest.epoch == epoch
    if status != "sealed":
        quarantine.mark(status)
    return Path(manifest.location)


def sweep(home: Path, epoch: int, location: str | Path | None = None, **changed: Any) -> set[Path]:
    removed = sweep_other_attempts(
        home,
        **({"pipeline": "orders", "load_id": "a" * 32} | changed),
        published_by=Owner("table t", epoch),
        location=None if location is None else str(location),
    )
    return {Path(name) for name in removed}


def test_a_load_sweeps_what_older_attempts_left_and_never_what_was_not_published(
    tmp_path: Path,
) -> None:
    older = {attempt(tmp_path, 1), attempt(tmp_path, 2, "published"), attempt(tmp_path, 3)}
    attempt(tmp_path, 2, "not_published")
    attempt(tmp_path, 3, "published")
    attempt(tmp_path, 4)
    assert sweep(tmp_path, 3) == older
    assert sweep(tmp_path, 3) == set()


def test_a_load_leaves_other_loads_pipelines_and_targets_alone(tmp_path: Path) -> None:
    attempt(tmp_path, 1, load_id="b" * 32)
    attempt(tmp_path, 1, pipeline="refunds")
    attempt(tmp_path, 1, target="table u")
    attempt(tmp_path / "other home", 1)
    assert sweep(tmp_path, 9) == set()


def test_what_the_ledger_names_stays_under_whatever_name_its_home_goes(tmp_path: Path) -> None:
    named = attempt(tmp_path / "home", 1)
    (tmp_path / "link").symlink_to("home")
    assert sweep(tmp_path / "link", 2, named) == set()
    assert sweep(tmp_path / "link", 2) == {tmp_path / "link" / named.relative_to(tmp_path / "home")}


def test_a_folder_that_does_not_tell_whose_it_is_is_left_to_the_other_sweep(
    tmp_path: Path,
) -> None:
    (attempt(tmp_path, 1) / "owner.json").unlink()
    (attempt(tmp_path, 2) / "owner.json").write_text("{")
    (attempt(tmp_path, 3) / "manifest.json").write_text("{")
    (attempt(tmp_path, 4) / "thesis.txt").write_text("ten years of work")
    assert sweep(tmp_path, 9) == set()
    assert len(list(tmp_path.glob("*/*/*"))) == 4


def test_a_sweep_where_nothing_was_ever_rejected_finds_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "nowhere", 1) == set()


def test_a_folder_of_a_load_may_vanish_while_another_attempt_makes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantine = writer(tmp_path)
    make = Path.mkdir
    vanished = []

    def vanish(path: Path, *args: Any, **options: Any) -> None:
        if path.name == safe_name("run 1") and not vanished:
            vanished.append(path)
            path.parent.rmdir()
        make(path, *args, **options)

    monkeypatch.setattr(Path, "mkdir", vanish)
    quarantine.add([reject()])
    assert vanished
    assert quarantine.seal() is not None
