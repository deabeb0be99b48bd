"""The prompts of a round → its shards: every prompt rendered, every sample named, everything that decides the samples
hashed. A plan that exists is returned as it is, so a rerun works on what was planned first; a new one begins with what
earlier plans of the round have finished of it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from qstar_core.config import Settings
from qstar_core.engine.hf import shared_context
from qstar_core.engine.stops import StopStrings
from qstar_core.engine.tokenizer import ChatTokenizer, check_same_vocabulary
from qstar_core.errors import ConfigError, ConflictError, DataError, RowError
from qstar_core.gate.judge import check_names
from qstar_core.mixture.alpha import AlphaOptions, method_of
from qstar_core.mixture.policies.chain import policies_of
from qstar_core.plural import counted
from qstar_core.prompts import PromptRenderer, check_templates, encoding_fix, holds, sample_id
from qstar_core.records import (
    SCHEMA_VERSION,
    FunnelStep,
    ModelRef,
    Prompt,
    PromptPair,
    RowReject,
    content_hash,
)
from qstar_core.sources.reading import check_source
from qstar_core.stages.filtering import check_filters
from qstar_core.stages.lines import load_lines, load_record, store_lines
from qstar_core.stages.naming import judged_by, planned_by, sampling_hash
from qstar_core.stages.plan import Ingest, Plan, PlannedPrompt, ShardPlan
from qstar_core.stages.reuse import take_over
from qstar_core.stages.workspace import Workspace


def check_settings(settings: Settings) -> None:
    """What only the rooms themselves can judge, asked before anything runs."""
    check_sampling(settings)
    check_filters(settings)
    _check_choice(settings)
    check_source(settings.source)
    check_names(settings.gate)


def _check_choice(settings: Settings) -> None:
    """Best of n must have what it ranks by."""
    wanted, names = settings.best_of, {step.name for step in settings.filters}
    if wanted.method == "reward" and wanted.score_column == "score" and not names & {"reward", "judge"}:
        raise ConfigError("best_of.method = reward, and no filter scores", "list the filter reward or judge")
    if wanted.method in ("likelihood", "teacher_likelihood") and not settings.engine.diagnostics:
        raise ConfigError(f"best_of.method = {wanted.method} needs log-probabilities", "set engine.diagnostics to true")


def check_sampling(settings: Settings) -> None:
    """The part of it that any sample needs."""
    method_of(AlphaOptions(method=settings.alpha.method))
    policies_of(settings.alpha, frozenset())
    check_templates(settings.prompts)


def renderer_for(settings: Settings, models: dict[str, ModelRef]) -> tuple[PromptRenderer, ChatTokenizer, int]:
    """The renderer of both prompts, the student's tokenizer, and the context that both models share."""
    student, teacher = (ChatTokenizer(models[role].name, Path(models[role].path)) for role in ("student", "teacher"))
    check_same_vocabulary(student, teacher)
    StopStrings(settings.sampling.stop, student)
    context = shared_context(settings.engine, Path(models["student"].path), Path(models["teacher"].path))
    return PromptRenderer(settings.prompts, student, teacher, context), student, context


def plan_round(workspace: Workspace, ingest_key: str, models: dict[str, ModelRef], run_id: str) -> str:
    """The key of the plan."""
    check_settings(workspace.settings)
    store, settings = workspace.store, workspace.settings
    ingest = load_record(store, ingest_key, Ingest)
    renderer, _, context = renderer_for(settings, models)
    samples_hash = sampling_hash(settings, models)
    plan_hash = content_hash([samples_hash, ingest.prompts.sha256, ingest.first_draw, context, *planned_by(settings)])
    key = f"{workspace.round_key(ingest.round)}/{plan_hash[:12]}"
    config_hash = content_hash([plan_hash, SCHEMA_VERSION, *judged_by(settings),
                                *([ingest.validation.sha256] if ingest.validation else [])])
    version = f"{ingest.round}-{config_hash[:8]}"
    plan_key = f"{key}/plans/{version}"
    if store.head(f"{plan_key}/plan.json") is not None:
        return plan_key
    pairs, rejects = _render(renderer, load_lines(store, ingest.prompts, Prompt), models)
    planned = _dealt(settings, samples_hash, ingest.first_draw, pairs)
    shards = _shards(workspace, key, planned)
    plan = Plan(
        key=key, dataset=settings.dataset, round=ingest.round, version=version, sampling_hash=samples_hash,
        config_hash=config_hash, settings=settings.model_dump(mode="json"), models=models, context=context,
        samples=sum(shard.samples for shard in shards), shards=shards,
        rejects=(ingest.rejects, store_lines(store, f"{key}/rejects.jsonl", rejects)), validation=ingest.validation,
        funnel=(ingest.funnel, FunnelStep(stage="render", entered=len(pairs) + len(rejects), kept=len(pairs),
                                          dropped=dict(sorted(Counter(r.reason for r in rejects).items())))),
        run_id=run_id, created=datetime.now(UTC).isoformat(timespec="seconds"),
        answers_read=sum(_answer_read(prompt, pair) for prompt, pair in pairs),
    )
    taken = take_over(workspace, plan, ((shard, line) for shard, lines in enumerate(planned) for line in lines))
    plan = plan.model_copy(update={"taken_over": taken})
    with contextlib.suppress(ConflictError):  # another run planned the same at the same time; its plan stands
        store.write(f"{plan_key}/plan.json", plan.model_dump_json().encode(), if_absent=True)
    return plan_key


def _render(renderer: PromptRenderer, prompts: list[Prompt],
            models: dict[str, ModelRef]) -> tuple[list[tuple[Prompt, PromptPair]], list[RowReject]]:
    pairs: list[tuple[Prompt, PromptPair]] = []
    rejects: list[RowReject] = []
    for prompt in prompts:
        try:
            pairs.append((prompt, renderer.render(prompt)))
        except RowError as fault:
            rejects.append(RowReject(source=prompt.source, reason=str(fault), text=prompt.question[:300]))
    if not pairs:
        raise DataError(f"none of {counted(len(prompts), 'prompt')} can be used ({rejects[0].reason})",
                        encoding_fix([reject.reason for reject in rejects], [ref.name for ref in models.values()])
                        or "check prompts.student, prompts.teacher and engine.context")
    return pairs, rejects


def _answer_read(prompt: Prompt, pair: PromptPair) -> bool:
    """Choices and code are meant to be read."""
    return (prompt.answer is not None and prompt.kind not in ("multiple_choice", "code")
            and any(holds(turn.content, prompt.answer) for turn in pair.student_messages))


def _dealt(settings: Settings, samples_hash: str, first_draw: int,
           pairs: list[tuple[Prompt, PromptPair]]) -> list[list[PlannedPrompt]]:
    """Whole prompts to a shard; every draw of a prompt in the same one."""
    draws = settings.sampling.draws
    size = max(1, settings.round.shard_size // draws)
    planned = [
        PlannedPrompt(
            prompt=prompt, pair=pair, first_sample=index * draws, first_draw=first_draw,
            sample_ids=tuple(sample_id(samples_hash, pair, first_draw + draw) for draw in range(draws)),
        )
        for index, (prompt, pair) in enumerate(pairs)
    ]
    return [planned[start : start + size] for start in range(0, len(planned), size)]


def _shards(workspace: Workspace, key: str, planned: list[list[PlannedPrompt]]) -> tuple[ShardPlan, ...]:
    return tuple(
        ShardPlan(index=index, first_sample=lines[0].first_sample, samples=sum(len(line.sample_ids) for line in lines),
                  jobs=store_lines(workspace.store, f"{key}/jobs/{index:05d}.jsonl", lines))
        for index, lines in enumerate(planned)
    )
