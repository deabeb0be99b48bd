"""`qstar inspect`: what the rows of a source are taken for, and what student and teacher would read."""

from __future__ import annotations

import os

import rich_click as click

from flows.commands.options import SettingsCommand, config_option, given_flags, setting_flags
from flows.console import err, out
from flows.packaged import find_config
from qstar_core.configload import load_settings
from qstar_core.plural import counted
from qstar_core.stages.workspace import Workspace

_LONGEST = 2000


@click.command(cls=SettingsCommand)
@config_option
@click.option("--rows", type=click.IntRange(1), default=100, show_default=True, help="Rows to look at")
@setting_flags()
def inspect(config_path: str | None, rows: int) -> None:
    """What the source's rows are taken for, and one prompt as student and teacher would read it.

    Samples nothing and stores nothing. Of models on a hub only the tokenizers are fetched.
    """
    settings = load_settings(find_config(config_path), os.environ, given_flags())
    with err.status("reading"):
        from qstar_core.stages.inspection import inspect as look
        from qstar_core.stages.inspection import one_line

        found = look(Workspace.open(settings), rows)
    lines = {
        "Source": settings.source.path,
        "Schema": found.schema.name,
        "Columns": ", ".join(found.schema.columns) or "–",
        "Rows": f"{found.prompts + found.rejects.total()} read, {counted(found.prompts, 'prompt')}",
    }
    if found.rejects:
        lines["Rejected"] = "; ".join(f"{count}: {reason}" for reason, count in found.rejects.most_common())
    if found.shown is not None:
        prompt, pair = found.shown
        lines |= {"Prompt": f"{prompt.id}, kind {prompt.kind}", "Gold": prompt.answer or "none",
                  "Student reads": pair.student_text, "Teacher reads": pair.teacher_text}
    for name, value in lines.items():
        out.print(f"{name:<14} {one_line(value, _LONGEST)}", highlight=False, soft_wrap=True, markup=False)
