"""Alembic scripts for the tables `etl_*`; they take any connection or URL."""
