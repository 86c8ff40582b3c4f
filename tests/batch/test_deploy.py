"""The job for a cluster says what the command knows."""

from __future__ import annotations

import shlex

import yaml
from conftest import ROOT
from typer.main import get_command

from agelens.cli import app


def test_the_job_runs_a_command_that_exists_and_goes_on() -> None:
    job = yaml.safe_load((ROOT / "deploy" / "rayjob.yaml").read_text("utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    program, name, *words = shlex.split(job["spec"]["entrypoint"])
    assert (program, name) == ("agelens", "batch")
    command = get_command(app).commands["batch"]  # type: ignore[attr-defined]
    context = command.make_context("batch", words)
    assert context.params["resume"]
    assert context.params["engine"] == "ray"
    assert context.params["output"] == "s3://bucket/ages"
