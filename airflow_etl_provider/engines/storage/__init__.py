"""Where files live: the one place that opens file systems, local and S3."""

from __future__ import annotations

from airflow_etl_provider.engines.storage.filesystem import (
    is_remote,
    open_filesystem,
    without_scheme,
)
from airflow_etl_provider.engines.storage.trouble import Trouble, trouble_of

__all__ = ["Trouble", "is_remote", "open_filesystem", "trouble_of", "without_scheme"]
