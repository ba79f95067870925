"""An API server of Airflow alone, with people of every role, over a database of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import delete

from airflow_etl_provider.metadata.http.task_token import TaskClaims, sign_token
from airflow_etl_provider.metadata.sql import SqlStore
from airflow_etl_provider.metadata.tables import METADATA

__all__ = ["ApiServer"]

SECRET = "a secret of tasks that is long enough for anybody"

PEOPLE = {
    "dana": "admin",
    "ann": "admin",
    "bob": "admin",
    "otto": "op",
    "uma": "user",
    "vic": "viewer",
}


class ApiServer:
    """Started by `start`; `url` is where it is."""

    def __init__(self, folder: Path, *, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = f"sqlite:///{folder}/airflow.db"
        (folder / "dags").mkdir()
        (folder / "passwords.json").write_text(json.dumps({name: name for name in PEOPLE}))
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW_")}
        self.environment = (
            kept
            | {
                "AIRFLOW_HOME": str(folder),
                "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
                    f"{name}:{role}" for name, role in PEOPLE.items()
                ),
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database,
                "AIRFLOW__API_AUTH__JWT_SECRET": "only for tests, and long enough for HS512 " * 2,
                "AIRFLOW__API__PORT": str(self.port),
                "AIRFLOW__API__HOST": "127.0.0.1",
                "AIRFLOW__API__WORKERS": "1",
                "AIRFLOW__ETL__TASK_SECRET": SECRET,
                "AIRFLOW__ETL__API_RATE_LIMIT": "1000000",
                "AIRFLOW__ETL__PERSONAL_DATA_READERS": "otto",
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            }
            | (environment or {})
        )
        self.log = folder / "server.log"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        subprocess.run(
            ["airflow", "db", "migrate"], env=self.environment, check=True, capture_output=True
        )
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                ["airflow", "api-server"],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/api/v2/monitor/health", timeout=5).close()
            except OSError:
                if time.monotonic() > until or self._server.poll() is not None:
                    raise AssertionError(self.log.read_text()[-4000:]) from None
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(30)

    @cache  # noqa: B019 - as long as the server
    def token(self, person: str) -> str:
        """A person's own, by login and password."""
        answer = self.ask(
            "POST", "/auth/token", body={"username": person, "password": person}, token=None
        )
        return str(answer[1]["access_token"])

    def task_token(self, **changes: Any) -> str:
        """A task's."""
        lasts = changes.pop("lasts", timedelta(minutes=5))
        secret = changes.pop("secret", SECRET)
        claims = TaskClaims(
            **{"dag_id": "shop", "run_id": "manual", "task_id": "load"} | changes  # type: ignore[arg-type]
        )
        return sign_token(claims, secret=secret, now=datetime.now(timezone.utc), lasts=lasts)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        token: str | None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """Send one request; gives the status, the JSON and the headers."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=data,
            method=method,
            headers={
                **({"Authorization": f"Bearer {token}"} if token else {}),
                **({"Content-Type": "application/json"} if data is not None else {}),
                **(headers or {}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = answer.read()
                return answer.status, json.loads(content or b"null"), dict(answer.headers)
        except urllib.error.HTTPError as error:
            content = error.read()
            try:
                return error.code, json.loads(content or b"null"), dict(error.headers)
            except ValueError:
                return error.code, content, dict(error.headers)

    def store(self) -> SqlStore:
        """The tables behind the server."""
        return SqlStore(self.database)

    def empty(self) -> None:
        """Take everything out of the tables."""
        store = self.store()
        with store.engine.begin() as connection:
            for table in METADATA.tables.values():
                connection.execute(delete(table))
        store.close()
