"""Conversions as DuckDB trees: each gives NULL for what does not convert and never raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlglot import exp

from airflow_etl_provider.contracts.conversions import Conversion
from airflow_etl_provider.exceptions import NotSupportedYetError, SpecificationError

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.types import LogicalType

__all__ = ["Inputs", "render_conversion", "renders"]

C = TypeVar("C", bound=Conversion)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a renderer gets: the trees of the inputs, their types, and the type to make."""

    trees: tuple[exp.Expr, ...]
    types: tuple[LogicalType, ...]
    output: LogicalType

    @property
    def value(self) -> exp.Expr:
        """The first input."""
        return self.trees[0]

    @property
    def type(self) -> LogicalType:
        """The type of the first input."""
        return self.types[0]


Renderer = Callable[[Any, Inputs], exp.Expr]
_RENDERERS: dict[type[Conversion], Renderer] = {}


def renders(
    of: type[C],
) -> Callable[[Callable[[C, Inputs], exp.Expr]], Callable[[C, Inputs], exp.Expr]]:
    """Make a function the renderer of a conversion."""

    def register(
        function: Callable[[C, Inputs], exp.Expr],
    ) -> Callable[[C, Inputs], exp.Expr]:
        _RENDERERS[of] = function
        return function

    return register


def render_conversion(
    conversion: Conversion,
    *,
    inputs: tuple[exp.Expr, ...],
    input_types: tuple[LogicalType, ...],
    target: LogicalType,
) -> exp.Expr:
    """Give the tree of one conversion, of type `conversion.output_type(input_types, target)`.

    An input may stand in the tree several times, so it should be a column of a layer below.

    :raises SpecificationError: inputs or parameters don't fit.
    :raises NotSupportedYetError: DuckDB can't do it exactly.
    """
    _load()
    renderer = _RENDERERS.get(type(conversion))
    if renderer is None:
        if conversion.name == "sql":
            raise SpecificationError(
                "An SQL expression is bound by its schema: use bind_expression."
            )
        raise NotSupportedYetError(f"The conversion {conversion.name} is not supported yet here.")
    output = conversion.output_type(input_types, target)
    return renderer(conversion, Inputs(inputs, input_types, output))


def _load() -> None:
    """Let the renderers register; they import this module, so they can't be imported above."""
    from airflow_etl_provider.engines.backends.duckdb import (  # noqa: F401
        number_conversions,
        structure_conversions,
        text_conversions,
        time_conversions,
        value_conversions,
    )
