"""What agents may do: defaults, what overrides them, and what is possible at all."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_etl_provider.metadata.records import AgentSettingsRecord

__all__ = ["ACTIONS", "AgentSettings", "check_settings", "settings_for"]

ACTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "discovery": ("catalog", "describe", "alert"),
        "mapping": ("propose", "approve", "adapt"),
        "resolution": (
            "retry",
            "wait",
            "reread",
            "shrink_batches",
            "refetch",
            "quarantine",
            "propose_repair",
            "repair",
            "remap",
            "skip",
            "escalate",
        ),
    }
)
"""The closed set of what each agent can do; settings allow some of it, and never more."""

_SAFE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "discovery": ("catalog", "alert"),
        "mapping": ("propose",),
        "resolution": ("retry", "wait", "propose_repair", "escalate"),
    }
)
"""What each does without anybody having allowed it."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The limits of one agent for one pipeline.

    :param confidence_threshold: below it the agent asks a person, 0 to 1.
    :param allowed_actions: that it may take on its own; of `ACTIONS`.
    :param daily_cost: US dollars a day that it may spend on a language model.
    :param run_tokens: tokens of a language model that one run may use.
    :param retries: of one task that it may ask for.
    :param pool: of Airflow, that its tasks take their slots from.
    :param queue: of Airflow, whose workers do its work.
    :param priority_weight: of its tasks.
    """

    allowed_actions: tuple[str, ...]
    confidence_threshold: float = 0.9
    daily_cost: float = 0.0
    run_tokens: int = 0
    retries: int = 3
    pool: str | None = None
    queue: str | None = None
    priority_weight: int = 1


_NUMBERS: Mapping[str, tuple[float, float, bool]] = MappingProxyType(
    {
        "confidence_threshold": (0, 1, False),
        "daily_cost": (0, 100_000, False),
        "run_tokens": (0, 10_000_000, True),
        "retries": (0, 100, True),
        "priority_weight": (1, 10_000, True),
    }
)
"""By setting: the least, the most, and whether it is whole."""


def check_settings(agent: str, settings: Mapping[str, Any]) -> None:
    """Check what shall override an agent's settings against what the agent can do.

    :raises SpecificationError: names every setting that is wrong, and what is allowed.
    """
    known = ACTIONS.get(agent)
    if known is None:
        raise SpecificationError(
            f"There is no agent {agent!r}.", hint=f"Known: {', '.join(ACTIONS)}."
        )
    faults = [
        fault
        for name, value in settings.items()
        if (fault := _fault(name, value, known)) is not None
    ]
    if faults:
        raise SpecificationError(f"The settings of {agent} can't be: {'; '.join(faults)}.")


def settings_for(
    agent: str,
    pipeline: str,
    *,
    defaults: Mapping[str, Any],
    rows: Iterable[AgentSettingsRecord],
) -> AgentSettings:
    """Put together what holds: the configuration, over it the general row, over it the pipeline's.

    :param defaults: of `[etl]` in airflow.cfg, by name of the setting.
    :raises SpecificationError: a default or a row is not possible.
    """
    check_settings(agent, defaults)
    found = replace(AgentSettings(allowed_actions=_SAFE[agent]), **_typed(defaults))
    own = {row.pipeline: row.settings for row in rows if row.agent == agent}
    for scope in ("", pipeline):
        if scope in own:
            check_settings(agent, own[scope])
            found = replace(found, **_typed(own[scope]))
        if pipeline == "":
            break
    return found


def _typed(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if name == "allowed_actions" else value
        for name, value in settings.items()
    }


def _fault(name: str, value: Any, actions: tuple[str, ...]) -> str | None:
    if name == "allowed_actions":
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            return "allowed_actions is a list of names"
        unknown = [one for one in value if one not in actions]
        return (
            f"allowed_actions has {', '.join(unknown)}, which it can't do (it can: "
            f"{', '.join(actions)})"
            if unknown
            else None
        )
    if name in ("pool", "queue"):
        fits = value is None or (isinstance(value, str) and 0 < len(value) <= 250)
        return None if fits else f"{name} is a name of up to 250 characters, or null"
    limits = _NUMBERS.get(name)
    if limits is None:
        known = ", ".join(field.name for field in fields(AgentSettings))
        return f"{name} is no setting (there are: {known})"
    least, most, whole = limits
    is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        return f"{name} is a {'whole ' if whole else ''}number from {least:g} to {most:g}"
    return None
