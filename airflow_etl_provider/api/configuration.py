"""What Airflow's configuration says of the API."""

from __future__ import annotations

__all__ = ["personal_data_readers", "rate_limit", "task_secret"]

SECTION = "etl"


def task_secret() -> str | None:
    """The secret that tokens of tasks are signed with; None where tasks have none."""
    return _get("task_secret") or None


def personal_data_readers() -> frozenset[str]:
    """Logins of those who may see values of personal columns."""
    return frozenset(name.strip() for name in _get("personal_data_readers").split(",")) - {""}


def rate_limit() -> int:
    """Requests a minute of one asker."""
    return int(_get("api_rate_limit") or 600)


def _get(key: str) -> str:
    from airflow.configuration import conf

    return str(conf.get(SECTION, key, fallback="") or "").strip()
