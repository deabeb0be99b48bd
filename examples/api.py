"""Samples from q* in a few lines of Python, without a dataset, a store or a flow.

    python examples/api.py

The two small models are made on first use. Name your own with `Mixture(student="…", teacher="…")`: two of one tokenizer
family, as folders or hub ids.
"""

from rich.console import Console
from rich.table import Table

from qstar_core import Mixture, Progress, columns, generate, token_columns

ROWS = [  # the student reads the question; the teacher also reads what the template shows it
    {"question": "sort 16 10 14", "answer": "10 14 16", "meta": {"reference": "10 14 16"}},
    {"question": "sort 7 2 5", "answer": "2 5 7", "meta": {"reference": "2 5 7"}},
]


def main() -> None:
    mixture = Mixture(sampling={"max_tokens": 32}, engine={"device": "cpu", "batch_size": 8})
    samples = list(generate(mixture, ROWS, draws=4, traces=True, progress=report))

    table = Table("question", "draw", "completion", "mean α", "log q", box=None)
    for one in sorted(samples, key=lambda one: (one.index, one.draw)):
        table.add_row(ROWS[one.index]["question"], str(one.draw), one.completion, f"{one.summary.alpha_mean:.2f}",
                      f"{one.summary.logq_sum:.2f}")
    Console().print(table)

    per_sample, per_token = columns(samples), token_columns(samples)
    print(f"mean α of {len(samples)} samples: {per_sample['alpha_mean'].mean():.3f}")
    print(f"tokens where the models differ: {(per_token['tv'] > 0.05).mean():.0%} of {len(per_token['tv'])}")

    stopped = Mixture(sampling={"max_tokens": 32, "stop": " 14"}, engine={"device": "cpu", "batch_size": 8})
    with generate(stopped, ROWS[0], draws=1) as running:  # leaving the block ends the run
        one = next(running)
    print(f"stopped before ' 14': {one.completion!r} ({one.finish_reason.value})")


def report(progress: Progress) -> None:
    print(f"{progress.finished}/{progress.total} samples, {progress.tokens_per_second:,.0f} tokens/s", end="\r")


if __name__ == "__main__":
    main()
