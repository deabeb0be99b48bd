"""`make bench NAME=vllm-law`: the first two tokens of 20,000 samples from vLLM, on models of 16 tokens whose law is
enumerated, and the control that has to fail.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.results import Figure, record
from tests.vllm.law import judged
from tests.vllm.models import settings_of

_COUNT = 20_000


def main() -> None:
    settings = settings_of({"batch_size": 64, "diagnostics": False}, sampling={"max_tokens": 2, "seed": 7})
    with tempfile.TemporaryDirectory() as folder:
        verdict = judged(Path(folder), _COUNT, settings)
    record("vllm-law", [
        Figure("vllm-law", verdict.p, "p of χ²", 0.01, at_most=False),
        Figure("vllm-law-control", verdict.p_control, "p of χ² for α = 0.2", 1e-3),
    ], "make bench NAME=vllm-law", f"{_COUNT:,} samples with fixed seeds, nested, float32.")


if __name__ == "__main__":
    main()
