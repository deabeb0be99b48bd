"""`make bench NAME=vllm-limit`: q* in vLLM against 1/(1/T_s + 1/T_t), what is left where the same two engines do
nothing but sample for themselves; and against the teacher alone and the transformers engine; and how long it takes to
start.

SmolLM2-135M twice, nested, in this process, so that its CPU seconds are those of both engines. A start is a process of
its own, from Python's first line until every sample of a batch has its first token: cold where nothing that is
compiled is kept yet, warm where an earlier one left it.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.results import REPOSITORY, Figure, record
from benchmarks.smollm2_pair import cpu_seconds
from qstar_core.config import PromptSettings, Settings
from qstar_core.engine.decode import TransformersEngine
from qstar_core.engine.loading import load_pair
from qstar_core.engine.protocol import Engine, Job
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.engine.vllm.engine import VllmEngine
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
_CACHES = ("VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "builtin:smollm2"
    starts = [_starts(model) for _ in range(_TURNS)]
    ref, settings = resolve(model, None), _settings(_TOKENS)
    jobs = jobs_of(ref, _ROWS)
    engine = _engine(ref, settings)
    server: Any = engine._server(engine._student)
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
    for run in runs.values():  # the first time compiles
        run()
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
        *(Figure(f"vllm-limit-start-{kind}", statistics.median(seconds), "CPU s until a batch has its first tokens")
          for kind, seconds in zip(("cold", "warm"), zip(*starts, strict=True), strict=True)),
    ], "make bench NAME=vllm-limit",
        f"SmolLM2-135M twice, nested, float32, one thread, CPU seconds, {_ROWS} samples of {_TOKENS} tokens, median of "
        f"{_TURNS} turns.")


def first_tokens(model: str) -> None:
    """What a start is; runs in a process of its own."""
    ref = resolve(model, None)
    _ended(_engine(ref, _settings(1)), jobs_of(ref, _ROWS))


def _starts(model: str) -> tuple[float, float]:
    """CPU seconds of a first start, and of the next one in another process."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {name: str(Path(folder) / name) for name in _CACHES}
        return _start(model, kept), _start(model, kept)


def _start(model: str, caches: dict[str, str]) -> float:
    """Those of the processes that it starts, too."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = f"from benchmarks.vllm_limit import first_tokens; first_tokens({model!r})"
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, env={**os.environ, **caches}, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _settings(tokens: int) -> Settings:
    return Settings.model_validate({
        "engine": {"kind": "vllm", "batch_size": _ROWS, "dtype": "float32", "device": "cpu", "threads": 1,
                   "share_forward": False, "speculation": "off", "vllm": {"own_process": False}},
        "sampling": {"max_tokens": tokens}})


def _engine(ref: ModelRef, settings: Settings) -> VllmEngine:
    """Nested, though the weights are the same."""
    return load_engine(ref.model_copy(update={"sha256": "student"}), ref, _CONTEXT, settings)


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
