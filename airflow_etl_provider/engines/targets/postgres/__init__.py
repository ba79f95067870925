"""PostgreSQL as a target: rows and ledger row in one transaction of one connection."""

from __future__ import annotations

from airflow_etl_provider.engines.targets.postgres.target import LOCK_TIMEOUT, PostgresTarget
from airflow_etl_provider.engines.targets.postgres.uri import parse_postgres_uri, postgres_uri

__all__ = ["LOCK_TIMEOUT", "PostgresTarget", "parse_postgres_uri", "postgres_uri"]
