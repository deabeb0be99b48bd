"""Kept samples → the rows of the version: best of n, target shares, replay of earlier versions.

Works on the files that refining left, and writes them again where something changes: what is not chosen moves from the
data to the rejects, and the funnel gets a step for it. With the default settings nothing is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qstar_core.records import FunnelStep, ShareLine
from qstar_core.selection import best, shares
from qstar_core.selection.draws import Draw, order_of, pass_rate
from qstar_core.selection.table import DrawTable
from qstar_core.stages.judged import FILES, fetched, fill
from qstar_core.stages.plan import Plan
from qstar_core.stages.replaying import older_rows
from qstar_core.stages.rewriting import Fates, rewritten
from qstar_core.stages.workspace import Workspace

if TYPE_CHECKING:
    from qstar_core.stages.refine import Staged


def select(workspace: Workspace, plan: Plan, found: Staged) -> Staged:
    settings = workspace.settings
    mixing, wanted = settings.mixing, shares.dimensions(settings.mixing)
    if settings.best_of.method == "all" and not wanted and not mixing.replay.share:
        return found
    with workspace.scratch() as scratch:
        judged = {name: fetched(workspace.store, found.files, name, scratch) for name in FILES}
        with DrawTable(scratch / "draws.sqlite", settings.best_of.score_column) as table:
            fill(table, judged, settings.best_of.score_column, plan.version)
            fates, funnel, lines = _chosen(workspace, table, wanted)
        kept = found.kept - len(fates)
        older = older_rows(workspace, plan, judged, fates, kept, scratch)
        files = rewritten(workspace, plan, judged, fates, older, scratch)
    replayed = Counter(str(row["version"]) for row in older)
    changed = {ref.key: ref for ref in files}
    return found.model_copy(update={
        "files": tuple(changed.get(ref.key, ref) for ref in found.files), "funnel": (*found.funnel, *funnel),
        "kept": kept, "not_chosen": len(fates), "replay": dict(sorted(replayed.items())), "shares": lines})


def _chosen(workspace: Workspace, table: DrawTable, wanted: tuple[shares.Dimension, ...],
            ) -> tuple[Fates, list[FunnelStep], tuple[ShareLine, ...]]:
    """The samples that are dropped after all, the funnel's steps, and what became of the shares."""
    settings = workspace.settings
    fates: Fates = {}
    steps: list[FunnelStep] = []
    entered = sum(draw.kept for draws in table.prompts() for draw in draws)
    if settings.best_of.method != "all":
        for draws in table.prompts():
            stay = {draw.sample_id for draw in best.choose(draws, settings.best_of)}
            fates |= {draw.sample_id: (best.STAGE, best.REASON)
                      for draw in draws if draw.kept and draw.sample_id not in stay}
        steps.append(_step(best.STAGE, best.REASON, entered, len(fates)))
    if not wanted:
        return fates, steps, ()
    entered, counts = entered - len(fates), Counter[shares.Group]()
    grouped: dict[shares.Group, list[tuple[int, str]]] = {}
    for group, draw in _grouped(workspace, table, wanted, fates):
        counts[group] += 1
        grouped.setdefault(group, []).append((order_of(settings.sampling.seed, draw.sample_id), draw.sample_id))
    taken = shares.quotas(counts, wanted, settings.mixing.max_drop)
    over = [name for group, rows in grouped.items() for _, name in sorted(rows)[taken.get(group, 0):]]
    fates |= dict.fromkeys(over, (shares.STAGE, shares.REASON))
    steps.append(_step(shares.STAGE, shares.REASON, entered, len(over)))
    return fates, steps, shares.share_lines(counts, taken, wanted)


def _grouped(workspace: Workspace, table: DrawTable, wanted: tuple[shares.Dimension, ...],
             fates: Fates) -> Iterator[tuple[shares.Group, Draw]]:
    mixing = workspace.settings.mixing
    for draws in table.prompts():
        rate = pass_rate(draws, mixing.min_draws)
        difficulty = ("unknown" if rate is None else "hard" if rate < mixing.hard_below
                      else "easy" if rate >= mixing.easy_from else "medium")
        for draw in draws:
            if draw.kept and draw.sample_id not in fates:
                values = {"kind": draw.kind, "source": draw.source, "difficulty": difficulty}
                yield tuple(dimension.value_of(values[dimension.name]) for dimension in wanted), draw


def _step(stage: str, reason: str, entered: int, dropped: int) -> FunnelStep:
    reasons = {reason: dropped} if dropped else {}
    return FunnelStep(stage=stage, entered=entered, kept=entered - dropped, dropped=reasons)
