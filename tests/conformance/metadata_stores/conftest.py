"""Every implementation of the metadata store."""

from __future__ import annotations

import pytest

from airflow_etl_provider.metadata.http import ApiStore
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.sql import SqlStore


class AsPeople(ApiStore):
    """Records with the token of a task, and decides with those of people, as the API wants it."""

    def __init__(self, server):
        super().__init__(f"{server.url}/etl/api/v1", token=server.task_token)
        self._server = server

    def _person(self, name):
        return ApiStore(self._client.url, token=lambda: self._server.token(name))

    def decide_contract(self, *words, by, **more):
        return self._person(by).decide_contract(*words, by=by, **more)

    def edit_contract(self, *words, by, **more):
        return self._person(by).edit_contract(*words, by=by, **more)

    def put_agent_settings(self, *words, by, **more):
        return self._person(by).put_agent_settings(*words, by=by, **more)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgres),
        pytest.param("http", marks=pytest.mark.airflow),
    ]
)
def store(request, tmp_path):
    if request.param == "http":
        server = request.getfixturevalue("api_server")
        server.empty()
        yield AsPeople(server)
        return
    url = f"sqlite:///{tmp_path}/metadata.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_server")
    made = SqlStore(url)
    migrate(made.engine)
    yield made
    made.close()
