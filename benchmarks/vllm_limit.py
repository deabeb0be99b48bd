"""`make bench NAME=vllm-limit`: q* in vLLM against 1/(1/T_s + 1/T_t), what is left where the same two engines do
nothing but sample for themselves; and against the teacher alone, the transformers engine, and its own start.

SmolLM2-135M twice, nested, in this process, so that its CPU seconds are those of both engines.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.results import Figure, record
from benchmarks.smollm2_pair import cpu_seconds
from qstar_core.config import PromptSettings, Settings
from qstar_core.engine.decode import TransformersEngine
from qstar_core.engine.loading import load_pair
from qstar_core.engine.protocol import Engine, Job
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.engine.vllm.hosts import host_named
from qstar_core.engine.vllm.loading import load_engine
from qstar_core.models import resolve
from qstar_core.prompts import PromptRenderer
from qstar_core.records import ModelRef
from qstar_core.sources.arithmetic import arithmetic

_ROWS, _TOKENS, _TURNS, _CONTEXT = 32, 16, 3, 160
_PROMPTS = PromptSettings(student="{{ question }}", teacher="{{ question }} (The answer is {{ answer }}.)")
_GOAL = 0.90
_SIZES = (1, 4, 16, _ROWS)
_WHOLE = f"q* {_ROWS}"


def main() -> None:
    ref = resolve(sys.argv[1] if len(sys.argv) > 1 else "builtin:smollm2", None)
    settings = Settings.model_validate({
        "engine": {"kind": "vllm", "batch_size": _ROWS, "dtype": "float32", "device": "cpu", "threads": 1,
                   "share_forward": False, "speculation": "off", "vllm": {"own_process": False}},
        "sampling": {"max_tokens": _TOKENS}})
    jobs = jobs_of(ref, _ROWS)
    engine = load_engine(ref.model_copy(update={"sha256": "student"}), ref, _CONTEXT, settings)
    started: list[Any] = []
    start = cpu_seconds(lambda: started.append(engine._server(engine._student)))
    server = started[0]
    student = host_named(server._name).student
    assert student is not None
    plain = _torch_engines(ref, settings)

    def mixed(count: int) -> int:
        server.engine.reset_prefix_cache()
        student.forget_cache()
        return _ended(engine, jobs[:count])

    runs: dict[str, Callable[[], int]] = {
        **{f"q* {count}": partial(mixed, count) for count in reversed(_SIZES)},  # the largest is the first of all
        "teacher": lambda: _alone(server.engine, [job.pair.teacher_ids for job in jobs]),
        "student": lambda: _alone(student._engine, [job.pair.student_ids for job in jobs]),
        **{f"transformers {count}": partial(_ended, plain[count], jobs[:count]) for count in _SIZES},
    }
    first = {name: _per_token(run) for name, run in runs.items()}
    turns = [{name: _per_token(run) for name, run in runs.items()} for _ in range(_TURNS)]

    def median(name: str) -> float:
        return statistics.median(turn[name] for turn in turns)

    share = statistics.median((turn["teacher"] + turn["student"]) / turn[_WHOLE] for turn in turns)
    of_teacher = statistics.median(turn["teacher"] / turn[_WHOLE] for turn in turns)
    physical = statistics.median(turn["teacher"] / (turn["teacher"] + turn["student"]) for turn in turns)
    ratios = {count: statistics.median(turn[f"transformers {count}"] / turn[f"q* {count}"] for turn in turns)
              for count in _SIZES}
    record("vllm-limit", [
        Figure(f"vllm-limit-B{_ROWS}", share, "of the limit", _GOAL, at_most=False),
        Figure("vllm-limit-of-teacher", of_teacher, "of the teacher alone", _GOAL * physical, at_most=False),
        Figure("vllm-limit-student-speed", median("teacher") / median("student"), "times the teacher's"),
        Figure("vllm-limit-speed", 1 / median(_WHOLE), "tokens/s"),
        *(Figure(f"vllm-limit-transformers-B{count}", ratio, "times transformers' speed")
          for count, ratio in ratios.items()),
        *(Figure("vllm-limit-crossover", count, "samples in flight, from where vLLM is faster")
          for count in [count for count, ratio in ratios.items() if ratio > 1][:1]),
        Figure("vllm-limit-start", start, "CPU s for both engines"),
        Figure("vllm-limit-first", (first[_WHOLE] - median(_WHOLE)) * _ROWS * _TOKENS, "CPU s more for the first run"),
    ], "make bench NAME=vllm-limit",
        f"SmolLM2-135M twice, nested, float32, one thread, CPU seconds, {_ROWS} samples of {_TOKENS} tokens, median of "
        f"{_TURNS} turns.")


def jobs_of(ref: ModelRef, count: int) -> list[Job]:
    tokenizer = ChatTokenizer(ref.name, Path(ref.path))
    renderer = PromptRenderer(_PROMPTS, tokenizer, tokenizer, _CONTEXT)
    pairs = [renderer.render(prompt) for prompt in arithmetic(0, count)]
    return [Job(pair.prompt_id, pair, 0) for pair in pairs]


def _torch_engines(ref: ModelRef, settings: Settings) -> dict[int, TransformersEngine]:
    """One for each number of samples in flight."""
    student, teacher = load_pair(ref, ref, settings.engine)
    return {count: TransformersEngine(
        student, teacher, ChatTokenizer(ref.name, Path(ref.path)), _CONTEXT, settings.alpha, settings.sampling,
        settings.support, settings.engine.model_copy(update={"batch_size": count})) for count in _SIZES}


def _per_token(run: Callable[[], int]) -> float:
    tokens: list[int] = []
    return cpu_seconds(lambda: tokens.append(run())) / tokens[0]


def _ended(engine: Engine, jobs: list[Job]) -> int:
    return sum(len(one.sample.token_ids) for one in engine.generate(jobs))


def _alone(engine: Any, prompts: list[tuple[int, ...]]) -> int:
    """Plain sampling by one of the engines, every prompt read anew."""
    from vllm import SamplingParams

    engine.reset_prefix_cache()
    for number, ids in enumerate(prompts):
        engine.add_request(str(number), {"prompt_token_ids": list(ids)},
                           SamplingParams(max_tokens=_TOKENS, ignore_eos=True, detokenize=False, seed=number))
    while engine.has_unfinished_requests():
        engine.step()
    return len(prompts) * _TOKENS


if __name__ == "__main__":
    main()
