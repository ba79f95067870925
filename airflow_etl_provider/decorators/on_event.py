"""A DAG for what is to be done when something happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_etl_provider.bus.event import check_kinds
from airflow_etl_provider.triggers.event_watch import EtlEventWatchTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["on_event"]


def on_event(
    kind: str | Sequence[str],
    *,
    pipeline: str = "",
    key: str = "",
    dag_id: str | None = None,
    connection: str = "etl_metadata_default",
    poll: float = 5.0,
    at_once: int = 1,
    **dag_arguments: Any,
) -> Callable[[Callable[[dict[str, Any]], Any]], DAG]:
    """Make a DAG of a function that takes an event, run for each event that fits.

    .. code-block:: python

        @on_event("schema_changed", pipeline="orders", tags=["orders"])
        def tell_the_owner(event):
            print(event["key"], event["facts"]["fingerprint"])

    Events that come close together share a DAG run, in which each has a task of its own, with its
    own log and retries. An event may come again after a crash of the triggerer, with the same
    `id`; within one run it comes once.

    :param kind: of the event, or several of which any will do; docs/messages.md lists them.
    :param pipeline: only of this pipeline.
    :param key: only with this key.
    :param dag_id: the function's name when absent.
    :param connection: of the metadata store, which the triggerer reads.
    :param poll: seconds between two looks.
    :param at_once: events of a run that are handled at the same time; one after the other, in the
        order in which they happened, when 1.
    :param dag_arguments: of the DAG, as in `DAG(...)`.
    :raises SpecificationError: there is no such event.
    """
    kinds = check_kinds(kind)

    def decorate(function: Callable[[dict[str, Any]], Any]) -> DAG:
        name = dag_id or function.__name__
        trigger = EtlEventWatchTrigger(
            kinds=kinds,
            pipeline=pipeline,
            key=key,
            connection=connection,
            # Of its own: two DAGs that wait for the same each get all.
            watcher=f"dag {name}",
            poll=poll,
        )
        asset = Asset(f"etl_events_of_{name}", watchers=[AssetWatcher(name=name, trigger=trigger)])
        given: dict[str, Any] = {"catchup": False, "doc_md": function.__doc__, **dag_arguments}
        with DAG(name, schedule=[asset], **given) as dag:
            handled = task(max_active_tis_per_dagrun=at_once)(function)
            handled.expand(event=task(task_id="events")(_events_of_this_run)())
        return dag

    return decorate


def _events_of_this_run(**context: Any) -> list[dict[str, Any]]:
    """Give the events that made the run, oldest first, each once."""
    found: dict[str, dict[str, Any]] = {}
    for told in context["triggering_asset_events"].values():
        for one in told:
            event = one.extra.get("payload") if isinstance(one.extra, dict) else None
            if isinstance(event, dict) and "id" in event:
                found.setdefault(event["id"], event)
    return sorted(found.values(), key=lambda event: event["at"])
