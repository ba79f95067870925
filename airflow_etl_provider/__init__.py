"""ETL pipelines for Apache Airflow that find, map, load, heal and explain themselves."""

__version__ = "0.1.0"
