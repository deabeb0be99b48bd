"""`qstar plan`: what a round would be, before anything of it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import rich_click as click

from flows.commands.options import SettingsCommand, config_option, given_flags, setting_flags
from flows.console import err, out
from flows.packaged import find_config
from qstar_core.configload import load_settings
from qstar_core.plural import counted
from qstar_core.stages.workspace import Workspace, check_round_name, today

if TYPE_CHECKING:
    from qstar_core.stages.outlook import Outlook

_LONGEST = 300


@click.command(cls=SettingsCommand)
@config_option
@click.option("--round", "round_name", default=None, help="Name of the round [default: today's date]")
@setting_flags()
def plan(config_path: str | None, round_name: str | None) -> None:
    """What a round would be, before anything runs: what is done, what is to do, about how many tokens, how long.

    Samples nothing and stores nothing; models that are not on this machine yet are fetched, or made. Estimates are
    means of the dataset's last rounds; that of the cost needs operations.price_per_hour.
    """
    settings = load_settings(find_config(config_path), os.environ, given_flags())
    name = today(settings.operations.time_zone) if round_name is None else round_name
    check_round_name(name)
    with err.status("planning"):
        from qstar_core.models import resolve_models
        from qstar_core.stages.outlook import outlook
        from qstar_core.stages.planning import check_settings

        check_settings(settings)
        workspace = Workspace.open(settings)
        found = outlook(workspace, name, resolve_models(settings, workspace.store))
    for label, told in _lines(found):
        out.print(f"{label:<10} {told}", highlight=False, soft_wrap=True, markup=False)


def _lines(found: Outlook) -> Iterator[tuple[str, str]]:
    from qstar_core.stages.inspection import one_line

    plan = found.plan
    yield "Round", f"{plan.round} of dataset {plan.dataset}"
    yield "Version", f"{plan.version}, {_state(found)}"
    for place, change in enumerate(found.changes):
        yield "Changed" if place == 0 else "", one_line(change.told, _LONGEST)
    rendered = plan.funnel[-1]
    dropped = rendered.entered - rendered.kept
    yield "Prompts", f"{rendered.kept:,}" + (f", {dropped:,} cannot be rendered" if dropped else "")
    if found.too_few is not None:
        yield "", f"the source has no more to give; round.prompts asks for {found.too_few:,}"
    if plan.answers_read:
        yield "", f"the student reads the gold answer in {plan.answers_read:,} of them"
    yield "Samples", f"{plan.samples:,} in {counted(len(plan.shards), 'shard')}"
    taken = f", {plan.taken_over:,} of them by an earlier plan of the round" if plan.taken_over else ""
    yield "Done", f"{found.done:,}, {counted(found.shards_done, 'whole shard')}{taken}"
    yield "To do", f"{found.left:,}"
    if found.left:
        yield from _estimates(found)


def _state(found: Outlook) -> str:
    if found.published:
        return "published already"
    if found.planned:
        return "planned before: a run goes on with it"
    return "a new plan" if found.changes else "not planned yet"


def _estimates(found: Outlook) -> Iterator[tuple[str, str]]:
    most = f"at most {found.most_tokens:,} by sampling.max_tokens"
    if found.cramped:
        most += f" and the context of {found.plan.context:,}, which leaves {counted(found.cramped, 'sample')} less room"
    if found.rate is None or found.tokens is None or found.seconds is None:
        yield "Tokens", f"{most}; no earlier round of the dataset tells how many"
        yield "Time", "not known before a round of the dataset was published"
        return
    rate = found.rate
    yield "Tokens", (f"about {found.tokens:,} ({rate.tokens_a_sample:,.0f} a sample in the last "
                     f"{counted(rate.rounds, 'round')}), {most}")
    engines = f" by {found.engines} engines" if found.engines > 1 else ""
    yield "Time", (f"about {timedelta(seconds=max(1, round(found.seconds)))} of sampling{engines}, at "
                   f"{60 * rate.samples_a_second:,.0f} samples/min each")
    yield "Cost", ("not told: operations.price_per_hour is not set" if found.cost is None else
                   f"about {found.cost:,.2f} at {found.price_per_hour:,.2f} an hour")
