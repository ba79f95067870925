"""Sensors that wait for a dataset: for a change of it, or for new rows in it."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseSensorOperator
from airflow.sdk.bases.sensor import PokeReturnValue

from airflow_etl_provider.sensors.event import EtlEventSensor, moment_of
from airflow_etl_provider.triggers.freshness import DatasetFreshnessTrigger, find_fresh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

__all__ = ["DatasetFreshnessSensor", "SchemaChangeSensor"]


class SchemaChangeSensor(EtlEventSensor):
    """Wait until the Data Discovery agent finds a dataset changed, and return what it tells.

    .. code-block:: python

        SchemaChangeSensor(task_id="orders_changed", dataset="warehouse/sales.orders")

    The event tells the severity, the number of changes and the id of the decision that lists them.
    Only looks from the start of the DAG run on count, also after a retry.

    :param dataset: its name in the catalog: `connection/table`, `connection/location`, a location.
    :param effect: `any` change, also of the data; only another `schema`; only what is `breaking`.
    :param since: ISO 8601 moment with zone, instead of the start of the DAG run.
    :param connection: of the metadata store.
    :param deferrable: wait in the triggerer and keep no worker busy.
    """

    template_fields: Sequence[str] = ("dataset", "since")

    def __init__(
        self,
        *,
        dataset: str,
        effect: Literal["any", "schema", "breaking"] = "any",
        **kwargs: Any,
    ) -> None:
        if effect not in ("any", "schema", "breaking"):
            raise ValueError(f"effect is {effect!r}; allowed: any, schema, breaking.")
        kind = "schema_changed" if effect == "schema" else "dataset_drifted"
        super().__init__(kind=kind, **kwargs)
        self.dataset = dataset
        self.effect = effect

    def _at_least(self) -> dict[str, float]:
        return {"breaking": 1} if self.effect == "breaking" else {}

    def _key(self) -> str:
        from airflow_etl_provider.metadata.records import stable_id

        return self.dataset if len(self.dataset) <= 250 else stable_id("dataset", self.dataset)


class DatasetFreshnessSensor(BaseSensorOperator):
    """Wait until a dataset has been updated lately, and return when that was.

    .. code-block:: python

        DatasetFreshnessSensor(
            task_id="orders_fresh", dataset="warehouse/sales.orders", max_age=timedelta(hours=6)
        )

    An update is a load into it by this provider, or a look of the Data Discovery agent that found
    it changed.

    :param dataset: its name in the catalog: `connection/table`, `connection/location`, a location.
    :param max_age: of the last update, in seconds or as a timedelta. Without it, the sensor waits
        until the dataset is not late by its own history; what has too short a history is not late.
    :param since: ISO 8601 moment with zone: updates from before do not count.
    :param connection: of the metadata store.
    :param deferrable: wait in the triggerer and keep no worker busy.
    """

    template_fields: Sequence[str] = ("dataset", "since")
    ui_color = "#fff2cc"

    def __init__(
        self,
        *,
        dataset: str,
        max_age: timedelta | float | None = None,
        since: str | None = None,
        connection: str = "etl_metadata_default",
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        seconds = max_age.total_seconds() if isinstance(max_age, timedelta) else max_age
        if seconds is not None and seconds <= 0:
            raise ValueError(f"max_age is {max_age!r}; it must be more than nothing.")
        self.dataset = dataset
        self.max_age = seconds
        self.since = since
        self.connection = connection
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Return the last update; wait for it in the triggerer, unless it is there already."""
        if not self.deferrable:
            return super().execute(context)
        found = self._look()
        if found is None:
            self.defer(
                trigger=DatasetFreshnessTrigger(
                    connection=self.connection,
                    dataset=self.dataset,
                    seconds=self.max_age,
                    since=self._since(),
                    poll=self.poke_interval,
                ),
                method_name="execute_complete",
                timeout=timedelta(seconds=self.timeout),
            )
        return found

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return what the trigger found."""
        return event

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        found = self._look()
        return PokeReturnValue(is_done=found is not None, xcom_value=found)

    def _look(self) -> dict[str, Any] | None:
        from airflow_etl_provider.hooks.connections import find_airflow_connection
        from airflow_etl_provider.hooks.metadata import open_store_at

        with closing(open_store_at(find_airflow_connection(self.connection))) as store:
            return find_fresh(
                store, dataset=self.dataset, seconds=self.max_age, since=self._since()
            )

    def _since(self) -> str:
        """Give the moment as text.

        :raises SpecificationError: it is none, or has no zone.
        """
        return moment_of(self.since, key="since").isoformat() if self.since else ""
