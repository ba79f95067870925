"""The FastAPI application that Airflow's API server mounts."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from airflow_etl_provider import __version__
from airflow_etl_provider.api.errors import add_error_handlers
from airflow_etl_provider.api.limits import BodyLimit
from airflow_etl_provider.api.models import ErrorBody
from airflow_etl_provider.api.routes import (
    agents,
    catalog,
    contracts,
    events,
    listings,
    metrics,
    recording,
)

__all__ = ["PREFIX", "create_app"]

PREFIX = "/api/v1"

_DESCRIPTION = """\
What pipelines, agents and people did, and what they know: pipelines, catalog, contracts, runs,
metrics, failures, decisions, events. People come in with Airflow's login; tasks with a token of
their own. Listings are read page by page: give `cursor` as `after`.
"""

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": words}
    for status, words in (
        (400, "It can't be done."),
        (401, "Nobody is logged in."),
        (403, "The one who is logged in may not."),
        (404, "There is none, or none that may be seen."),
        (412, "Somebody else changed it in between."),
        (413, "The request is too large."),
        (422, "The request is not valid; `errors` names the fields."),
        (428, "The ETag of what was read is missing."),
        (429, "Too many requests; `Retry-After` says when to go on."),
        (503, "The metadata database is away."),
    )
}


def create_app() -> FastAPI:
    """Put the routes together; opens nothing yet."""
    app = FastAPI(
        title="ETL",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=f"{PREFIX}/docs",
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
    )
    add_error_handlers(app)
    app.add_middleware(BodyLimit)
    # Contracts before listings: /contracts/{name}/approved is no key of a record.
    for routes in (contracts, catalog, metrics, agents, events, recording, listings):
        app.include_router(routes.router, prefix=PREFIX, responses=_ERRORS)
    return app
