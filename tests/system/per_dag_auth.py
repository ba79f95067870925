"""An auth manager with rights per DAG and per resource, as that of the FAB provider has them."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

SHOP_ONLY = "vic"
"""May read the DAG `shop`, and no other."""

SHOP_EDITOR = "uma"
"""May edit the DAG `shop`, and read no other."""

SEES_PERSONAL = "uma"


class PerDagAuthManager(SimpleAuthManager):
    """Holds two people to the DAG `shop`."""

    def is_authorized_dag(
        self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None
    ) -> bool:
        if user.username in (SHOP_ONLY, SHOP_EDITOR):
            if details is None or details.id != "shop":
                return False
            return method == "GET" or user.username == SHOP_EDITOR
        return super().is_authorized_dag(
            method=method, user=user, access_entity=access_entity, details=details
        )

    def get_authorized_dag_ids(self, *, user: Any, method: Any = "GET", **_: Any) -> set[str]:
        return {"shop"} if user.username in (SHOP_ONLY, SHOP_EDITOR) else {"shop", "store"}

    def is_authorized_custom_view(self, *, method: Any, resource_name: str, user: Any) -> bool:
        return resource_name != "ETL Personal Data" or user.username == SEES_PERSONAL
