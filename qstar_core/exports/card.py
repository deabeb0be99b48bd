"""The card of an export: a head by which `load_dataset(folder)` finds the files, then what a reader must know."""

from __future__ import annotations

import yaml

from qstar_core.exports.base import Format, Made
from qstar_core.exports.kinds import Kind
from qstar_core.records import Manifest
from qstar_core.selection.lengths import LengthGap

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_ROWS = {Kind.CONVERSATIONS: "conversations", Kind.PAIRS: "preference pairs",
         Kind.LABELLED: "completions with a label", Kind.QUESTIONS: "questions with a gold answer",
         Kind.TOKENS: "token sequences"}


def export_card(format_: Format, made: Made, manifest: Manifest, gap: LengthGap | None) -> str:
    total = sum(made.rows.values())
    files = [{"split": split, "path": f"{split}/*-{made.tag}.*"} for split, names in made.files.items() if names]
    head = {
        "pretty_name": f"{made.dataset} {made.version}", "task_categories": ["text-generation"],
        "tags": ["synthetic", "distillation", "qstar", *(["trl"] if format_.name.startswith("trl") else [])],
        "size_categories": [next((name for limit, name in _SIZES if total < limit), "n>1M")],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    alpha, sampling = manifest.settings["alpha"], manifest.settings["sampling"]
    models = "\n".join(f"- {role}: `{_inline(ref.name)}`, SHA-256 `{ref.sha256}`"
                       for role, ref in manifest.models.items())
    splits = ", ".join(f"{count} {split}" for split, count in made.rows.items() if count)
    return f"""---
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True).strip()}
---
# {made.dataset} {made.version} for {format_.about}

{total} {_ROWS[made.kind]} ({splits}), from version `{made.version}` of dataset `{made.dataset}`: samples of
q* ∝ π_θ^(1−α) · π_t^α, the optimal mixture of a student π_θ and a teacher π_t. The student's prompts are here; the
teacher's are in none of the rows.
{_lengths(gap)}
## Models
{models}

## Sampling
- α method `{alpha["method"]}` with α in [{alpha["min"]}, {alpha["max"]}]; temperature {sampling["temperature"]};
  at most {sampling["max_tokens"]} tokens; {sampling["draws"]} draws a prompt; seed {sampling["seed"]}
- source `{_inline(str(manifest.settings["source"]["path"]))}`, round `{manifest.round}`, qstar {manifest.code_version}
- student's prompt template:

{_block(manifest.templates["student"])}

## Funnel
| stage | entered | kept |
|---|---|---|
""" + "".join(f"| {step.stage} | {step.entered} | {step.kept} |\n" for step in manifest.funnel)


def _lengths(gap: LengthGap | None) -> str:
    return "" if gap is None else f"\nLengths of the pairs: {gap.told}.\n"


def _inline(text: str) -> str:
    return text.replace("`", "'").replace("\n", " ")


def _block(text: str) -> str:
    """As an indented block, which no content can end early."""
    return "\n".join(f"      {line}" for line in text.splitlines() or [""])
