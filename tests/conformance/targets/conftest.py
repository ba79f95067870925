from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.targets.cases import Case, make_place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    kind, mode = request.param
    return Case(make_place(kind, request, tmp_path), mode)
