"""A PostgreSQL cluster of its own for benchmarks, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Cluster"]


class Cluster(AbstractContextManager["Cluster"]):
    """Starts a server on a free port; `dsn` reaches it.

    The server refuses root, so root lends it a user.
    """

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            raise SystemExit("No PostgreSQL here: install the package postgresql.")
        self.bin = found[-1].parent
        self.folder = Path(tempfile.mkdtemp(prefix="etl-bench-pg-"))
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @property
    def dsn(self) -> str:
        return f"postgresql://{self.user}:trusted@127.0.0.1:{self.port}/postgres"

    @property
    def postmaster(self) -> int:
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def __enter__(self) -> Self:
        self._run("initdb", "-D", self._data, "-A", "trust", "-E", "UTF8", "--no-locale")
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "shared_buffers": "512MB",
            "max_wal_size": "8GB",
            "checkpoint_timeout": "30min",
        }
        options = " ".join(f"-c {k}={v}" for k, v in settings.items())
        self._run(
            "pg_ctl", "-D", self._data, "-w", "-l", str(self.folder / "log"), "-o", options, "start"
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        as_user = ["setpriv", f"--reuid={self.user}", "--clear-groups"] if os.geteuid() == 0 else []
        subprocess.run(
            [*as_user, str(self.bin / program), *arguments],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )
