"""What was left undone in a dataset, read from the store alone: rounds whose process died or was told to end, versions
that were judged good and not published, and versions that wait for a person. Nothing is changed here.

A round is known to have crashed by its lease, which was not given back and whose holder is dead. Of a holder on another
machine that shows only by its heartbeat: it is observed until it beats, at most for the time of a lease. A process that
was told to end says so when it gives the lease back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from qstar_core.records import GateVerdict, JsonObject, Manifest
from qstar_core.stages.approving import approval_of, needs_approval, staged_names, staged_plan
from qstar_core.stages.changes import last_plan
from qstar_core.stages.judging import gate_report
from qstar_core.stages.plan import Plan
from qstar_core.stages.workspace import Workspace
from qstar_core.store.leases import LEASE_S, Holder, Lease, holder_of, lease, observed
from qstar_core.store.versions import Versions


class Left(StrEnum):
    CRASHED = "crashed or interrupted, and not resumed"
    UNPUBLISHED = "judged and not published"
    WAITING = "waits for a person"
    OVERTAKEN = "not finished, and overtaken by a newer version"


@dataclass(frozen=True, slots=True)
class Undone:
    """`run` is the flow run that left it. `settings` are those it was planned with; None where it was not planned."""

    left: Left
    round: str
    version: str
    run: str
    settings: JsonObject | None


@contextmanager
def round_held(workspace: Workspace, round_name: str, run: str,
               on_wait: Callable[[Holder], None] | None = None) -> Iterator[Lease]:
    """One run works on a round at a time; another one waits, and then finds what is done."""
    name = f"round {round_name} of {workspace.settings.dataset}"
    key = f"{workspace.round_key(round_name)}/lease.json"
    with lease(workspace.store, key, name, run, on_wait=on_wait) as held:
        yield held


def undone(workspace: Workspace, patience_s: float = LEASE_S) -> list[Undone]:
    """In the order of the rounds' names. What a newer version has overtaken is told, and nothing should follow from
    it: finished now, it would become the latest."""
    holders, dead = observed(lambda: _holders(workspace), patience_s)
    newest = _newest(workspace)
    found = [_crashed(workspace, name, holders[name], newest) for name in dead]
    busy = {name for name, holder in holders.items() if not holder.done}
    staged = (left for left in _staged(workspace, newest) if left.round not in busy)
    return sorted([*(left for left in found if left is not None), *staged], key=lambda left: (left.round, left.version))


def _holders(workspace: Workspace) -> dict[str, Holder]:
    prefix = f"{workspace.dataset_key}/rounds/"
    found = {}
    for info in workspace.store.list(prefix):
        name, _, rest = info.key.removeprefix(prefix).partition("/")
        if rest == "lease.json" and (holder := holder_of(workspace.store, info.key)) is not None:
            found[name] = holder
    return found


def _newest(workspace: Workspace) -> Manifest | None:
    versions = Versions(workspace.store, workspace.settings.dataset)
    latest = versions.latest()
    return versions.manifest(latest.version) if latest else None


def _crashed(workspace: Workspace, round_name: str, holder: Holder, newest: Manifest | None) -> Undone | None:
    """None where it died with its work done: the round is published and nothing of it is staged."""
    plan = last_plan(workspace, round_name)
    if plan is None:
        return Undone(_or_overtaken(Left.CRASHED, holder.since, "", newest), round_name, "", holder.run, None)
    if Versions(workspace.store, plan.dataset).exists(plan.version) and not _has_staged(workspace, plan):
        return None
    left = _or_overtaken(Left.CRASHED, plan.created, plan.version, newest)
    return Undone(left, round_name, plan.version, holder.run, plan.settings)


def _staged(workspace: Workspace, newest: Manifest | None) -> Iterator[Undone]:
    """Refused versions are no work left undone: a person reads their report."""
    for version in staged_names(workspace, workspace.settings.dataset):
        plan = staged_plan(workspace, workspace.settings.dataset, version)
        gate = gate_report(workspace, plan)
        if gate.verdict is GateVerdict.FAIL:
            continue
        waits = needs_approval(plan, gate) and approval_of(workspace, plan) is None
        left = Left.WAITING if waits else _or_overtaken(Left.UNPUBLISHED, plan.created, version, newest)
        yield Undone(left, plan.round, version, plan.run_id, plan.settings)


def _or_overtaken(left: Left, begun: str, version: str, newest: Manifest | None) -> Left:
    return Left.OVERTAKEN if newest and newest.version != version and begun < newest.created else left


def _has_staged(workspace: Workspace, plan: Plan) -> bool:
    return next(iter(workspace.store.list(f"{plan.staged_key}/")), None) is not None
