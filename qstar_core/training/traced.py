"""The kept rows of a version with what their traces say of every token: the ids as they were drawn, log π_θ and log q,
and the likeliest tokens of q*.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.errors import DataError
from qstar_core.records import JsonObject, Manifest, Message
from qstar_core.stages.judged import DATA, TRACES, fetched, parquet_rows
from qstar_core.store.objects import ObjectStore
from qstar_core.training.rows import TRAIN, Split

_UNLEARNT = -100
_ANOTHER = "train a student with the tokenizer that the version was sampled with"


@dataclass(frozen=True, slots=True)
class Drawn:
    """How the student being trained reads, and how much of a row it takes."""

    tokenizer: ChatTokenizer
    max_length: int
    top: bool = False


def traced_rows(store: ObjectStore, manifest: Manifest, drawn: Drawn, folder: Path) -> Iterator[Split]:
    """Rows without a trace came from earlier versions, and stay out. So do those longer than `max_length`: half of a
    completion has another weight."""
    data, traces = (fetched(store, manifest.files, name, folder) for name in (DATA, TRACES))
    names = pq.read_schema(traces).names
    if drawn.top and "top_token" not in names:
        raise DataError(f"{manifest.dataset} {manifest.version} keeps no likeliest tokens",
                        "set engine.top_logprobs for the next round, such as 20")
    columns = ["sample_id", "token", "logp_theta", "logq", *(["top_token", "top_logq"] if drawn.top else [])]
    found = parquet_rows(traces, columns)
    for row in parquet_rows(data):
        for trace in found:
            if trace["sample_id"] == row["sample_id"]:
                made = _row(row, trace, drawn)
                if made is not None:
                    yield TRAIN, made
                break


def _row(row: JsonObject, trace: JsonObject, drawn: Drawn) -> JsonObject | None:
    *turns, reply = row["messages"]
    said = drawn.tokenizer.decode(trace["token"])
    text = reply["content"].rstrip()
    if not text.endswith(said):
        raise DataError(f"the tokens of sample {row['sample_id']} do not spell its completion", _ANOTHER)
    prefix = text[:len(text) - len(said)]
    prompt = drawn.tokenizer.render(tuple(Message.model_validate(turn) for turn in turns), prefix)[1]
    if len(prompt) + len(trace["token"]) > drawn.max_length:
        return None
    ratios = [_log_ratio(p, q) for p, q in zip(trace["logp_theta"], trace["logq"], strict=True)]
    made: JsonObject = {"input_ids": [*prompt, *trace["token"]], "prompt_length": len(prompt),
                        "labels": [_UNLEARNT] * len(prompt) + trace["token"], "log_weight": ratios}
    if drawn.top:
        made |= {"top_token": trace["top_token"],
                 "top_logq": [[_finite(value) for value in values] for values in trace["top_logq"]]}
    return made


_NONE = -1e9
"""Stands for log 0 in JSON and Arrow; its exponential is 0."""


def _finite(value: float) -> float:
    return value if math.isfinite(value) else _NONE


def _log_ratio(logp_theta: float, logq: float) -> float:
    """A drawn token has log q above −∞; the student may give it none."""
    return logp_theta - logq if math.isfinite(logp_theta) else _NONE
