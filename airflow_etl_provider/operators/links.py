"""Buttons on a task in the Airflow UI."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

__all__ = ["QuarantineLink", "ViolationsLink", "quarantine_url"]


class QuarantineLink(BaseOperatorLink):
    """The way from a task to its rejected rows, where there are any."""

    name = "Quarantine"
    xcom_key = "etl_quarantine_link"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Give what `execute` found; Airflow stores it when the task ends."""
        return str(getattr(operator, "quarantine_url", ""))


class ViolationsLink(BaseOperatorLink):
    """The way from a check to rows that break its rules, where there are any."""

    name = "Violations"
    xcom_key = "etl_violations_link"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Give what `execute` found; Airflow stores it when the task ends."""
        return str(getattr(operator, "violations_url", ""))


def quarantine_url(location: str, *, task_url: str) -> str:
    """Where a browser can go to see a quarantine.

    S3 has a console. A browser opens no folder of a worker, so for those it is the task's XCom
    page: the report there has the location.

    :param task_url: the task instance's page in the Airflow UI.
    """
    parts = urlsplit(location)
    if parts.scheme in ("s3", "s3a"):
        prefix = urlencode({"prefix": parts.path.lstrip("/").rstrip("/") + "/"})
        return f"https://s3.console.aws.amazon.com/s3/buckets/{quote(parts.netloc)}?{prefix}"
    return f"{task_url.partition('?')[0]}/xcom"
