"""A real MariaDB for tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pymysql

from airflow_etl_provider.contracts.connection import Connection

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MariaDbServer"]


class MariaDbServer:
    """A server with a login that may do everything."""

    LOGIN, PASSWORD = "etl", "secret with spaces & signs"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._socket = str(folder / "s")
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    @staticmethod
    def is_there() -> bool:
        return shutil.which("mariadbd") is not None

    def start(self) -> None:
        user = ["--user=root"] if os.getuid() == 0 else []
        data = f"--datadir={self.folder / 'data'}"
        with (self.folder / "log").open("wb") as log:
            subprocess.run(
                ["mariadb-install-db", "--no-defaults", data, "--skip-test-db",
                 "--auth-root-authentication-method=normal", *user],
                check=True, stdout=log, stderr=log,
            )  # fmt: skip
            self._process = subprocess.Popen(
                [
                    "mariadbd", "--no-defaults", data, f"--socket={self._socket}",
                    f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-log-bin",
                    f"--pid-file={self.folder / 'pid'}", "--innodb-flush-log-at-trx-commit=0",
                    "--max-recursive-iterations=100000", *user,
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        until = time.monotonic() + 60
        while True:
            try:
                root = pymysql.connect(unix_socket=self._socket, user="root", autocommit=True)
                break
            except pymysql.MySQLError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.1)
        with root, root.cursor() as cursor:
            cursor.execute(
                "CREATE USER %s@'127.0.0.1' IDENTIFIED BY %s", [self.LOGIN, self.PASSWORD]
            )
            cursor.execute("GRANT ALL ON *.* TO %s@'127.0.0.1' WITH GRANT OPTION", [self.LOGIN])

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)

    def database(self) -> str:
        """Make an empty database."""
        name = f"etl_{next(self._numbers)}"
        self.execute("", f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return name

    def execute(self, database: str, *statements: str) -> None:
        connection: Any = pymysql.connect(
            host="127.0.0.1", port=self.port, user=self.LOGIN, password=self.PASSWORD,
            database=database or None, autocommit=True, charset="utf8mb4",
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def connection(self, database: str | None, **other: Any) -> Connection:
        """A connection of the core's."""
        given: dict[str, Any] = {
            "host": "127.0.0.1", "port": self.port, "login": self.LOGIN,
            "password": self.PASSWORD, "schema": database,
        }  # fmt: skip
        return Connection("shop", "mysql", **(given | other))
