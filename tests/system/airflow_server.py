"""A whole Airflow for tests: scheduler, DAG processor and API server, driven over REST."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BIN = Path(sys.executable).parent

LOG_LINES = 40

FINISHED = {"success", "failed", "skipped", "upstream_failed", "removed"}


class AirflowServer:
    """Airflow in a home of its own.

    :param metadata: the URI of an empty PostgreSQL database. With SQLite a request that comes while
        the scheduler writes may fail with "database is locked".
    :param environment: connections and settings besides those that it needs itself.
    """

    def __init__(
        self, folder: Path, *, dags: str, metadata: str, environment: dict[str, str]
    ) -> None:
        self.folder, self.home = folder, folder / "home"
        self.dags, self.logs = folder / "dags", folder / "logs"
        for path in (self.home, self.dags, self.logs):
            path.mkdir()
        (self.dags / "tested_dags.py").write_text(dags, encoding="utf-8")
        self.port, logs_port = _free_ports(2)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""
        url = f"http://127.0.0.1:{self.port}"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        self.environment = (
            inherited
            | {
                "PATH": f"{BIN}{os.pathsep}{inherited.get('PATH', '')}",
                "AIRFLOW_HOME": str(self.home),
                "AIRFLOW__API__BASE_URL": url,
                "AIRFLOW__API__PORT": str(self.port),
                "AIRFLOW__API__SECRET_KEY": "only for tests",
                "AIRFLOW__API_AUTH__JWT_SECRET": "only for tests, and long enough for HS512 " * 2,
                "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
                "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__CORE__PARALLELISM": "4",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata.replace("://", "+psycopg2://", 1),
                # No driver for it is installed, and only the triggerer needs one.
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": "",
                "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
                "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs),
                "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(logs_port),
                "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            }
            | environment
        )

    def start(self) -> None:
        """Return when the DAGs are there and a scheduler schedules."""
        subprocess.run(
            ["airflow", "db", "migrate"],
            env=self.environment,
            check=True,
            capture_output=True,
            executable=BIN / "airflow",
        )
        self._launch("api-server", "--workers", "1", "--host", "127.0.0.1")
        self._launch("dag-processor")
        self._launch("scheduler")
        self.wait_until(self._answers, "the API server answers")
        self._token = self._request("GET", "/auth/token")["access_token"]
        self.wait_until(self._schedules, "the scheduler schedules")

    def start_triggerer(self, **environment: str) -> None:
        """Start a triggerer too, with more in its environment than the others have."""
        self._launch("triggerer", more=environment)

    def stop(self) -> None:
        """End every process that was started, the tasks included."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            with suppress(ProcessLookupError):
                # What is left of its group: tasks of a scheduler that gave up waiting.
                os.killpg(process.pid, signal.SIGKILL)

    def _launch(
        self, name: str, *arguments: str, more: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [BIN / "airflow", name, *arguments],
                env=self.environment | more,
                cwd=self.home,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, holds: Callable[[], Any], what: str, *, seconds: float = 180) -> Any:
        """Ask until the answer is true; tells what the processes said if it never is."""
        end = time.monotonic() + seconds
        while True:
            if answer := holds():
                return answer
            dead = [name for name, process in self._processes.items() if process.poll() is not None]
            if dead or time.monotonic() > end:
                why = f"{', '.join(dead)} ended" if dead else f"not within {seconds} s"
                raise AssertionError(f"waited until {what}: {why}\n{self.says()}")
            time.sleep(0.25)

    def says(self) -> str:
        """The last lines of each process's log."""
        tails = []
        for name in self._processes:
            lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
            tails.append("\n".join([f"--- {name}", *lines[-LOG_LINES:]]))
        return "\n".join(tails)

    def _answers(self) -> bool:
        try:
            self._request("GET", "/api/v2/version")
        except OSError:
            return False
        return True

    def _schedules(self) -> bool:
        health = self.api("GET", "monitor/health")
        errors = self.api("GET", "importErrors")
        assert not errors["import_errors"], errors
        return health["scheduler"]["status"] == "healthy" and bool(self.api("GET", "dags")["dags"])

    def api(self, method: str, path: str, body: object = None, **query: object) -> Any:
        """Call Airflow's public REST API; raises with what it answered if that is no success."""
        asked = f"?{urlencode(query)}" if query else ""
        return self._request(method, f"/api/v2/{path}{asked}", body)

    def _request(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise AssertionError(f"{method} {path}: {error.code} {said}") from error
        return json.loads(text) if text else None

    def unpause(self, *dag_ids: str) -> None:
        for dag_id in dag_ids:
            self.api("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def parse(self, dag_id: str) -> None:
        """Have the DAG processor read a DAG's file once more."""
        token = self.api("GET", f"dags/{dag_id}")["file_token"]
        self.api("PUT", f"parseDagFile/{token}")

    def trigger(self, dag_id: str, **body: object) -> str:
        """Start a run as the button in the UI does; returns its id."""
        made = self.api("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None} | body)
        return str(made["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        return list(self.api("GET", f"dags/{dag_id}/dagRuns", order_by="id")["dag_runs"])

    def finished(self, dag_id: str, *, runs: int = 1, seconds: float = 180) -> list[dict[str, Any]]:
        """Wait until so many runs are there and all have ended."""

        def ended() -> list[dict[str, Any]] | None:
            found = self.runs(dag_id)
            done = all(run["state"] in ("success", "failed") for run in found)
            return found if len(found) >= runs and done else None

        return list(self.wait_until(ended, f"{runs} runs of {dag_id} have ended", seconds=seconds))

    def tasks(self, dag_id: str, run_id: str, task_id: str = "load") -> list[dict[str, Any]]:
        """All instances of a task in a run, by map index."""
        path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        found = self.api("GET", path, task_display_name_pattern=task_id)["task_instances"]
        return sorted(found, key=lambda task: task["map_index"])

    def task(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return self.tasks(dag_id, run_id)[0]

    def task_in(self, dag_id: str, run_id: str, *states: str) -> dict[str, Any]:
        """Wait until the task is in one of `states`."""

        def found() -> dict[str, Any] | None:
            tasks = self.tasks(dag_id, run_id)
            return tasks[0] if tasks and tasks[0]["state"] in states else None

        return dict(self.wait_until(found, f"{dag_id} is {' or '.join(states)}"))

    def report(self, dag_id: str, run_id: str, *, map_index: int = -1) -> dict[str, Any]:
        """The run report in the task's XCom."""
        path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/load/xcomEntries"
        return dict(self.api("GET", f"{path}/return_value", map_index=map_index)["value"])

    def clear(self, dag_id: str, run_id: str, *task_ids: object, downstream: bool = False) -> None:
        """Clear tasks of a run, whatever became of them."""
        self.api(
            "POST",
            f"dags/{dag_id}/clearTaskInstances",
            {
                "dry_run": False,
                "only_failed": False,
                "dag_run_id": run_id,
                "task_ids": list(task_ids) or ["load"],
                "include_downstream": downstream,
            },
        )

    def mark(self, dag_id: str, run_id: str, state: str) -> None:
        """Set the state of a task by hand."""
        path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/load"
        self.api("PATCH", path, {"new_state": state})

    def backfill(self, dag_id: str, *, backwards: bool, max_active_runs: int) -> None:
        """Start a backfill of the first days of January 2026."""
        self.api(
            "POST",
            "backfills",
            {
                "dag_id": dag_id,
                "from_date": "2026-01-01T00:00:00Z",
                "to_date": "2026-01-03T00:00:00Z",
                "run_backwards": backwards,
                "max_active_runs": max_active_runs,
            },
        )

    def log(self, dag_id: str) -> str:
        """All that tasks of a DAG have logged."""
        files = sorted(self.logs.glob(f"dag_id={dag_id}/**/*.log"))
        return "\n".join(file.read_text(errors="replace") for file in files)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
