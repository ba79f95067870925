"""What Airflow's metadata database carries for ETL: records, tables, and the store over them."""
