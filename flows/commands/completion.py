"""`qstar completion`: the shell script that completes commands and flags."""

from __future__ import annotations

import rich_click as click
from click.shell_completion import get_completion_class

from flows.console import out


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script, e.g. `eval "$(qstar completion bash)"`."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    root = context.find_root().command
    out.print(kind(root, {}, "qstar", "_QSTAR_COMPLETE").source(), highlight=False, markup=False, soft_wrap=True)
