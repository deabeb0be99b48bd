"""Two prompts for one question: what the student reads, what the teacher reads, and one sample token by token.

    python examples/two_prompts.py

The teacher is shown running totals that the student never sees. Look at α and at how much the models differ (tv).
"""

import itertools
import math

from rich.console import Console
from rich.table import Table

from qstar_core import Mixture, generate
from qstar_core.mixture.alpha import AlphaStatus
from qstar_core.tiny.problems import problems

ROW = 4  # of builtin:problems: a story of four steps, longer than the student is used to


def main() -> None:
    mixture = Mixture(
        prompts={"student": "{{ question }}", "teacher": "{{ question }} ref {{ meta.reference }} steps"},
        engine={"batch_size": 1, "context": 160, "device": "cpu"},
    )
    prompt = next(itertools.islice(problems(seed=0, count=ROW + 1), ROW, None))
    one = next(generate(mixture, prompt, draws=1, traces=True))
    print(f"student reads: {one.pair.student_text}\nteacher reads: {one.pair.teacher_text}\n"
          f"gold answer:   {prompt.answer}\n")

    trace = one.trace
    table = Table("token", "α", "p student", "p teacher", "p q*", "KL(q‖θ)", "KL(q‖t)", "tv", "status", box=None)
    for i, text in enumerate(mixture.tokenizer.pieces(one.token_ids)):
        probabilities = (f"{math.exp(column[i]):.3f}" for column in (trace.logp_theta, trace.logp_t, trace.logq))
        table.add_row(text, f"{trace.alpha[i]:.3f}", *probabilities, f"{trace.kl_theta[i]:.4f}",
                      f"{trace.kl_t[i]:.4f}", f"{trace.tv[i]:.3f}", AlphaStatus(trace.status[i]).name)
    Console().print(table)
    print(f"\n{one.completion}")


if __name__ == "__main__":
    main()
