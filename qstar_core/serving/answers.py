"""Finished samples as OpenAI's objects, whole and in pieces. What q* has beside them is in `qstar`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from qstar_core.engine.protocol import Finished
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.records import JsonObject
from qstar_core.serving.asking import Asked

_COLUMNS = ("alpha", "kl_theta", "kl_t", "ess_theta", "ess_t", "logq", "logp_theta", "logp_t", "status")


@dataclass(frozen=True, slots=True)
class Answer:
    """The objects that answer one request."""

    id: str
    chat: bool
    model: str
    asked: Asked
    tokenizer: ChatTokenizer
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, samples: list[Finished]) -> JsonObject:
        choices = [self._choice(index, finished) for index, finished in enumerate(samples)]
        return {**self._head(""), "choices": choices, "usage": self.usage(samples)}

    def opening(self, index: int) -> JsonObject:
        return self._piece(index, {"delta": {"role": "assistant", "content": ""}})

    def piece(self, index: int, text: str) -> JsonObject:
        return self._piece(index, {"delta": {"content": text}} if self.chat else {"text": text})

    def closing(self, index: int, finished: Finished) -> JsonObject:
        empty: JsonObject = {"delta": {}} if self.chat else {"text": ""}
        return self._piece(index, empty | self._ended(finished))

    def counted(self, samples: list[Finished]) -> JsonObject:
        """The last object of a stream that asked for usage."""
        return {**self._head(".chunk"), "choices": [], "usage": self.usage(samples)}

    def usage(self, samples: list[Finished]) -> JsonObject:
        """Every prompt counts once, as the student reads it; what the teacher reads stands beside it."""
        prompt = sum(len(pair.student_ids) for pair in self.asked.pairs)
        drawn = sum(len(finished.sample.token_ids) for finished in samples)
        return {"prompt_tokens": prompt, "completion_tokens": drawn, "total_tokens": prompt + drawn,
                "teacher_prompt_tokens": sum(len(pair.teacher_ids) for pair in self.asked.pairs)}

    def _head(self, suffix: str) -> JsonObject:
        kind = f"chat.completion{suffix}" if self.chat else "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _piece(self, index: int, choice: JsonObject) -> JsonObject:
        return {**self._head(".chunk"), "choices": [{"index": index, "logprobs": None, "finish_reason": None} | choice]}

    def _choice(self, index: int, finished: Finished) -> JsonObject:
        text = finished.sample.completion
        said: JsonObject = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        return {"index": index, "logprobs": None, **said, **self._ended(finished)}

    def _ended(self, finished: Finished) -> JsonObject:
        sample = finished.sample
        told: JsonObject = {"seed": sample.seed, "draw": sample.draw}
        if self.asked.diagnostics:
            told["summary"] = sample.summary.model_dump(mode="json") if sample.summary is not None else None
            told["tokens"] = self._tokens(finished)
        return {"finish_reason": sample.finish_reason.value, "qstar": told}

    def _tokens(self, finished: Finished) -> JsonObject:
        """A column a figure, as long as the sample. JSON has no infinity: null is 0/0 or ∞."""
        ids = list(finished.sample.token_ids)
        columns: JsonObject = {"id": ids, "text": list(self.tokenizer.pieces(ids))}
        for name in _COLUMNS if finished.trace is not None else ():
            values: np.ndarray = np.asarray(getattr(finished.trace, name))
            columns[name] = [value if np.isfinite(value) else None for value in values.tolist()]
        return columns
