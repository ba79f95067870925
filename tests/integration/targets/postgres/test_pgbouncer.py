"""Loads through PgBouncer in transaction mode: each transaction may meet another server process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import psycopg2
import pyarrow as pa
import pytest

from airflow_etl_provider.engines.targets.base import Deletes, WriteSpec
from airflow_etl_provider.exceptions import EtlError, FencedError
from tests.conftest import PASSWORD
from tests.integration.targets.postgres.conftest import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import PostgresCluster

pytestmark = pytest.mark.postgres

CONFIGURATION = """\
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users.txt
logfile = {folder}/log
pidfile = {folder}/pid
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
"""


def _user() -> list[str]:
    """PgBouncer refuses to be root."""
    return ["-u", "nobody"] if os.geteuid() == 0 else []


@pytest.fixture(scope="module")
def pooler(
    postgres_cluster: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of a PgBouncer before the cluster."""
    binary = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if binary is None:
        pytest.skip("no pgbouncer: install the distribution's")
    folder: Path = tmp_path_factory.mktemp("pgbouncer")
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)
    folder.chmod(0o777)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "users.txt").write_text(f'"postgres" "{PASSWORD}"\n')
    settings = CONFIGURATION.format(server=postgres_cluster.port, port=port, folder=folder)
    (folder / "pgbouncer.ini").write_text(settings)
    process = subprocess.Popen(
        [binary, *_user(), str(folder / "pgbouncer.ini")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_listens(port, process)
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    pause = threading.Event()
    for _ in range(200):
        assert process.poll() is None, "pgbouncer ended at once"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            pause.wait(0.05)
        else:
            return
    pytest.fail("pgbouncer does not listen")


@pytest.fixture
def pooled(postgres_server: str, pooler: int) -> Warehouse:
    """Loads go through the pooler; `sql` of it, too."""
    start, _, rest = postgres_server.rpartition(":")
    return Warehouse(f"{start}:{pooler}/{rest.partition('/')[2]}")


def rows(*ids: int, name: str) -> pa.Table:
    return pa.table(
        {"id": pa.array(ids, pa.int64()), "name": pa.array([name] * len(ids), pa.string())}
    )


MODES = pytest.mark.parametrize("mode", ["append", "replace", "replace_partition", "merge"])


@MODES
def test_two_loads_one_after_the_other(pooled: Warehouse, mode: str) -> None:
    write = {"mode": mode, "key": ("id",), "partition_by": ("id",), "load_columns": True}
    pooled.run("t", rows(1, 2, name="a"), **write)
    pooled.run("t", rows(2, 3, name="b"), load=pooled.load_id("b" * 32), **write)
    expected = {
        "append": [(1, "a"), (2, "a"), (2, "b"), (3, "b")],
        "replace": [(2, "b"), (3, "b")],
        "replace_partition": [(1, "a"), (2, "b"), (3, "b")],
        "merge": [(1, "a"), (2, "b"), (3, "b")],
    }[mode]
    assert pooled.sql("SELECT id, name FROM t ORDER BY id, name") == expected
    assert [entry.rows_loaded for entry in pooled.target("t").ledger()] == [2, 2]


@MODES
def test_loads_at_the_same_time_share_the_servers(pooled: Warehouse, mode: str) -> None:
    write = {"mode": mode, "key": ("id",), "partition_by": ("id",)}
    pooled.run("t", rows(0, name="first"), **write)
    failures: list[BaseException] = []

    def load(number: int) -> None:
        try:
            for at in range(3):
                load_id = f"{number}{at}".rjust(32, "0")
                ids = range(number * 100, number * 100 + 50)
                pooled.run("t", rows(*ids, name=load_id), load=pooled.load_id(load_id), **write)
        except (EtlError, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(pooled.target("t").ledger()) == 10
    expected = {"append": 451, "replace": 50, "replace_partition": 151, "merge": 151}[mode]
    assert pooled.sql("SELECT count(*) FROM t") == [(expected,)]


def test_settings_of_a_load_do_not_stay_with_the_server(pooled: Warehouse) -> None:
    pooled.run("t", rows(1, name="a"))
    # More than there are servers, so that each is asked.
    for _ in range(6):
        assert pooled.sql(
            "SELECT current_setting('lock_timeout'), "
            "current_setting('application_name') LIKE 'etl %'"
        ) == [("0", False)]


def test_no_staging_table_meets_another_load(pooled: Warehouse) -> None:
    write = {"mode": "merge", "key": ("id",), "deletes": Deletes()}
    marked = rows(1, 2, name="a").append_column("_etl_delete", pa.array([False, True]))
    schema = pooled.fields(id="int64 not null", name="string")
    for number in range(8):
        load_id = pooled.load_id(f"{number}".rjust(32, "0"))
        published = pooled.run("t", marked, schema=schema, load=load_id, **write)
        assert (published.rows_loaded, published.rows_deleted) == (1, 1)
    assert pooled.sql("SELECT id FROM t") == [(1,)]


def test_an_attempt_that_was_overtaken_is_fenced(pooled: Warehouse) -> None:
    schema = pooled.fields(id="int64", name="string")
    begin = {"load": pooled.load_id(), "schema": schema}
    target = pooled.target("t")
    with (
        target.begin(**begin, write=WriteSpec("append")) as zombie,
        target.begin(**begin, write=WriteSpec("append")) as successor,
    ):
        pooled.write_all(successor, rows(1, name="successor"))
        successor.publish(pooled.publication(1))
        with pytest.raises(FencedError):
            pooled.write_all(zombie, rows(1, name="zombie"))
    assert pooled.sql("SELECT name FROM t") == [("successor",)]


def test_a_server_that_dies_below_the_pooler_publishes_nothing(
    pooled: Warehouse, postgres_server: str
) -> None:
    schema = pooled.fields(id="int64", name="string")
    target = pooled.target("t")
    admin = psycopg2.connect(postgres_server)
    admin.autocommit = True
    with target.begin(load=pooled.load_id(), schema=schema, write=WriteSpec("append")) as session:
        pooled.write_all(session, rows(1, name="a"))
        admin.cursor().execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'etl %'"
        )
        with pytest.raises(EtlError, match=r"connection|57P01|08P01"):
            session.publish(pooled.publication(1))
    admin.close()
    pooled.run("t", rows(1, name="again"), schema=schema)
    assert pooled.sql("SELECT name FROM t") == [("again",)]
