"""The paired layout's samples: two requests each, which begin again with what they have in common whenever vLLM took
one of them and not the other.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass, field

import numpy as np

from qstar_core.engine.endings import failed
from qstar_core.engine.sequence import Sequence
from qstar_core.engine.vllm.adapters import Adapter
from qstar_core.engine.vllm.hosts import KEY
from qstar_core.engine.vllm.mixing import rows_of
from qstar_core.engine.vllm.process import Running
from qstar_core.engine.vllm.requests import Grown
from qstar_core.errors import EngineError

_STUDENT, _TEACHER = "student", "teacher"
_TRIES = 32
"""Times that a sample begins again without a new token."""


@dataclass(slots=True)
class _Pair:
    """`given` tokens stood when the two requests of this try began; `tokens` are those that both agreed on since, the
    first `shown` of which were handed on."""

    sequence: Sequence
    adapter: Adapter | None
    rows: list[np.ndarray] = field(default_factory=list)
    attempt: int = 0
    idle: int = 0
    shown: int = 0
    said: dict[str, list[int]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    @property
    def tokens(self) -> list[int]:
        """Those of earlier tries."""
        return [int(row[0]) for row in self.rows]


class PairedRequests:
    def __init__(self, server: Running, stop_ids: frozenset[int]) -> None:
        self._server = server
        self._stop_ids = stop_ids
        self._open: dict[str, _Pair] = {}
        self._done: dict[str, np.ndarray] = {}

    def add(self, name: str, sequence: Sequence, adapter: Adapter | None) -> None:
        self._open[name] = _Pair(sequence, adapter)
        self._begin(name)

    def step(self) -> list[Grown]:
        touched: dict[str, _Pair] = {}
        for request, tokens, ended in self._server.step():
            name, attempt, role = _parts(request)
            pair = self._open.get(name)
            if pair is None or attempt != pair.attempt:
                continue
            pair.said[role] += tokens
            if ended:
                pair.ended.add(role)
            touched[name] = pair
        over = [name for name, pair in touched.items() if len(pair.ended) == 2]
        told = self._server.collect([_told_name(name, self._open[name].attempt) for name in over]) if over else {}
        grown = [self._agreed(name, pair) for name, pair in touched.items() if name not in over]
        grown += [self._over(name, rows_of(told.get(_told_name(name, self._open[name].attempt)))) for name in over]
        return [one for one in grown if one.tokens or one.ended]

    def collect(self, names: Several[str]) -> dict[str, np.ndarray]:
        going = [name for name in names if name not in self._done]
        self._server.abort([request for name in going for request in self._requests(name)])
        ids = {name: _told_name(name, self._open[name].attempt) for name in going}
        told = self._server.collect(list(ids.values())) if ids else {}
        found = {name: self._done.pop(name) for name in names if name in self._done}
        for name in going:
            pair = self._open.pop(name)
            found[name] = np.array([*pair.rows, *rows_of(told.get(ids[name]))])
        return found

    def abort(self) -> None:
        self._server.abort([request for name in self._open for request in self._requests(name)])
        self._open.clear()
        self._done.clear()

    def _begin(self, name: str) -> None:
        pair = self._open[name]
        pair.attempt += 1
        pair.said, pair.ended, pair.shown = {_STUDENT: [], _TEACHER: []}, set(), 0
        prompts, before = pair.sequence.job.pair, pair.tokens
        for request, role, ids in zip(self._requests(name), (_TEACHER, _STUDENT),
                                      (prompts.teacher_ids, prompts.student_ids), strict=True):
            told = {"id": _told_name(name, pair.attempt), "student": role == _STUDENT, "key": pair.sequence.key,
                    "begun": len(before)}
            self._server.add(request, [*ids, *before], {
                "max_tokens": pair.sequence.limit - len(before), "stop_token_ids": sorted(self._stop_ids),
                "extra_args": {KEY: told}}, pair.adapter if role == _STUDENT else None)

    def _requests(self, name: str) -> list[str]:
        return [f"{name}/{self._open[name].attempt}/{role}" for role in (_TEACHER, _STUDENT)]

    def _agreed(self, name: str, pair: _Pair) -> Grown:
        """Tokens that both have. The last one of a request that ended may be one that it had to end with."""
        lengths = [len(said) - (role in pair.ended) for role, said in pair.said.items()]
        tokens = pair.said[_TEACHER][pair.shown : max(pair.shown, min(lengths))]
        pair.shown += len(tokens)
        return Grown(name, tokens, False)

    def _over(self, name: str, told: np.ndarray) -> Grown:
        """Both requests ended: what was told about is what was drawn."""
        pair = self._open[name]
        tokens = [int(row[0]) for row in told]
        new = tokens[pair.shown :]
        pair.rows += list(told)
        ended = len(told) and (len(pair.rows) >= pair.sequence.limit or tokens[-1] in self._stop_ids
                               or failed(told[-1]))
        if ended:
            self._done[name] = np.array(pair.rows)
            del self._open[name]
            return Grown(name, new, True)
        pair.idle = 0 if tokens else pair.idle + 1
        if pair.idle > _TRIES:
            raise EngineError(f"the two requests of {pair.sequence.job.sample_id} are never in one step",
                              "raise engine.vllm.step_tokens or set engine.share_forward=false")
        self._begin(name)
        return Grown(name, new, False)


def _told_name(name: str, attempt: int) -> str:
    return f"{name}/{attempt}"


def _parts(request: str) -> tuple[str, int, str]:
    name, attempt, role = request.rsplit("/", 2)
    return name, int(attempt), role
