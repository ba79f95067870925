"""Rejected rows with their reasons, kept as Parquet until someone mends them."""

from __future__ import annotations

from airflow_etl_provider.engines.quarantine.manifest import Manifest, QuarantineInfo, Status
from airflow_etl_provider.engines.quarantine.orphans import sweep_orphans, sweep_other_attempts
from airflow_etl_provider.engines.quarantine.place import Owner
from airflow_etl_provider.engines.quarantine.reader import (
    list_quarantines,
    read_quarantine,
    verify_quarantine,
)
from airflow_etl_provider.engines.quarantine.writer import QuarantineWriter

__all__ = [
    "Manifest",
    "Owner",
    "QuarantineInfo",
    "QuarantineWriter",
    "Status",
    "list_quarantines",
    "read_quarantine",
    "sweep_orphans",
    "sweep_other_attempts",
    "verify_quarantine",
]
