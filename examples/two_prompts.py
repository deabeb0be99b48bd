"""Two prompts for one question: what the student reads, what the teacher reads, and one sample token by token.

    python examples/two_prompts.py

The teacher is shown running totals that the student never sees. Look at α and at how much the models differ (tv).
"""

import math
from pathlib import Path

from rich.console import Console
from rich.table import Table

from qstar_core.configload import load_settings
from qstar_core.engine.hf import shared_context
from qstar_core.engine.protocol import Job
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.mixture.alpha import AlphaStatus
from qstar_core.models import resolve_models
from qstar_core.prompts import PromptRenderer
from qstar_core.sources.reading import read_source
from qstar_core.stages.engines import engine_for
from qstar_core.stages.workspace import Workspace

FLAGS = {
    "prompts.student": "{{ question }}",
    "prompts.teacher": "{{ question }} ref {{ meta.reference }} steps",
    "engine.batch_size": 1,
    "engine.context": 160,
    "engine.device": "cpu",
}
ROW = 4  # of builtin:problems: a story of four steps, longer than the student is used to


def main() -> None:
    settings = load_settings(flags=FLAGS)
    models = resolve_models(settings, Workspace.open(settings).store)
    paths = {role: Path(ref.path) for role, ref in models.items()}
    student, teacher = (ChatTokenizer(models[role].name, paths[role]) for role in ("student", "teacher"))
    context = shared_context(settings.engine, paths["student"], paths["teacher"])

    prompt = [read.prompt for read, _ in zip(read_source(settings.source), range(ROW + 1), strict=False)][ROW]
    pair = PromptRenderer(settings.prompts, student, teacher, context).render(prompt)
    print(f"student reads: {pair.student_text}\nteacher reads: {pair.teacher_text}\ngold answer:   {prompt.answer}\n")

    job = Job(sample_id="example", pair=pair, draw=0)
    finished = next(iter(engine_for(settings, models, context).generate([job])))
    trace = finished.trace
    table = Table("token", "α", "p student", "p teacher", "p q*", "KL(q‖θ)", "KL(q‖t)", "tv", "status", box=None)
    for i, text in enumerate(student.pieces(finished.sample.token_ids)):
        probabilities = (f"{math.exp(column[i]):.3f}" for column in (trace.logp_theta, trace.logp_t, trace.logq))
        table.add_row(text, f"{trace.alpha[i]:.3f}", *probabilities, f"{trace.kl_theta[i]:.4f}",
                      f"{trace.kl_t[i]:.4f}", f"{trace.tv[i]:.3f}", AlphaStatus(trace.status[i]).name)
    Console().print(table)
    print(f"\n{finished.sample.completion}")


if __name__ == "__main__":
    main()
