"""Settings of agents: read by all, changed by administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, HTTPException, Query, Response

from airflow_etl_provider.api.access import PersonDep, ReaderDep
from airflow_etl_provider.api.models import SettingsEdit, model_of
from airflow_etl_provider.api.store import StoreDep
from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.coordination.agent_settings import check_settings, settings_for
from airflow_etl_provider.metadata.records import AgentSettingsRecord
from airflow_etl_provider.metadata.records.encoding import record_to_json
from airflow_etl_provider.settings import agent_defaults

__all__ = ["router"]

router = APIRouter(prefix="/agents", tags=["agents"])

AgentName = Literal["discovery", "mapping", "resolution"]
Settings: Any = model_of(AgentSettingsRecord)


@router.get(
    "/{agent}/settings", response_model=list[Settings], summary="Read what overrides airflow.cfg"
)
def read(agent: AgentName, asker: ReaderDep, store: StoreDep) -> Any:
    """The general row (pipeline empty), and those of single pipelines."""
    return [record_to_json(found) for found in store.agent_settings(agent)]


@router.get("/{agent}/effective", summary="Read what holds for a pipeline, all in all")
def effective(
    agent: AgentName,
    asker: ReaderDep,
    store: StoreDep,
    pipeline: Annotated[str, Query(max_length=250, description="Empty: for all.")] = "",
) -> dict[str, Any]:
    """What is safe, over it airflow.cfg, over it the general row, over it the pipeline's."""
    rows = store.agent_settings(agent)
    found = settings_for(agent, pipeline, defaults=agent_defaults(agent), rows=rows)
    return {"agent": agent, "pipeline": pipeline, "settings": asdict(found)}


@router.put("/{agent}/settings", response_model=Settings, summary="Change what overrides it")
def write(
    agent: AgentName,
    edited: SettingsEdit,
    asker: PersonDep,
    store: StoreDep,
    response: Response,
    pipeline: Annotated[str, Query(max_length=250, description="Empty: for all.")] = "",
    if_match: Annotated[str | None, Header(max_length=100)] = None,
    if_none_match: Annotated[str | None, Header(max_length=10)] = None,
) -> Any:
    """Needs the right to edit Airflow's configuration. Who changed what and when is kept."""
    if not asker.may_configure():
        raise HTTPException(403, "Changing agents needs the right to edit the configuration.")
    if not if_match and if_none_match != "*":
        raise HTTPException(
            428, "Send the ETag of the row as If-Match, or If-None-Match: * for the first one."
        )
    if "\0" in pipeline:
        raise HTTPException(422, "The name of a pipeline holds no NUL character.")
    check_settings(agent, edited.settings)
    written = store.put_agent_settings(
        agent,
        pipeline,
        settings=edited.settings,
        by=asker.name,
        etag=if_match.removeprefix("W/").strip('"') if if_match else None,
        comment=edited.comment,
    )
    store.append_events(
        [
            new_event(
                "settings_changed",
                key=pipeline or agent,
                at=written.updated_at,
                pipeline=pipeline or None,
                facts={"agent": agent},
                same=written.etag,
            )
        ]
    )
    response.headers["ETag"] = f'"{written.etag}"'
    return record_to_json(written)
