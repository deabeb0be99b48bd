"""Train one model in a process of its own: `python -m qstar_core.tiny.worker <Job as JSON>`.

Contract: stdout gets one line "step steps" per step, and the checkpoint is saved after the last one. When the parent is
killed, nobody reads the next line, and the broken pipe ends this process too: it never works on for nobody.
"""

from __future__ import annotations

import sys

import torch

from qstar_core.tiny.recipe import Job
from qstar_core.tiny.tokenizer import build_tokenizer
from qstar_core.tiny.train import train


def run(job: Job) -> None:
    """Train and save a checkpoint that any `from_pretrained` loads."""
    # One thread: sums in one order give the same bits every time, and the other model's process has the other core.
    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    model = train(job.recipe, tokenizer, _say)
    model.save_pretrained(job.folder)
    tokenizer.save_pretrained(job.folder)


def _say(step: int, steps: int, loss: float) -> None:
    sys.stdout.write(f"{step} {steps}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run(Job.model_validate_json(sys.argv[1]))
