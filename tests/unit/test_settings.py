"""What the section `[etl]` of Airflow's configuration may say, and who listens."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_etl_provider.engines.batch import EngineOptions
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.get_provider_info import get_provider_info
from airflow_etl_provider.operators.batch import BatchPipelineOperator
from airflow_etl_provider.operators.options import engine_options
from airflow_etl_provider.settings import Settings, agent_defaults, read_settings

OPTIONS = get_provider_info()["config"]["etl"]["options"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An Airflow home whose configuration says nothing."""
    for key in OPTIONS:
        monkeypatch.delenv(f"AIRFLOW__ETL__{key.upper()}", raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    return tmp_path


def test_without_a_configuration_the_defaults_are_the_engines_own(home: Path) -> None:
    settings = read_settings()
    assert settings == Settings(quarantine=home / "quarantine")
    assert engine_options(settings) == EngineOptions(quarantine_home=home / "quarantine")


def test_every_setting_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__ETL__QUARANTINE", str(home / "rejects"))
    monkeypatch.setenv("AIRFLOW__ETL__MEMORY_LIMIT_MB", "1024")
    monkeypatch.setenv("AIRFLOW__ETL__THREADS", " 2 ")
    monkeypatch.setenv("AIRFLOW__ETL__PROGRESS_INTERVAL", "0.5")
    settings = read_settings()
    assert settings == Settings(
        quarantine=home / "rejects", memory_limit_mb=1024, threads=2, progress_interval=0.5
    )
    assert engine_options(settings) == EngineOptions(
        quarantine_home=home / "rejects", memory_limit=2**30, threads=2
    )


def test_an_empty_setting_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in OPTIONS:
        monkeypatch.setenv(f"AIRFLOW__ETL__{key.upper()}", "")
    assert read_settings() == Settings(quarantine=home / "quarantine")


@pytest.mark.parametrize(
    ("key", "found", "allowed"),
    [
        ("memory_limit_mb", "lots", "a whole number from 64 to 16777216"),
        ("memory_limit_mb", "63", "a whole number from 64 to 16777216"),
        ("memory_limit_mb", "512.5", "a whole number from 64 to 16777216"),
        ("threads", "0", "a whole number from 1 to 1024"),
        ("threads", "1025", "a whole number from 1 to 1024"),
        ("threads", "9" * 5000, "a whole number from 1 to 1024"),
        ("progress_interval", "-1", "a number of seconds from 0 to 86400"),
        ("progress_interval", "nan", "a number of seconds from 0 to 86400"),
        ("progress_interval", "inf", "a number of seconds from 0 to 86400"),
        ("progress_interval", "5s", "a number of seconds from 0 to 86400"),
        ("quarantine", "rejects", "the absolute path of a folder"),
        ("quarantine", "~nobody-of-this-name/rejects", "the absolute path of a folder"),
        ("quarantine", "s3://lake/rejects", "the absolute path of a folder"),
    ],
)
def test_a_bad_value_is_refused_with_section_key_found_and_allowed(
    monkeypatch: pytest.MonkeyPatch, key: str, found: str, allowed: str
) -> None:
    monkeypatch.setenv(f"AIRFLOW__ETL__{key.upper()}", found)
    with pytest.raises(SpecificationError) as caught:
        read_settings()
    told = str(caught.value)
    assert f"[etl] {key} " in told
    assert found[:50] in told
    assert allowed in told
    assert f"AIRFLOW__ETL__{key.upper()}" in told
    assert len(told) < 400


def test_a_file_is_no_place_for_a_quarantine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("AIRFLOW__ETL__QUARANTINE", str(home / "file"))
    with pytest.raises(SpecificationError, match=r"\[etl\] quarantine .*the absolute path"):
        read_settings()


def test_the_home_of_the_user_may_be_written_short(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AIRFLOW__ETL__QUARANTINE", "~/rejects")
    assert read_settings().quarantine == home / "rejects"


@pytest.mark.parametrize(
    "wrong",
    [
        {"memory_limit_mb": 1},
        {"threads": 0},
        {"threads": True},
        {"progress_interval": float("nan")},
        {"quarantine": Path("here")},
    ],
)
def test_settings_check_themselves_wherever_they_are_made(home: Path, wrong: Any) -> None:
    with pytest.raises(SpecificationError, match=next(iter(wrong))):
        Settings(**{"quarantine": home} | wrong)


def test_airflow_is_told_the_same_keys_and_defaults(home: Path) -> None:
    assert list(OPTIONS) == [
        "quarantine",
        "memory_limit_mb",
        "threads",
        "progress_interval",
        "task_secret",
        "task_token_minutes",
        "api_url",
        "agent_settings",
        "message_bus",
        "api_rate_limit",
        "personal_data_readers",
        "retention_days",
    ]
    defaults = {key: option["default"] for key, option in OPTIONS.items()}
    settings = Settings(quarantine=home)
    assert defaults["memory_limit_mb"] == str(settings.memory_limit_mb)
    assert float(defaults["progress_interval"]) == settings.progress_interval
    assert (defaults["quarantine"], defaults["threads"]) == (None, None)


class EngineReached(Exception):  # noqa: N818 - it is the aim of the test
    """The engine was reached; nothing more is wanted of it."""


def test_the_operator_runs_by_the_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__ETL__MEMORY_LIMIT_MB", "100")
    monkeypatch.setenv("AIRFLOW__ETL__PROGRESS_INTERVAL", "7")
    seen: dict[str, Any] = {}

    def run(pipeline: Any, **arguments: Any) -> None:
        seen.update(arguments)
        raise EngineReached

    monkeypatch.setattr("airflow_etl_provider.engines.batch.run_pipeline", run)
    for given, waits in ((None, 7.0), (0.0, 0.0), (2.0, 2.0)):
        operator = BatchPipelineOperator(
            task_id="load",
            pipeline={
                "pipeline": "orders",
                "source": {"location": "a.csv", "format": "csv"},
                "target": {"location": "b.parquet"},
            },
            progress_every=given,
        )
        names = {"dag_id": "d", "run_id": "r", "task_id": "load"}
        context: Any = {"ti": SimpleNamespace(**names, map_index=-1, max_tries=0)}
        with pytest.raises(EngineReached):
            operator._run(context)
        assert seen["options"] == EngineOptions(
            quarantine_home=home / "quarantine", memory_limit=100 * 2**20
        )
        assert operator._progress_seconds == waits


def test_limits_of_agents_are_read_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert agent_defaults("mapping") == {}
    monkeypatch.setenv(
        "AIRFLOW__ETL__AGENT_SETTINGS", '{"mapping": {"confidence_threshold": 0.95}}'
    )

    assert agent_defaults("mapping") == {"confidence_threshold": 0.95}
    assert agent_defaults("resolution") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "agent_settings .* is '{'; allowed is an object by agent"),
        ("[1]", "allowed is an object by agent"),
        ('{"mapping": 3}', "allowed is an object by agent"),
        ('{"maping": {}}', "no agent 'maping'"),
        ('{"mapping": {"confidence_threshold": 2}}', "number from 0 to 1"),
    ],
)
def test_limits_that_can_not_be_are_refused(
    text: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__ETL__AGENT_SETTINGS", text)

    with pytest.raises(SpecificationError, match=words):
        agent_defaults("discovery")
