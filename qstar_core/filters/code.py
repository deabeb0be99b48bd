"""Runs a completion's program against the tests of its prompt, where the prompt's kind is `code`.

This is not a security sandbox. The program runs in a process of its own with limits on time, memory, processes and the
size of files, in a folder that is removed, without a network; where the kernel offers Landlock it can write to that
folder only. Someone who wants to break out of that may find a way: run it on a machine that holds nothing else. The
filter runs only where it is listed.

The gold answer of such a prompt is Python that raises where the program is wrong (asserts), or a JSON object with
`inputs` and `outputs`, texts for standard input and what is expected on standard output.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import Field

from qstar_core.filters.base import Candidate, Filter, Judgement, Options
from qstar_core.filters.code_runner import Ended, Limits, check_isolation, run_program

_BLOCK = re.compile(r"^[ \t]*```[ \t]*+(\w*+)[^\n`]*+\n(.*?)(?:^[ \t]*+```|\Z)", re.DOTALL | re.MULTILINE)
_REASONS = {Ended.LATE: "tests took too long", Ended.FAILED: "tests failed", Ended.ERROR: "verifier error"}


class CodeOptions(Options):
    seconds: float = Field(10, gt=0, le=600, description="Time for one run, wall clock and processor alike")
    memory_mb: int = Field(512, ge=64, description="Memory of one process")
    processes: int = Field(16, ge=1, le=256, description="Processes and threads that a program may have at a time")
    file_mb: int = Field(16, ge=1, description="Largest file that a program may write")
    concurrency: int = Field(1, ge=1, le=64, description="Programs at the same time")
    allow_network: bool = Field(False, description="Run even where the network cannot be taken away")


class CodeFilter(Filter[CodeOptions]):
    name = "code"
    options = CodeOptions

    def check(self) -> None:
        check_isolation(self._options.allow_network)

    def judge_many(self, candidates: Sequence[Candidate]) -> Sequence[Judgement]:
        with ThreadPoolExecutor(self._options.concurrency) as threads:
            return list(threads.map(self.judge, candidates))

    def judge(self, candidate: Candidate) -> str | None:
        tests = candidate.prompt.answer
        if candidate.prompt.kind != "code" or tests is None:
            return None
        check_isolation(self._options.allow_network)
        program = program_of(candidate.sample.completion)
        if not program.strip():
            return "no program"
        for source, given, wanted in _runs(program, tests):
            ended, printed = run_program(source, given, self._limits)
            if ended is not Ended.WELL:
                return _REASONS[ended]
            if not wanted(printed):
                return "tests failed"
        return None

    @property
    def _limits(self) -> Limits:
        options = self._options
        return Limits(options.seconds, options.memory_mb, options.processes, options.file_mb, options.allow_network)


def program_of(completion: str) -> str:
    """The last fenced block, one marked as Python before others; without a fence the whole text."""
    blocks = _BLOCK.findall(completion)
    python = [body for name, body in blocks if name.casefold() in ("python", "python3", "py")]
    bodies: list[str] = python or [body for _, body in blocks]
    return bodies[-1] if bodies else completion


def _runs(program: str, tests: str) -> list[tuple[str, str, Any]]:
    """(program, standard input, what standard output must satisfy) of every run."""
    cases = _cases(tests)
    if cases is not None:
        return [(program, given, lambda printed, wanted=wanted: printed.split() == wanted.split())
                for given, wanted in cases]
    mark = secrets.token_hex(16)  # a program that ends before its tests do not print it
    whole = f"{program}\n\n{tests}\n\nprint()\nprint({mark!r})\n"
    return [(whole, "", lambda printed: printed.rstrip().endswith(mark))]


def _cases(tests: str) -> list[tuple[str, str]] | None:
    try:
        value = json.loads(tests)
        inputs, outputs = value["inputs"], value["outputs"]
        return [(str(given), str(wanted)) for given, wanted in zip(inputs, outputs, strict=True)]
    except (ValueError, TypeError, KeyError):
        return None
