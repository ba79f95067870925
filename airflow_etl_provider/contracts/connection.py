"""A connection as the core sees it: handed in by whoever knows where connections live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Connection", "Connections"]


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a service is and how to log in. `repr` shows no secret.

    :param kind: Airflow's connection type: `postgres`, `duckdb`, `file`, `aws`, ...
    :param schema: the database, as Airflow calls it.
    :param renew: gives the connection anew, where its credentials run out (those of an AWS role
        do); cheap while they still hold.
    """

    name: str
    kind: str
    host: str | None = None
    port: int | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    schema: str | None = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)
    renew: Callable[[], Connection] | None = field(default=None, repr=False, compare=False)


Connections = Callable[[str], Connection]
"""Finds a connection by name; raises ConnectionNotFoundError."""
