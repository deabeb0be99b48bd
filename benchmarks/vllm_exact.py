"""`make bench NAME=vllm-exact`: α, log q and both log π of what vLLM produced, recomputed by transformers in float32 on
the sequences; and how many sequences are those of the transformers engine.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.results import Figure, record
from qstar_core.home import model_cache
from qstar_core.models import resolve
from qstar_core.records import ModelRef
from tests.engine.adapters import save_adapter
from tests.vllm.models import Errors, Tiny, network, recomputed, run, settings_of, torch_engine, vllm_engine

_MEAN, _MOST = 1e-4, 2e-3
_TIGHT = {"step_tokens": 16, "kv_cache_gib": 0.001}


def main() -> None:
    tiny = Tiny.at(Path(os.environ.get("QSTAR_MODEL_CACHE", model_cache())))
    with tempfile.TemporaryDirectory() as folder:
        adapter = save_adapter(Path(folder) / "lora", network(tiny.teacher.path), scale=0.1)
        lora = tiny.lora("lora", adapter, tiny.teacher)
        merged = torch_merged(lora)
        figures: list[Figure] = []
        for name, student, engine in (
            ("plain", tiny.student, {}), ("pieces-preempted", tiny.student, {"vllm": _TIGHT}),
            ("own-process", tiny.student, {"vllm": {"own_process": True}}),
            ("lora-paired", lora, {}), ("lora-nested", lora, {"share_forward": False}),
        ):
            figures += _tiny(tiny, name, student, merged if student is lora else network(student.path), engine)
    figures += _smollm2(sys.argv[1] if len(sys.argv) > 1 else "builtin:smollm2")
    record("vllm-exact", figures, "make bench NAME=vllm-exact", "float32; the tiny pair unless it says SmolLM2-135M.")


def torch_merged(lora: ModelRef) -> Any:
    from qstar_core.engine.adapter import merged

    assert lora.adapter is not None
    return merged(network(lora.path), Path(lora.adapter.path))


def _tiny(tiny: Tiny, name: str, student: ModelRef, reference: Any, engine: dict[str, Any]) -> list[Figure]:
    settings = settings_of(engine)
    jobs = tiny.jobs(50, draws=2)
    found = run(vllm_engine(student, tiny.teacher, settings), jobs)
    vocab = max(tiny.tokenizer.vocabulary.values()) + 1
    errors = recomputed(found.values(), jobs, reference, network(tiny.teacher.path), vocab)
    theirs = run(torch_engine(student, tiny.teacher, tiny.tokenizer, settings), jobs)
    same = sum(found[key].sample.token_ids == theirs[key].sample.token_ids for key in found) / len(found)
    return [*_figures(name, errors), Figure(f"vllm-exact-{name}-same", same, "of the sequences", 0.99, at_most=False)]


def _smollm2(model: str) -> list[Figure]:
    from benchmarks.vllm_limit import jobs_of

    ref = resolve(model, None)
    settings = settings_of({"share_forward": False}, sampling={"max_tokens": 16})
    jobs = jobs_of(ref, 8)
    found = run(vllm_engine(ref.model_copy(update={"sha256": "student"}), ref, settings), jobs)
    reference = network(ref.path)
    return _figures("smollm2", recomputed(found.values(), jobs, reference, reference, 49152))


def _figures(name: str, errors: Errors) -> list[Figure]:
    return [Figure(f"vllm-exact-{name}-mean", errors.mean, "mean error", _MEAN),
            Figure(f"vllm-exact-{name}-max", errors.most, "largest error", _MOST)]


if __name__ == "__main__":
    main()
