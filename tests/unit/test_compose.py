"""The services to try the provider with: pinned, checked, and open to this machine alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

COMPOSE = YAML(typ="safe").load(Path(__file__).parents[2] / "docker-compose.yaml")
SERVICES = COMPOSE["services"]


@pytest.fixture(params=SERVICES)
def service(request):
    return SERVICES[request.param]


def test_there_is_a_service_for_every_kind_of_source_and_target():
    images = {service["image"].partition(":")[0] for service in SERVICES.values()}
    assert images == {"postgres", "redis", "apache/kafka", "rustfs/rustfs"}


def test_an_image_is_pinned_to_a_release(service):
    name, colon, tag = service["image"].rpartition(":")
    assert colon
    assert name
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?", tag)


def test_a_port_is_open_to_this_machine_alone(service):
    assert service["ports"]
    for port in service["ports"]:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{ETL_\w+_PORT:-(\d+)\}:\1", port)


def test_a_service_says_whether_it_is_healthy(service):
    check = service["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries"} <= check.keys()


def test_data_is_in_a_named_volume(service):
    for volume in service["volumes"]:
        assert volume.partition(":")[0] in COMPOSE["volumes"]


def test_a_password_comes_from_the_environment(service):
    environment = service.get("environment", {})
    secrets = [value for key, value in environment.items() if re.search("PASS|SECRET|AUTH", key)]
    assert all(value == "${ETL_PASSWORD:-development-only}" for value in secrets)


def test_no_two_services_want_one_port():
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert len(ports) == len(set(ports))
