"""The compose file: its schema, its secrets, and names that Prefect and q* know. No engine runs here."""

from __future__ import annotations

import importlib
import re
from typing import Any

import jsonschema
import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema
from prefect.settings.legacy import _get_settings_fields
from prefect.settings.models.root import Settings as PrefectSettings

from flows.serve import _CLIENT
from qstar_core.configload import load_settings
from tests.infra.files import INFRA, REPOSITORY, read_yaml

COMPOSE: dict[str, Any] = read_yaml(INFRA / "compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
SECRETS = {"POSTGRES_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN"}


def env(service: str) -> dict[str, str]:
    found: dict[str, str] = SERVICES[service].get("environment", {})
    return found


def test_it_is_valid_by_the_schema_of_the_compose_specification() -> None:
    jsonschema.Draft7Validator(get_builtin_schema("vendor.compose-spec")).validate(COMPOSE)


def test_secrets_come_from_outside_and_only_to_those_who_need_them() -> None:
    for name in SERVICES:
        for variable, value in env(name).items():
            if variable in SECRETS or ("://" in value and "@" in value):
                assert re.search(r"\$\{[A-Z_]+:[?-]", value), f"{name}: {variable}"
        has = {variable for variable in SECRETS if f"${{{variable}:" in str(SERVICES[name])}
        assert not ("POSTGRES_PASSWORD" in has and has != {"POSTGRES_PASSWORD"}), name
    asked = set(re.findall(r"\$\{([A-Z_]+)", (INFRA / "compose.yaml").read_text()))
    example = (INFRA / "compose.env.example").read_text()
    assert asked == set(re.findall(r"^([A-Z_]+)=", example, flags=re.MULTILINE)) == SECRETS
    assert "/infra/compose.env" in (REPOSITORY / ".gitignore").read_text().splitlines()


def test_prefect_knows_the_names_of_its_settings() -> None:
    known = set(_get_settings_fields(PrefectSettings)) | {f"PREFECT_REDIS_MESSAGING_{name}" for name in
                                                         ("HOST", "PORT", "DB", "PASSWORD", "SSL", "USERNAME", "URL")}
    used = {name for service in SERVICES for name in env(service) if name.startswith("PREFECT_")}
    assert used and used <= known, used - known


def test_the_modules_that_carry_messages_exist() -> None:
    modules = {value for value in env("server").values() if value.startswith("prefect_redis.")}
    assert len(modules) == 3
    for module in modules:
        importlib.import_module(module)


def test_qstar_knows_the_names_of_its_settings_and_workers_beat() -> None:
    given = {name: value for name, value in env("worker").items() if name.startswith("QSTAR__")}
    settings = load_settings(None, given)
    assert settings.store.uri == "s3://qstar" and settings.store.s3.addressing_style == "path"
    assert _CLIENT.items() <= env("worker").items(), "without its heartbeat a run would be taken for dead"


def test_api_and_background_services_are_apart_and_share_everything() -> None:
    assert "--no-services" in SERVICES["server"]["command"]
    assert SERVICES["services"]["command"][1:3] == ["server", "services"]
    assert env("server") == env("services") == env("migrate")
    assert "prefect_redis" in env("server")["PREFECT_MESSAGING_BROKER"], "processes apart need a broker that both reach"


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_what_a_service_waits_for_can_come_true(service: str) -> None:
    for name, needs in SERVICES[service].get("depends_on", {}).items():
        other = SERVICES[name]
        if needs["condition"] == "service_healthy":
            image = other.get("build", {}).get("target") == "server"
            assert "test" in other.get("healthcheck", {}) or image, f"{name} has no health check"
        else:
            assert other.get("restart", "no") in ("no", "on-failure"), f"{name} would be restarted for ever"


def test_only_the_pages_are_published_and_only_to_the_machine() -> None:
    ports = {name: SERVICES[name]["ports"] for name in SERVICES if "ports" in SERVICES[name]}
    assert ports == {"server": ["127.0.0.1:4200:4200"]}


def test_volumes_are_declared() -> None:
    named = {str(volume).split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {name for name in named if not name.startswith(".")} == set(COMPOSE["volumes"])

