"""docs/service.md and deploy/ say what is true of the service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from typer.main import get_command

from agelens.cli import app
from agelens.service.app import create_app
from agelens.service.metrics import Metrics
from agelens.service.settings import PREFIX, Settings

DOCS = (ROOT / "docs" / "service.md").read_text("utf-8")
DEPLOY = ROOT / "deploy"
FILES = sorted(set(DEPLOY.iterdir()) - {DEPLOY / "rayjob.yaml"})  # which is of `agelens batch`
PLURALS = {"cors_origin": "cors_origins", "trusted_proxy": "trusted_proxies"}
CONFIG = "config"  # an option that names a file of settings


def rows(header: str) -> list[list[str]]:
    """The cells of the table whose first line begins so."""
    lines = DOCS[DOCS.index(header) :].splitlines()[2:]
    table = lines[: next(i for i, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def shown(default: Any) -> str:
    if default is None or default == ():
        return ""
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{text}`"


def test_every_setting_is_documented_as_it_is() -> None:
    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    options = {PLURALS.get(one.name, one.name): one.opts[0] for one in command.params}
    assert options.pop(CONFIG) == "--config"
    wanted = [
        [
            f"`{PREFIX}{name.upper()}`",
            f"`{options[name]}`" if name in options else "",
            shown(field.default),
            field.description,
        ]
        for name, field in Settings.model_fields.items()
    ]
    lines = ("".join(f"| {cell} " if cell else "| " for cell in cells) + "|" for cells in wanted)
    table = "\n".join(lines)
    assert table in DOCS, f"the table should be:\n{table}"
    assert set(options) <= set(Settings.model_fields)


def test_every_endpoint_and_status_is_documented() -> None:
    schema = create_app(Settings(jobs=1)).openapi()
    listed = {match[1] for match in re.finditer(r"^\| `(?:GET|POST) (\S+)`", DOCS, re.M)}
    assert listed == {*schema["paths"], "/openapi.json"}
    documented = {row[0] for row in rows("| status |")}
    assert documented == set(schema["paths"]["/v1/estimate"]["post"]["responses"]) - {"200"}


def test_every_metric_is_documented() -> None:
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", Metrics(("light",)).render().decode(), re.M))
    wanted = {
        name for name in types if name.startswith("agelens_") and not name.endswith("_created")
    }
    listed = {name for row in rows("| metric |") for name in re.findall(r"`(agelens_\w+)`", row[0])}
    assert listed == wanted


@pytest.mark.parametrize("path", [ROOT / "docs" / "service.md", *FILES], ids=lambda path: path.name)
def test_only_settings_that_there_are(path: Path) -> None:
    known = {PREFIX + name.upper() for name in (*Settings.model_fields, CONFIG)}
    used = set(re.findall(r"AGELENS_[A-Z_]+", path.read_text("utf-8")))
    assert used
    assert used <= known


def test_what_runs_the_service_is_locked_down_and_stops_gently() -> None:
    (compose,) = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values()
    assert compose["read_only"] is True
    assert compose["cap_drop"] == ["ALL"]
    deployment, service, policy = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["enableServiceLinks"] is False  # else AGELENS_PORT is an address
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        policy["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector == labels
    paths = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")}
    assert paths == {"/healthz", "/readyz"}
    unit = (DEPLOY / "agelens.service").read_text()
    (limit,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.M)
    gentle = Settings.model_fields["stop_timeout"].default
    assert int(limit) > gentle
    assert int(compose["stop_grace_period"].removesuffix("s")) > gentle
    assert pod["terminationGracePeriodSeconds"] > gentle + 5
    inside = {one["name"]: one["value"] for one in container["env"]}
    fixed = dict(re.findall(rf"({PREFIX}\w+)=(\d+)(?= |$)", unit.replace("#", ""), re.M))
    assert inside == compose["environment"] == fixed
    names = {name.removeprefix(PREFIX).lower(): value for name, value in fixed.items()}
    assert Settings(**names).pictures_at_once == 2
