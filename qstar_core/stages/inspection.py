"""What a source would be taken for: its schema, what becomes of its first rows, and the first prompt as both models
would read it. Nothing is stored, and no weights are fetched.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from qstar_core.engine.hf import shared_context
from qstar_core.engine.tokenizer import ChatTokenizer, check_same_vocabulary
from qstar_core.errors import DataError, RowError
from qstar_core.models import tokenizer_folders
from qstar_core.plural import counted
from qstar_core.prompts import PromptRenderer, check_templates, encoding_fix
from qstar_core.records import Prompt, PromptPair
from qstar_core.sources.reading import Schema, read_source
from qstar_core.stages.workspace import Workspace


@dataclass
class Inspection:
    """`shown` is the first prompt that can be rendered."""

    schema: Schema = field(default_factory=lambda: Schema("built in", ()))
    prompts: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    shown: tuple[Prompt, PromptPair] | None = None


def inspect(workspace: Workspace, rows: int) -> Inspection:
    """Of the first `rows` rows. DataError where none of them can be used."""
    settings, found = workspace.settings, Inspection()
    check_templates(settings.prompts)

    def note(schema: Schema) -> None:
        found.schema = schema

    renderer: PromptRenderer | None = None
    for read in itertools.islice(read_source(settings.source, note), rows):
        if read.prompt is None:
            found.rejects[read.reject.reason if read.reject else ""] += 1
            continue
        renderer = renderer or _renderer(workspace)
        try:
            pair = renderer.render(read.prompt)
        except RowError as fault:
            found.rejects[str(fault)] += 1
            continue
        found.prompts += 1
        found.shown = found.shown or (read.prompt, pair)
    if found.shown is None:
        reasons = "; ".join(f"{counted(count, 'row')}: {reason}" for reason, count in found.rejects.most_common())
        raise DataError(f"{settings.source.path}, taken for {found.schema.name}, holds no usable prompt "
                        f"({reasons or 'no rows'})",
                        encoding_fix(found.rejects, (settings.student.model, settings.teacher.model))
                        or "check the file, --schema and the column settings")
    return found


def one_line(text: str, longest: int) -> str:
    """Text of a dataset for a terminal: nothing in it can move the cursor, change colours or turn the line around."""
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in " ".join(text.split()))
    return shown if len(shown) <= longest else f"{shown[: longest // 2]} … {shown[-longest // 2 :]}"


def _renderer(workspace: Workspace) -> PromptRenderer:
    settings = workspace.settings
    folders: dict[str, Path] = tokenizer_folders(settings, workspace.store)
    student, teacher = (ChatTokenizer(name, folders[role]) for role, name in
                        (("student", settings.student.model), ("teacher", settings.teacher.model)))
    check_same_vocabulary(student, teacher)
    context = shared_context(settings.engine, folders["student"], folders["teacher"])
    return PromptRenderer(settings.prompts, student, teacher, context)
