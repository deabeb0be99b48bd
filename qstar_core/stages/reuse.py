"""What earlier plans of a round finished, as the first row checkpoints of a new one: after a change of `max_tokens`,
`draws`, `context` or the size of shards only what is missing is sampled.

Random numbers belong to a sample and its position, so a sample that ended by itself within the new limit is the one
that would be drawn again, and one that was cut is not. What was recorded of a sample must be what is asked for now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from qstar_core.config import EngineSettings
from qstar_core.engine.protocol import Finished
from qstar_core.records import FinishReason
from qstar_core.stages.parts import Parts
from qstar_core.stages.plan import Plan, PlannedPrompt, load_plan, planned_in
from qstar_core.stages.shardfile import read_samples, read_work
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import sha256_file

_ROWS = ("shards", "parts")


def take_over(workspace: Workspace, plan: Plan, planned: Iterable[tuple[int, PlannedPrompt]]) -> int:
    """How many of the plan's samples are finished from the beginning. `planned` are its prompts, each with its shard.
    Done twice it leaves the same, and so does one that was cut off and done again."""
    files = list(_files(workspace, plan))
    if not files:
        return 0
    wanted = {name: (shard, _limit(plan, prompt)) for shard, prompt in planned for name in prompt.sample_ids}
    count = 0
    with workspace.scratch() as scratch:
        parts: dict[int, Parts] = {}
        path = scratch / "earlier.parquet"
        for key in files:
            workspace.store.download(key, path)
            if not sha256_file(path).startswith(Path(key).stem.partition("-")[2]):
                continue
            found: dict[int, list[Finished]] = defaultdict(list)
            for row in read_samples(path):
                shard, limit = wanted.get(row.sample.id, (0, 0))
                if _the_same(row, limit) and _recorded(row, workspace.settings.engine):
                    del wanted[row.sample.id]
                    found[shard].append(_renewed(row, workspace.settings.sampling.max_tokens))
            tokens, seconds = read_work(path)
            for shard, rows in found.items():
                share = sum(len(row.sample.token_ids) for row in rows) / max(tokens, 1)
                into = parts.setdefault(shard, Parts(workspace.store, plan.parts_key(shard), scratch))
                into.append(rows, seconds * min(share, 1.0))
                count += len(rows)
    return count


def _files(workspace: Workspace, plan: Plan) -> Iterator[str]:
    """Rows that other plans of the round with the same samples left, in shards or in row checkpoints; none where
    another version has the same shards, which then are the plan's own."""
    round_key, store = workspace.round_key(plan.round), workspace.store
    plans = {key.rpartition("/plans/")[0]: key for key in planned_in(store, round_key)}
    if plan.key in plans:
        return
    for folder, key in plans.items():
        if load_plan(store, key).sampling_hash == plan.sampling_hash:
            yield from (info.key for rows in _ROWS for info in store.list(f"{folder}/{rows}/"))


def _limit(plan: Plan, planned: PlannedPrompt) -> int:
    """The most tokens that the plan leaves room for, as the engines count them."""
    room = plan.context - max(len(planned.pair.student_ids), len(planned.pair.teacher_ids))
    most: int = plan.settings["sampling"]["max_tokens"]
    return min(most, room)


def _the_same(row: Finished, limit: int) -> bool:
    """Whether it would end where it ended."""
    length = len(row.sample.token_ids)
    if row.sample.finish_reason is FinishReason.STOP:
        return length <= limit
    return row.sample.finish_reason is FinishReason.LENGTH and length == limit


def _recorded(row: Finished, engine: EngineSettings) -> bool:
    if row.trace is None or not engine.diagnostics:
        return row.trace is None and not engine.diagnostics
    top = 0 if row.trace.top_token is None else row.trace.top_token.shape[1]
    return top == engine.top_logprobs


def _renewed(row: Finished, max_tokens: int) -> Finished:
    return Finished(row.sample.model_copy(update={"max_tokens": max_tokens}), row.trace)
