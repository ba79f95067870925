"""What Airflow knows of this provider; checked against Airflow's own schema in the tests."""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """Describe the provider; null keys are left away, since Airflow's schema refuses them."""
    return {
        "package-name": "airflow-etl-provider",
        "name": "ETL",
        "description": "ETL pipelines that find, map, load, heal and explain themselves.",
        "connection-types": [
            {
                "hook-class-name": "airflow_etl_provider.hooks.duckdb.DuckDbHook",
                "connection-type": "duckdb",
                "hook-name": "DuckDB",
            }
        ],
        "queues": ["airflow_etl_provider.queues.etl.EtlMessageQueueProvider"],
        "db-managers": ["airflow_etl_provider.db_manager.EtlDBManager"],
        "extra-links": [
            "airflow_etl_provider.operators.links.QuarantineLink",
            "airflow_etl_provider.operators.links.ViolationsLink",
        ],
        "config": {
            "etl": {
                "description": "Options of the ETL provider.",
                "options": {
                    "quarantine": {
                        "description": "Folder for rejected rows where neither the pipeline nor "
                        "the target names a place.\n",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/var/lib/airflow/quarantine",
                        "default": None,
                    },
                    "memory_limit_mb": {
                        "description": "Memory in MiB that DuckDB may hold in one task; what does "
                        "not fit goes to disk, and the rest of the process comes on top.\n",
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": "1024",
                        "default": "256",
                    },
                    "threads": {
                        "description": "Threads that DuckDB uses in one task; as many as the "
                        "worker has cores when empty.\n",
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": "2",
                        "default": None,
                    },
                    "progress_interval": {
                        "description": "Seconds between two lines of progress in a task's log.\n",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": "30",
                        "default": "5",
                    },
                    "task_secret": {
                        "description": "Signs the tokens by which tasks are known to the API; 32 "
                        "characters at least, the same on API servers and workers. "
                        "Without it tasks record by the connection etl_metadata_default "
                        "alone.\n",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": None,
                        "default": None,
                        "sensitive": True,
                    },
                    "task_token_minutes": {
                        "description": "How long a token of a task holds; a task makes a new one "
                        "whenever it needs one.\n",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": "10",
                        "default": "10",
                    },
                    "api_url": {
                        "description": "Where workers reach the API server, if not at "
                        "[api] base_url.\n",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "https://airflow.internal",
                        "default": None,
                    },
                    "agent_settings": {
                        "description": "Limits of agents, as a JSON object by agent; rows of the "
                        "metadata store override them without a restart.\n",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": '{"mapping": {"confidence_threshold": 0.95, "pool": "agents"}}',
                        "default": None,
                    },
                    "message_bus": {
                        "description": "Connection of type redis or kafka that is told of every "
                        "event; events stand in the event table either way.\n",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "etl_bus",
                        "default": None,
                    },
                    "api_rate_limit": {
                        "description": "Requests a minute of one asker that an API server "
                        "answers.\n",
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": "600",
                        "default": "600",
                    },
                    "personal_data_readers": {
                        "description": "Logins, separated by commas, of those who may see "
                        "values of personal columns.\n",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "dana, ann",
                        "default": None,
                    },
                    "retention_days": {
                        "description": "Days that records of the metadata store are kept, by "
                        "table; 0 keeps for ever. A table that is not named keeps its default.\n",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "run:365, metric:30",
                        "default": "",
                    },
                },
            }
        },
    }
