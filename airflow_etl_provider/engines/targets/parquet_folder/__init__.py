"""A folder of Parquet files, on disk or in an object store, published by a manifest."""

from __future__ import annotations

from airflow_etl_provider.engines.targets.parquet_folder.reading import FolderFiles, read_folder
from airflow_etl_provider.engines.targets.parquet_folder.store import open_store
from airflow_etl_provider.engines.targets.parquet_folder.target import ParquetFolderTarget

__all__ = ["FolderFiles", "ParquetFolderTarget", "open_store", "read_folder"]
