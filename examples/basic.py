"""Five minutes with the core: one small round, stage by stage, without Prefect.

    python examples/basic.py

Everything lands in `.qstar/` below the working directory. The two small models are trained on first use.
"""

from rich.console import Console
from rich.table import Table

from flows.packaged import find_config
from qstar_core.configload import load_settings
from qstar_core.models import resolve_models
from qstar_core.stages.engines import engine_for
from qstar_core.stages.generate import generate_shard
from qstar_core.stages.ingest import ingest
from qstar_core.stages.judging import judge_round
from qstar_core.stages.plan import load_plan
from qstar_core.stages.planning import plan_round
from qstar_core.stages.publishing import publish
from qstar_core.stages.refine import finished_samples, refine
from qstar_core.stages.reporting import write_report
from qstar_core.stages.workspace import Workspace

SHOWN = 8


def main() -> None:
    settings = load_settings(find_config("tiny"), flags={"dataset": "basic", "round.prompts": 32})
    workspace = Workspace.open(settings)

    models = resolve_models(settings, workspace.store)      # two checkpoints on this machine, and their hashes
    prompts = ingest(workspace, "1")                        # the prompts of round 1
    plan = load_plan(workspace.store, plan_round(workspace, prompts, models, run_id="basic"))
    for shard in plan.shards:                               # sample from q*; a finished shard is not sampled again
        generate_shard(workspace, plan, shard.index, lambda: engine_for(settings, plan.models, plan.context))
    found = refine(workspace, plan)                         # the filters: every sample kept, dropped or failed
    gate = judge_round(workspace, plan)                     # do the statistics allow it to be published?
    write_report(workspace, plan)
    show(workspace, plan)
    print(f"{found.kept} of {found.samples} samples kept, gate {gate.verdict.value}")
    version = publish(workspace, plan)                      # raises GateFailedError where the gate said no
    print(f"published {version.dataset} {version.version}: {version.uri}/report.html")


def show(workspace: Workspace, plan) -> None:
    table = Table("question", "completion", "α", "KL(q‖θ)", "KL(q‖t)", "ESS ratio", box=None, title="Some samples")
    with workspace.scratch() as scratch:
        for index, planned, finished in finished_samples(workspace, plan, scratch):
            mix = finished.sample.summary
            if index < SHOWN and mix is not None:
                ratio = "–" if mix.ess_ratio_mean is None else f"{mix.ess_ratio_mean:.2f}"
                table.add_row(planned.prompt.question, finished.sample.completion, f"{mix.alpha_mean:.2f}",
                              f"{mix.kl_theta_mean:.4f}", f"{mix.kl_t_mean:.4f}", ratio)
    Console().print(table)


if __name__ == "__main__":
    main()
