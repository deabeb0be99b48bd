"""The rows of a version's files: what columns they have, and how a judged sample fills them. Nothing of the teacher's
prompt enters the data.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qstar_core.engine.protocol import Finished
from qstar_core.records import JsonObject, MixSummary, Prompt, RowReject, Verdict
from qstar_core.stages.plan import Plan, PlannedPrompt
from qstar_core.stages.shardfile import top_fields, top_values

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
DATA = pa.schema([
    ("messages", _MESSAGES), ("sample_idx", pa.int64()), ("sample_id", pa.string()), ("prompt_id", pa.string()),
    ("draw", pa.int32()), ("kind", pa.string()), ("source", pa.string()), ("answer", pa.string()),
    ("finish_reason", pa.string()), ("tokens", pa.int32()), ("alpha_method", pa.string()),
    ("temperature", pa.float64()), ("seed", pa.int64()), ("student_sha256", pa.string()),
    ("teacher_sha256", pa.string()), ("round", pa.string()), ("version", pa.string()), ("run_id", pa.string()),
])
VALIDATION = pa.schema([DATA.field(name) for name in ("messages", "prompt_id", "kind", "source", "answer", "round",
                                                      "version")])
_SUMMARY_TYPES = {name: pa.int32() if field.annotation is int else pa.float64()
                  for name, field in MixSummary.model_fields.items()}
_FINDINGS = pa.list_(pa.struct([("filter", pa.string()), ("score", pa.float64()), ("logged", pa.string())]))
DIAGNOSTICS = pa.schema([
    ("sample_idx", pa.int64()), ("sample_id", pa.string()), ("prompt_id", pa.string()), ("draw", pa.int32()),
    ("outcome", pa.string()), ("stage", pa.string()), ("reason", pa.string()), ("score", pa.float64()),
    ("duplicate_of", pa.string()), ("findings", _FINDINGS), *_SUMMARY_TYPES.items(),
])
_TRACE_COLUMNS = ("logp_theta", "logp_t", "logq", "alpha", "entropy_theta", "entropy_t")


def traces_schema(top_logprobs: int) -> pa.Schema:
    return pa.schema([
        ("sample_idx", pa.int64()), ("sample_id", pa.string()), ("token", pa.list_(pa.int32())),
        *((name, pa.list_(pa.float32())) for name in _TRACE_COLUMNS),
        *(top_fields(top_logprobs) if top_logprobs else ()),
    ])


def data_row(plan: Plan, planned: PlannedPrompt, sample_idx: int, finished: Finished) -> JsonObject:
    sample, settings = finished.sample, plan.settings
    turns = [message.model_dump(mode="json") for message in planned.pair.student_messages]
    return {
        "messages": [*turns, {"role": "assistant", "content": planned.pair.reply_prefix + sample.completion}],
        "sample_idx": sample_idx, "sample_id": sample.id, "prompt_id": sample.prompt_id, "draw": sample.draw,
        "kind": planned.prompt.kind, "source": planned.prompt.source, "answer": planned.prompt.answer,
        "finish_reason": sample.finish_reason.value, "tokens": len(sample.token_ids),
        "alpha_method": settings["alpha"]["method"], "temperature": settings["sampling"]["temperature"],
        "seed": sample.seed, "student_sha256": plan.models["student"].sha256,
        "teacher_sha256": plan.models["teacher"].sha256, "round": plan.round, "version": plan.version,
        "run_id": plan.run_id,
    }


def held_out_row(plan: Plan, prompt: Prompt) -> JsonObject:
    """The conversation as the source has it: nothing was rendered for it, and nothing sampled."""
    return {"messages": [message.model_dump(mode="json") for message in prompt.messages], "prompt_id": prompt.id,
            "kind": prompt.kind, "source": prompt.source, "answer": prompt.answer, "round": plan.round,
            "version": plan.version}


def diagnostics_row(sample_idx: int, finished: Finished, verdict: Verdict) -> JsonObject:
    sample = finished.sample
    summary = sample.summary.model_dump() if sample.summary else dict.fromkeys(_SUMMARY_TYPES)
    return {"sample_idx": sample_idx, "sample_id": sample.id, "prompt_id": sample.prompt_id, "draw": sample.draw,
            "outcome": verdict.outcome.value, "stage": verdict.stage, "reason": verdict.reason,
            "score": verdict.score, "duplicate_of": verdict.duplicate_of or None,
            "findings": _findings(verdict), **summary}


def _findings(verdict: Verdict) -> list[JsonObject]:
    """What filters measured and what those that only log said, by filter."""
    return [{"filter": name, "score": verdict.scores.get(name), "logged": verdict.logged.get(name)}
            for name in sorted({*verdict.scores, *verdict.logged})]


def trace_row(sample_idx: int, finished: Finished) -> JsonObject | None:
    trace = finished.trace
    if trace is None:
        return None
    top = {} if trace.top_token is None else {name: top_values(trace, name) for name in ("top_token", "top_logq")}
    return {"sample_idx": sample_idx, "sample_id": finished.sample.id, "token": trace.token,
            **{name: getattr(trace, name) for name in _TRACE_COLUMNS}, **top}


def reject_row(sample_idx: int, planned: PlannedPrompt, finished: Finished, verdict: Verdict) -> JsonObject:
    return {"stage": verdict.stage, "reason": verdict.reason, "score": verdict.score, "outcome": verdict.outcome.value,
            "sample_idx": sample_idx, "sample_id": verdict.sample_id, "prompt_id": verdict.prompt_id,
            "draw": finished.sample.draw, "question": planned.prompt.question, "answer": planned.prompt.answer,
            "completion": finished.sample.completion, "source": planned.prompt.source, "row": None,
            "prompt": [message.model_dump(mode="json") for message in planned.pair.student_messages]}


def reject_of_data(row: JsonObject, stage: str, reason: str) -> JsonObject:
    """A row of the data that is dropped after all."""
    *prompt, said = row["messages"]
    question = next((turn["content"] for turn in reversed(prompt) if turn["role"] == "user"), "")
    return {"stage": stage, "reason": reason, "score": None, "outcome": "dropped",
            **{name: row[name] for name in ("sample_idx", "sample_id", "prompt_id", "draw")}, "question": question,
            "answer": row["answer"], "completion": said["content"], "source": row["source"], "row": None,
            "prompt": prompt}


def reject_of_row(stage: str, reject: RowReject) -> JsonObject:
    return {"stage": stage, "reason": reject.reason, "score": None, "outcome": "dropped", "sample_idx": None,
            "sample_id": None, "prompt_id": None, "draw": None, "question": reject.text, "answer": None,
            "completion": None, "source": reject.source, "row": reject.row, "prompt": None}


class RowWriter:
    """Rows into Parquet and, beside it, JSON lines; memory holds one group of rows at most."""

    def __init__(self, parquet: Path | None, jsonl: Path | None, schema: pa.Schema | None, group: int = 1024) -> None:
        self._parquet = pq.ParquetWriter(parquet, schema, compression="zstd") if parquet else None
        self._lines = jsonl.open("w", encoding="utf-8", errors="surrogatepass") if jsonl else None
        self._group = group
        self._waiting: list[JsonObject] = []
        self.rows = 0

    def write(self, row: JsonObject) -> None:
        self.rows += 1
        if self._lines is not None:
            self._lines.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        if self._parquet is not None:
            self._waiting.append(row)
            if len(self._waiting) >= self._group:
                self._flush()

    def _flush(self) -> None:
        if self._parquet is not None and self._waiting:
            schema = self._parquet.schema
            columns: dict[str, list[Any]] = {n: [row[n] for row in self._waiting] for n in schema.names}
            self._parquet.write_table(pa.table(columns, schema=schema))
            self._waiting = []

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        for file in (self._parquet, self._lines):
            if file is not None:
                file.close()
