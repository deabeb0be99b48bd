"""What a round would be, before anything of it runs: what is done, what is to do, and about what that takes.

The round is planned as a run would plan it, on a draft of the store, so the two cannot differ; nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass

from qstar_core.records import ModelRef
from qstar_core.stages.changes import Change, changes, last_plan
from qstar_core.stages.generate import ledger_entry
from qstar_core.stages.ingest import ingest
from qstar_core.stages.lines import load_lines
from qstar_core.stages.parts import Parts
from qstar_core.stages.plan import Plan, PlannedPrompt, load_plan
from qstar_core.stages.planning import plan_round
from qstar_core.stages.workspace import Workspace
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.draft import DraftStore
from qstar_core.store.versions import Versions

_ROUNDS = 5
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Of one engine, a mean over so many earlier rounds of the dataset."""

    tokens_a_sample: float
    samples_a_second: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """`planned` where the round was planned so before, `published` where its version is. `done` samples of `plan` are
    finished, in whole shards or in row checkpoints. Those that are left get at most `most_tokens`: the context leaves
    `cramped` of them less than sampling.max_tokens. `engines` work side by side."""

    plan: Plan
    planned: bool
    published: bool
    changes: tuple[Change, ...]
    shards_done: int
    done: int
    most_tokens: int
    cramped: int
    rate: Rate | None
    engines: int
    price_per_hour: float | None

    @property
    def left(self) -> int:
        return self.plan.samples - self.done

    @property
    def too_few(self) -> int | None:
        """The prompts that were asked for, where the source has fewer to give."""
        asked: int = self.plan.settings["round"]["prompts"]
        return asked if self.plan.funnel[0].kept < asked else None

    @property
    def tokens(self) -> int | None:
        """About so many; None where no earlier round tells."""
        if self.rate is None:
            return None
        return min(round(self.left * self.rate.tokens_a_sample), self.most_tokens)

    @property
    def seconds(self) -> float | None:
        """Of sampling alone, from now to its end."""
        return None if self.rate is None else self.left / self.rate.samples_a_second / self.engines

    @property
    def cost(self) -> float | None:
        """Of every engine's time."""
        if self.seconds is None or self.price_per_hour is None:
            return None
        return self.seconds * self.engines / _HOUR * self.price_per_hour


def outlook(workspace: Workspace, round_name: str, models: dict[str, ModelRef]) -> Outlook:
    settings = workspace.settings
    with workspace.scratch() as scratch:
        draft = Workspace(settings, DraftStore(workspace.store, DirectoryStore(scratch / "draft")))
        before = last_plan(workspace, round_name)
        plan = load_plan(draft.store, plan_round(draft, ingest(draft, round_name), models, ""))
        rooms = [_rooms(draft, plan, shard.index) for shard in plan.shards]
    most: int = plan.settings["sampling"]["max_tokens"]
    left = [min(most, room) for rooms_of in rooms for room in rooms_of]
    return Outlook(
        plan=plan, planned=workspace.store.head(f"{plan.plan_key}/plan.json") is not None,
        published=Versions(workspace.store, plan.dataset).exists(plan.version),
        changes=() if before is None else changes(before, settings, models),
        shards_done=sum(not rooms_of for rooms_of in rooms), done=plan.samples - len(left), most_tokens=sum(left),
        cramped=sum(tokens < most for tokens in left), rate=rate(workspace), engines=_engines(workspace),
        price_per_hour=settings.operations.price_per_hour)


def rate(workspace: Workspace) -> Rate | None:
    """Of the newest rounds that measured their speed; None where there is none."""
    versions = Versions(workspace.store, workspace.settings.dataset)
    latest = versions.latest()
    names = [] if latest is None else [name for name in {*latest.history[-_ROUNDS:]} if versions.exists(name)]
    speeds = [manifest.speed for manifest in map(versions.manifest, names) if manifest.speed]
    if not speeds:
        return None
    samples = [speed["samples_per_minute"] / 60 for speed in speeds]
    tokens = [speed["tokens_per_second"] / each for speed, each in zip(speeds, samples, strict=True)]
    return Rate(sum(tokens) / len(tokens), len(samples) / sum(1 / each for each in samples), len(speeds))


def _rooms(workspace: Workspace, plan: Plan, shard: int) -> list[int]:
    """For each sample of the shard that is left to do, the tokens that its prompts leave of the context."""
    if ledger_entry(workspace.store, plan, shard) is not None:
        return []
    with workspace.scratch() as scratch:
        kept = {row.sample.id for row in Parts(workspace.store, plan.parts_key(shard), scratch).read()}
    jobs = load_lines(workspace.store, plan.shards[shard].jobs, PlannedPrompt)
    return [max(0, plan.context - max(len(line.pair.student_ids), len(line.pair.teacher_ids)))
            for line in jobs for name in line.sample_ids if name not in kept]


def _engines(workspace: Workspace) -> int:
    operations = workspace.settings.operations
    return operations.ray_workers or 1 if operations.runner == "ray" else 1

