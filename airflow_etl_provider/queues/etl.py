"""The scheme `etl` of Airflow's message queues: events of the event table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from airflow.providers.common.messaging.providers.base_provider import BaseMessageQueueProvider

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from airflow.triggers.base import BaseEventTrigger

__all__ = ["EtlMessageQueueProvider"]

_OPTIONS = frozenset(("pipeline", "key", "connection", "watcher"))


class EtlMessageQueueProvider(BaseMessageQueueProvider):
    """Makes `MessageQueueTrigger(scheme="etl", kinds=["load_published"])` watch ETL events.

    The older form, a URI, is `etl://load_published?pipeline=orders`; several kinds are separated
    by commas.
    """

    scheme = "etl"

    def queue_matches(self, queue: str) -> bool:
        """Say whether a URI is one of ours."""
        return queue.startswith("etl://")

    def trigger_class(self) -> type[BaseEventTrigger]:
        """Give the trigger."""
        from airflow_etl_provider.triggers.event_watch import EtlEventWatchTrigger

        return EtlEventWatchTrigger

    def trigger_kwargs(self, queue: str, **kwargs: Any) -> dict[str, Any]:
        """Read a URI.

        :raises SpecificationError: it names no kind, or asks for what there is not.
        """
        parts = urlsplit(queue)
        kinds = [kind for kind in unquote(parts.netloc).split(",") if kind]
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unknown = sorted(set(asked) - _OPTIONS)
        if not kinds or unknown:
            raise SpecificationError(
                f"{queue!r} names {'no kind of event' if not kinds else ', '.join(unknown)}.",
                hint="Write etl://load_published?pipeline=orders.",
            )
        return {"kinds": kinds, **{k: v for k, v in asked.items() if k not in kwargs}}
