"""PostgreSQL as a target: rows and ledger row in one transaction of one connection."""

from __future__ import annotations

from airflow_etl_provider.engines.targets.postgres.target import PostgresTarget
from airflow_etl_provider.engines.targets.postgres.uri import parse_postgres_uri, postgres_uri

__all__ = ["PostgresTarget", "parse_postgres_uri", "postgres_uri"]
