"""A sensor that waits for something that happened: a load, a failure, a changed schema."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator
from airflow.sdk.bases.sensor import PokeReturnValue

from airflow_etl_provider.triggers.event import EtlEventTrigger, event_to_dict, find_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

__all__ = ["EtlEventSensor", "moment_of"]


class EtlEventSensor(BaseSensorOperator):
    """Wait for an event of the metadata store, and return it.

    .. code-block:: python

        EtlEventSensor(task_id="orders_loaded", kind="load_published", pipeline="orders")

    Only events from the start of the DAG run on count, also after a retry: what happened while the
    sensor was not looking is found, since events are kept.

    :param kind: of the event, or several of which any will do; docs/messages.md lists them.
    :param pipeline: only of this pipeline.
    :param key: only with this key.
    :param since: ISO 8601 moment with zone, instead of the start of the DAG run.
    :param connection: of the metadata store.
    :param deferrable: wait in the triggerer and keep no worker busy.
    """

    template_fields: Sequence[str] = ("kind", "pipeline", "key", "since")
    ui_color = "#fff2cc"

    def __init__(
        self,
        *,
        kind: str | Sequence[str],
        pipeline: str | None = None,
        key: str | None = None,
        since: str | None = None,
        connection: str = "etl_metadata_default",
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.pipeline = pipeline
        self.key = key
        self.since = since
        self.connection = connection
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Return the event; wait for it in the triggerer, unless it is there already."""
        if not self.deferrable:
            return super().execute(context)
        found, after = self._look(context)
        if found is None:
            self._wait(context, after)
        return found

    def _wait(self, context: Context, after: int) -> NoReturn:
        self.defer(
            trigger=EtlEventTrigger(
                connection=self.connection,
                kinds=self._kinds(),
                since=self._since(context).isoformat(),
                pipeline=self.pipeline or "",
                key=self._key(),
                at_least=self._at_least(),
                after=after,
                poll=self.poke_interval,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return what the trigger found."""
        return event

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        found, _ = self._look(context)
        return PokeReturnValue(is_done=found is not None, xcom_value=found)

    def _look(self, context: Context) -> tuple[dict[str, Any] | None, int]:
        from airflow_etl_provider.hooks.connections import find_airflow_connection
        from airflow_etl_provider.hooks.metadata import open_store_at

        with closing(open_store_at(find_airflow_connection(self.connection))) as store:
            found, after = find_event(
                store,
                kinds=self._kinds(),
                pipeline=self.pipeline or "",
                key=self._key(),
                at_least=self._at_least(),
                since=self._since(context),
            )
        return (None if found is None else event_to_dict(found)), after

    def _kinds(self) -> list[str]:
        """Give the kinds.

        :raises SpecificationError: there is no such event.
        """
        from airflow_etl_provider.bus.event import check_kinds

        return check_kinds(self.kind)

    def _since(self, context: Context) -> datetime:
        if not self.since:
            began: datetime = context["dag_run"].start_date  # type: ignore[assignment]
            return began
        return moment_of(self.since, key="since")

    def _key(self) -> str:
        return self.key or ""

    def _at_least(self) -> dict[str, float]:
        """Facts of an event that fits, with the smallest number of each."""
        return {}


def moment_of(text: str, *, key: str) -> datetime:
    """Read a moment.

    :param key: what it was given as.
    :raises SpecificationError: it is none, or has no zone.
    """
    from airflow_etl_provider.exceptions import SpecificationError

    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SpecificationError(
            f"`{key}` is {text!r}, and no moment with its zone.",
            hint="Write 2026-11-20T09:14:00Z.",
        )
    return moment
