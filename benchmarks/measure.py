"""Measure a command as a whole: wall, CPU of it and of the database server, peak memory."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Sample", "ServerCpu", "interleave", "measure", "medians"]

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: seconds of wall and CPU, MiB of the largest process."""

    wall: float
    client_cpu: float
    server_cpu: float
    rss: float

    @property
    def cpu(self) -> float:
        return self.client_cpu + self.server_cpu


class ServerCpu:
    """CPU seconds that a PostgreSQL cluster has used so far, ended backends included."""

    def __init__(self, postmaster: int) -> None:
        self.postmaster = postmaster

    def read(self) -> float:
        total = self._ticks(self.postmaster, with_ended=True)
        children = Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children").read_text()
        for pid in children.split():
            try:
                total += self._ticks(int(pid), with_ended=False)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended between the two reads; the postmaster has its ticks now
        return total / TICKS

    @staticmethod
    def _ticks(pid: int, *, with_ended: bool) -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        utime, stime, cutime, cstime = (int(f) for f in fields[11:15])
        return utime + stime + (cutime + cstime if with_ended else 0)


def measure(command: Sequence[str], *, server: ServerCpu | None, env: dict[str, str]) -> Sample:
    """Run once; a command that fails ends the benchmark with its output."""
    # As an installed program runs: with bytecode, which it may write where it is missing.
    env = {key: value for key, value in env.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before = server.read() if server else 0.0
    started = time.monotonic()
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)} exited {process.returncode}:\n{output[-4000:]}")
    time.sleep(0.2)  # ended backends are reaped and counted
    return Sample(
        wall=wall,
        client_cpu=usage.ru_utime + usage.ru_stime,
        server_cpu=(server.read() - before) if server else 0.0,
        rss=usage.ru_maxrss / 1024,
    )


def interleave(
    contenders: dict[str, Callable[[], Sample]], *, runs: int
) -> dict[str, list[Sample]]:
    """A B C A B C ...: what drifts on a noisy machine drifts for all of them."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for number in range(runs):
        for name, run in contenders.items():
            sample = run()
            samples[name].append(sample)
            print(
                f"  run {number + 1}  {name:<24} wall {sample.wall:6.2f}  cpu {sample.cpu:6.2f}"
                f"  ({sample.client_cpu:.2f} + {sample.server_cpu:.2f})  rss {sample.rss:5.0f} MiB",
                flush=True,
            )
    return samples


def medians(samples: dict[str, list[Sample]], *, base: str) -> str:
    """A table of medians and of ratios against `base`, pair by pair."""
    lines = [
        f"| {'':<24} | wall s | CPU s | client | server | RSS MiB | wall x | CPU x |",
        f"| {'-' * 24} | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, runs in samples.items():
        walls = [a.wall / b.wall for a, b in zip(runs, samples[base], strict=True)]
        cpus = [a.cpu / b.cpu for a, b in zip(runs, samples[base], strict=True)]
        middle = {
            what: statistics.median(getattr(r, what) for r in runs)
            for what in ("wall", "cpu", "client_cpu", "server_cpu", "rss")
        }
        lines.append(
            f"| {name:<24} | {middle['wall']:.2f} | {middle['cpu']:.2f} | "
            f"{middle['client_cpu']:.2f} | {middle['server_cpu']:.2f} | {middle['rss']:.0f} | "
            f"{statistics.median(walls):.2f} | {statistics.median(cpus):.2f} |"
        )
    return "\n".join(lines)


def own_peak() -> float:
    """MiB of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
