"""The dataset card: a YAML head that makes `load_dataset(folder)` find the files, then what a reader must know."""

from __future__ import annotations

import json

import yaml

from qstar_core.config import Settings
from qstar_core.records import FunnelStep, GateReport, JsonObject
from qstar_core.stages.plan import Plan
from qstar_core.stages.refine import Staged

# Rows of another shape than the data, so a configuration of their own: nobody evaluates a loss on them by mistake.
_VALIDATION = "validation/validation.parquet"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def dataset_card(plan: Plan, found: Staged, gate: GateReport) -> str:
    alpha, sampling = plan.settings["alpha"], plan.settings["sampling"]
    held_out = next((ref.rows for ref in found.files if ref.key.endswith(f"/{_VALIDATION}")), None)
    head = {
        "pretty_name": f"{plan.dataset} {plan.version}",
        "task_categories": ["text-generation"],
        "tags": ["synthetic", "distillation", "qstar"],
        "size_categories": [next((name for limit, name in _SIZES if _rows(found) < limit), "n>1M")],
        "configs": [
            {"config_name": "default", "default": True, "data_files": _files("train", "data/data.parquet")},
            {"config_name": "diagnostics", "data_files": _files("train", "diagnostics/diagnostics.parquet")},
            *([{"config_name": "validation", "data_files": _files("validation", _VALIDATION)}] if held_out else []),
        ],
    }
    models = "\n".join(f"- {role}: `{_inline(ref.name)}`, SHA-256 `{ref.sha256}`" for role, ref in plan.models.items())
    return f"""---
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True).strip()}
---
# {plan.dataset} {plan.version}

{found.kept} samples drawn from q* ∝ π_θ^(1−α) · π_t^α, the optimal mixture of a student π_θ and a teacher π_t, kept of
{found.samples} by the filters below. Gate: **{gate.verdict.value}**. `report.html` tells the samples token by token.

## Models
{models}

## Sampling
- α method `{alpha["method"]}` with α in [{alpha["min"]}, {alpha["max"]}]; temperature {sampling["temperature"]};
  {_unusual(plan)}at most {sampling["max_tokens"]} tokens; {sampling["draws"]} draws a prompt; seed {sampling["seed"]}
- source `{_inline(plan.settings["source"]["path"])}`, round `{plan.round}`
- student's prompt template:

{_block(plan.settings["prompts"]["student"])}

- teacher's prompt template (what it renders to is in none of the data files; report.html shows it):

{_block(plan.settings["prompts"]["teacher"])}

## Funnel
{_funnel(found.funnel)}
{_mixing(found)}{_held_out(held_out)}"""


def _rows(found: Staged) -> int:
    return found.kept + sum(found.replay.values())


def _unusual(plan: Plan) -> str:
    """The settings of the mixture that are not at their defaults, as they are written in a settings file."""
    usual, found = _mixture(Settings().model_dump(mode="json")), _mixture(plan.settings)
    changed = {name: value for name, value in found.items() if value != usual[name]}
    return "".join(f"{name} `{_inline(json.dumps(value))}`; " for name, value in changed.items())


def _mixture(settings: JsonObject) -> JsonObject:
    alpha = {f"alpha.{name}": settings["alpha"][name]
             for name in ("policy", "teacher_first_token", "teacher_special_tokens")}
    return alpha | {"sampling.sharpen": settings["sampling"]["sharpen"], "support": settings["support"]}


def _files(split: str, path: str) -> list[dict[str, str]]:
    return [{"split": split, "path": path}]


def _funnel(steps: tuple[FunnelStep, ...]) -> str:
    lines = ["| stage | entered | kept | dropped |", "|---|---|---|---|"]
    for step in steps:
        dropped = "; ".join(f"{_cell(reason)}: {count}" for reason, count in step.dropped.items()) or "–"
        if step.logged:
            dropped += "; only logged: " + "; ".join(f"{_cell(reason)}: {n}" for reason, n in step.logged.items())
        lines.append(f"| {step.stage} | {step.entered} | {step.kept} | {dropped} |")
    return "\n".join(lines)


def _mixing(found: Staged) -> str:
    """What came from earlier versions, and what became of the target shares; nothing where neither was asked for."""
    text = ""
    if found.replay:
        versions = ", ".join(f"{count} of `{name}`" for name, count in found.replay.items())
        text += f"\n## Replay\n{sum(found.replay.values())} more rows come from earlier versions: {versions}.\n"
    if found.shares:
        lines = "\n".join(f"| {line.by} | {_cell(line.value)} | {line.wanted:.1%} | {line.share:.1%} | {line.taken} | "
                          f"{line.available} |" for line in found.shares)
        head = "| by | value | wanted | reached | rows | available |\n|---|---|---|---|---|---|"
        text += f"\n## Shares\n{head}\n{lines}\n"
    return text


def _held_out(count: int | None) -> str:
    return "" if not count else (
        f"\n## Validation\n{count} prompts of this round were held out and never sampled: the configuration "
        "`validation` has their conversations and gold answers, without completions.\n")


def _inline(text: str) -> str:
    return text.replace("`", "'").replace("\n", " ")


def _cell(text: str) -> str:
    return _inline(text).replace("|", "\\|").replace("<", "&lt;")


def _block(text: str) -> str:
    """As an indented block, which no content can end early."""
    return "\n".join(f"      {line}" for line in text.splitlines() or [""])
