"""Whatever is sent to the API, it answers, and never with a fault of its own."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

BOUNDED = settings(
    max_examples=8,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("who", ["person", "task"])
def test_whatever_is_sent_is_answered_and_never_by_a_fault(api_server, who, mode):
    api_server.empty()
    token = api_server.token("dana") if who == "person" else api_server.task_token()
    schema = schemathesis.openapi.from_url(f"{api_server.url}/etl/api/v1/openapi.json")
    asked, statuses = set(), set()

    def ask(case):
        answer = case.call(headers={"Authorization": f"Bearer {token}"})
        asked.add(case.operation.label)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=(not_a_server_error,))

    for found in schema.get_all_operations():
        operation = found.ok()
        try:
            BOUNDED(given(case=operation.as_strategy(generation_mode=mode))(ask))()
        except Unsatisfiable:
            # It has nothing that could be wrong.
            assert mode is GenerationMode.NEGATIVE
        except Exception as error:  # noqa: BLE001 - which route it was is what matters
            pytest.fail(f"{operation.label}: {error}")

    assert len(asked) > (40 if mode is GenerationMode.POSITIVE else 30)
    assert statuses >= ({200, 422} if mode is GenerationMode.POSITIVE else {422})
