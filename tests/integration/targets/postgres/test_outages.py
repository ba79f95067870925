"""The server goes away in the middle of a load, or its disk is full: nothing is half done."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pyarrow as pa
import pytest

from airflow_etl_provider.engines.targets.base import WriteSpec
from airflow_etl_provider.exceptions import TargetUnavailableError
from tests.conftest import running_cluster
from tests.integration.targets.postgres.conftest import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.engines.targets.postgres.session import PostgresSession
    from tests.conftest import PostgresCluster

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

MODES = pytest.mark.parametrize("mode", ["append", "replace", "replace_partition", "merge"])
ARROW = pa.schema([("id", pa.int64()), ("v", pa.string())])


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    """A server that others do not use, for it is stopped."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def fragile(cluster: PostgresCluster) -> Warehouse:
    """A database with one row in its table."""
    found = Warehouse(cluster.uri("postgres"))
    found.sql("DROP TABLE IF EXISTS t, _etl_loads")
    found.sql("CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t VALUES (-1, 'old')")
    return found


def begin(warehouse: Warehouse, mode: str, load_id: str = "a" * 32) -> PostgresSession:
    target = warehouse.target("t")
    return target.begin(
        load=warehouse.load_id(load_id),
        schema=warehouse.fields(id="int64 not null", v="string"),
        write=WriteSpec(mode, key=("id",), partition_by=("id",)),
    )


def batches(then: Any = None, *, rows: int = 200_000) -> pa.RecordBatchReader:
    """Two halves; `then` is called between them."""

    def generate() -> Iterator[pa.RecordBatch]:
        for start in (0, rows // 2):
            if start and then is not None:
                then()
            ids = pa.array(range(start, start + rows // 2), pa.int64())
            yield pa.record_batch([ids, pa.array(["new"] * len(ids))], schema=ARROW)

    return pa.RecordBatchReader.from_batches(ARROW, generate())


def load(warehouse: Warehouse, mode: str) -> None:
    with begin(warehouse, mode) as session:
        session.publish(warehouse.publication(session.write(batches(rows=1_000))))


def check_a_clean_rerun(warehouse: Warehouse, mode: str) -> None:
    """The table holds what it held; the same load then does all of its work, once."""
    assert warehouse.sql("SELECT id, v FROM t") == [(-1, "old")]
    assert warehouse.target("t").ledger() == []
    load(warehouse, mode)
    kept = 0 if mode == "replace" else 1
    assert warehouse.sql("SELECT count(*) FROM t") == [(1_000 + kept,)]
    assert len(warehouse.target("t").ledger()) == 1
    assert warehouse.sql(
        "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_etl\\_staging%'"
    ) == [(0,)]


@MODES
def test_a_server_that_crashes_while_rows_are_written(
    cluster: PostgresCluster, fragile: Warehouse, mode: str
) -> None:
    def crash() -> None:
        cluster.stop()
        cluster.start()

    with begin(fragile, mode) as session, pytest.raises(TargetUnavailableError):
        session.write(batches(crash))
    check_a_clean_rerun(fragile, mode)


@MODES
def test_a_server_that_is_away_at_the_publish(
    cluster: PostgresCluster, fragile: Warehouse, mode: str
) -> None:
    with begin(fragile, mode) as session:
        rows = session.write(batches(rows=1_000))
        cluster.stop()
        try:
            with pytest.raises(TargetUnavailableError):
                session.publish(fragile.publication(rows))
        finally:
            cluster.start()
    check_a_clean_rerun(fragile, mode)


@pytest.mark.parametrize("came_through", [True, False])
def test_a_server_that_crashes_at_the_commit_is_asked_whether_it_took_place(
    cluster: PostgresCluster, fragile: Warehouse, monkeypatch: Any, came_through: bool
) -> None:
    fragile.sql("ALTER DATABASE postgres SET synchronous_commit = on")
    with begin(fragile, "append") as session:
        rows = session.write(batches(rows=1_000))
        commit = session._client.commit

        def crash() -> None:
            if came_through:
                commit()
            cluster.stop()
            cluster.start()
            if came_through:
                raise TargetUnavailableError("the answer to the commit was lost")
            commit()

        monkeypatch.setattr(session._client, "commit", crash)
        if came_through:
            assert session.publish(fragile.publication(rows)).rows_loaded == 1_000
        else:
            with pytest.raises(TargetUnavailableError):
                session.publish(fragile.publication(rows))
    assert len(fragile.target("t").ledger()) == int(came_through)
    assert fragile.sql("SELECT count(*) FROM t") == [(1_001 if came_through else 1,)]


def test_a_server_that_stays_away_after_the_commit_leaves_it_to_the_ledger(
    cluster: PostgresCluster, fragile: Warehouse, monkeypatch: Any
) -> None:
    fragile.sql("ALTER DATABASE postgres SET synchronous_commit = on")
    with begin(fragile, "append") as session:
        rows = session.write(batches(rows=1_000))
        commit = session._client.commit

        def crash() -> None:
            commit()
            cluster.stop()
            raise TargetUnavailableError("the answer to the commit was lost")

        monkeypatch.setattr(session._client, "commit", crash)
        try:
            with pytest.raises(TargetUnavailableError):
                session.publish(fragile.publication(rows))
        finally:
            cluster.start()
    with begin(fragile, "append") as session:
        assert session.already_loaded is not None
    assert fragile.sql("SELECT count(*) FROM t") == [(1_001,)]


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "tiny"
    place.mkdir()
    for folder in (place, *place.parents[:3]):
        folder.chmod(0o755)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"no tiny file system can be mounted: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a tiny file system")
@pytest.mark.parametrize("mode", ["append", "replace", "replace_partition", "merge"])
def test_a_full_disk_below_the_staging_or_the_table(
    cluster: PostgresCluster, fragile: Warehouse, tiny: Path, mode: str
) -> None:
    space = tiny / "space"
    space.mkdir()
    space.chmod(0o777)
    _give_to_the_server(cluster, space)
    _run(fragile.uri, f"CREATE TABLESPACE tiny LOCATION '{space}'")
    try:
        fragile.sql("ALTER DATABASE postgres SET temp_tablespaces = tiny")
        if mode == "append":
            fragile.sql("ALTER TABLE t SET TABLESPACE tiny")
        with begin(fragile, mode) as session, pytest.raises(TargetUnavailableError) as caught:
            session.write(batches())
        assert "53100" in str(caught.value)
        assert "disk is full" in str(caught.value)
        fragile.sql("ALTER DATABASE postgres RESET temp_tablespaces")
        fragile.sql("ALTER TABLE t SET TABLESPACE pg_default")
        check_a_clean_rerun(fragile, mode)
    finally:
        fragile.sql("ALTER TABLE t SET TABLESPACE pg_default")
        _run(fragile.uri, "ALTER DATABASE postgres RESET temp_tablespaces")
        _run(fragile.uri, "CHECKPOINT")
        _run(fragile.uri, "DROP TABLESPACE tiny")


def _give_to_the_server(cluster: PostgresCluster, folder: Path) -> None:
    data = psycopg2.connect(cluster.uri("postgres"))
    with data.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        (place,) = cursor.fetchone() or ("",)
    data.close()
    status = Path(place).stat()
    os.chown(folder, status.st_uid, status.st_gid)
    folder.chmod(0o700)


def _run(uri: str, statement: str) -> None:
    """Outside of a transaction."""
    connection = psycopg2.connect(uri)
    connection.autocommit = True
    try:
        connection.cursor().execute(statement)
    finally:
        connection.close()


def test_a_crash_while_another_load_publishes_costs_neither_its_ledger_row(
    cluster: PostgresCluster, fragile: Warehouse
) -> None:
    load(fragile, "append")
    with begin(fragile, "merge", "b" * 32) as session:
        rows = session.write(batches(rows=1_000))
        blocker = psycopg2.connect(fragile.uri)
        blocker.cursor().execute("LOCK TABLE t IN SHARE MODE")
        ends: list[BaseException] = []

        def publish() -> None:
            try:
                session.publish(fragile.publication(rows))
            except TargetUnavailableError as error:
                ends.append(error)

        publisher = threading.Thread(target=publish)
        publisher.start()
        cluster.stop()
        cluster.start()
        publisher.join()
    assert len(ends) == 1
    assert [entry.load_id[0] for entry in fragile.target("t").ledger()] in (["a"], [])
    assert fragile.sql("SELECT count(*) FROM t WHERE v = 'new'")[0][0] in (0, 1_000)
