"""Events: what happened, in the order in which it was told."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from airflow_etl_provider.api.access import ReaderDep, TaskDep
from airflow_etl_provider.api.store import StoreDep
from airflow_etl_provider.api.visibility import visible_pipelines
from airflow_etl_provider.bus.event import Event, decode_event, encode_event

__all__ = ["router"]

router = APIRouter(prefix="/events", tags=["events"])

Group = Annotated[str, Query(min_length=1, max_length=250)]


@router.get("", summary="Read events, oldest first")
def read(
    asker: ReaderDep,
    store: StoreDep,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    kind: Annotated[list[str] | None, Query(max_length=50)] = None,
    pipeline: Annotated[str, Query(max_length=250)] = "",
) -> dict[str, Any]:
    """`position` is the number to go on `after`, whether events were left out or not."""
    found = store.read_events(
        after=after, limit=limit, kinds=tuple(kind or ()), pipeline=pipeline.replace("\0", "")
    )
    visible = visible_pipelines(asker, store)
    return {
        "items": [
            {"sequence": sequence, "event": _json(event)}
            for sequence, event in found
            if visible is None or event.pipeline in visible
        ],
        "position": found[-1][0] if found else after,
    }


@router.post("", status_code=204, summary="Tell events (tasks)")
def append(events: Annotated[list[dict[str, Any]], ...], asker: TaskDep, store: StoreDep) -> None:
    """An event whose id is there already stays as it is."""
    if len(events) > 1000:
        raise HTTPException(413, "1000 events at most.")
    store.append_events([decode_event(event) for event in events])


@router.get("/groups/position", summary="How far a group of readers has come (tasks)")
def position(group: Group, asker: TaskDep, store: StoreDep) -> dict[str, int]:
    """0 before its first event."""
    return {"position": store.event_position(group)}


@router.post("/groups/position", summary="Move it, if it is where it was (tasks)")
def move(
    group: Group,
    old: Annotated[int, Query(ge=0, le=2**62)],
    new: Annotated[int, Query(ge=0, le=2**62)],
    asker: TaskDep,
    store: StoreDep,
) -> dict[str, bool]:
    """False when another reader of the group was faster."""
    return {"moved": store.move_event_position(group, old=old, new=new)}


@router.post("/groups/attempts", summary="Note that an event could not be handled (tasks)")
def attempt(
    group: Group,
    event_id: Annotated[str, Query(min_length=1, max_length=64)],
    asker: TaskDep,
    store: StoreDep,
    reason: Annotated[str, Query(max_length=2000)] = "",
    dead: bool = False,  # noqa: FBT001, FBT002 - a query parameter
) -> dict[str, int]:
    """`dead` puts it aside."""
    return {"attempts": store.count_attempt(group, event_id, reason=reason, dead=dead)}


@router.get("/groups/dead", summary="What a group has put aside (tasks)")
def dead(
    group: Group, asker: TaskDep, store: StoreDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[dict[str, Any]]:
    """With reasons, oldest first."""
    return [
        {"event": _json(event), "reason": reason}
        for event, reason in store.dead_events(group, limit=limit)
    ]


def _json(event: Event) -> Any:
    import json

    return json.loads(encode_event(event))
