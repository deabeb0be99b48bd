"""One real version, sampled from the two small models, that all exports are made from. Tests only read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.packaged import find_config
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.exports.kinds import Kind
from qstar_core.exports.registry import FORMATS
from qstar_core.models import resolve_models
from qstar_core.records import Manifest
from qstar_core.stages.engines import engine_for
from qstar_core.stages.exporting import Exported, export
from qstar_core.stages.generate import generate_shard
from qstar_core.stages.ingest import ingest
from qstar_core.stages.judging import judge_round
from qstar_core.stages.lines import load_lines
from qstar_core.stages.plan import Plan, PlannedPrompt, load_plan
from qstar_core.stages.planning import plan_round
from qstar_core.stages.publishing import publish
from qstar_core.stages.refine import refine
from qstar_core.stages.reporting import write_report
from qstar_core.stages.workspace import Workspace
from qstar_core.store.versions import Versions


@dataclass(frozen=True)
class Version:
    workspace: Workspace
    manifest: Manifest
    plan: Plan

    @property
    def planned(self) -> list[PlannedPrompt]:
        return [line for shard in self.plan.shards
                for line in load_lines(self.workspace.store, shard.jobs, PlannedPrompt)]

    @property
    def student(self) -> str:
        return self.plan.models["student"].path

    def export(self, name: str, out: Path, kind: Kind | None = None, *, overwrite: bool = False,
               manifest: Manifest | None = None, **settings: Any) -> Exported:
        workspace = self.workspace
        if settings:
            found = Settings().model_dump() | {"export": settings}
            workspace = Workspace(Settings.model_validate(found), workspace.store)
        return export(workspace, workspace.store, manifest or self.manifest, FORMATS[name],
                      kind or FORMATS[name].kinds[0], out, overwrite=overwrite)


def publish_round(flags: dict[str, Any], round_name: str = "1") -> Version:
    settings = load_settings(find_config("tiny"), flags=flags)
    workspace = Workspace.open(settings)
    models = resolve_models(settings, workspace.store)
    plan = load_plan(workspace.store, plan_round(workspace, ingest(workspace, round_name), models, run_id="run"))
    for shard in plan.shards:
        generate_shard(workspace, plan, shard.index, lambda: engine_for(settings, plan.models, plan.context))
    refine(workspace, plan)
    judge_round(workspace, plan)
    write_report(workspace, plan)
    version = publish(workspace, plan)
    return Version(workspace, Versions(workspace.store, plan.dataset).manifest(version.version), plan)


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Iterator[Version]:
    home = tmp_path_factory.mktemp("exports")
    before = dict(os.environ)
    os.environ.update({"QSTAR_HOME": str(home), "QSTAR_MODEL_CACHE": str(model_cache)})
    try:
        yield publish_round({"round.prompts": 24, "sampling.draws": 4})
    finally:
        os.environ.clear()
        os.environ.update(before)
