"""Where the button of a task leads."""

from __future__ import annotations

from airflow_etl_provider.operators.links import quarantine_url

TASK = "http://localhost:8080/dags/d/runs/r/tasks/t?try_number=1"


def test_a_quarantine_on_s3_opens_in_the_console():
    url = quarantine_url("s3://lake/quarantine/orders/ab 1", task_url=TASK)

    assert url == (
        "https://s3.console.aws.amazon.com/s3/buckets/lake?prefix=quarantine%2Forders%2Fab+1%2F"
    )


def test_a_folder_of_a_worker_is_found_through_the_report():
    url = quarantine_url("/data/quarantine/orders", task_url=TASK)

    assert url == "http://localhost:8080/dags/d/runs/r/tasks/t/xcom"
