"""The store as what routes depend on."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from airflow_etl_provider.api.own_store import own_store
from airflow_etl_provider.metadata.sql import SqlStore

__all__ = ["StoreDep"]

StoreDep = Annotated[SqlStore, Depends(own_store)]
