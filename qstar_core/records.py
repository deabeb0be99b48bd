"""The values that pass between stages.

Records are frozen, refuse unknown fields, and serialise to JSON and back without loss. `theta` always means the student
π_θ, `t` the teacher π_t, and α the weight of the teacher: q_α ∝ π_θ^(1-α) · π_t^α.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

JsonObject = dict[str, Any]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


def content_hash(value: Any) -> str:
    """SHA-256 of a JSON value, independent of key order. Every id and key of the pipeline is made by this."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Message(Record):
    role: Role
    content: str


class Prompt(Record):
    """One question. `solution` is a worked solution; it and `answer` are shown to the teacher only."""

    id: str
    messages: tuple[Message, ...]
    answer: str | None = None
    solution: str | None = None
    kind: str = "text"
    source: str = ""
    meta: JsonObject = Field(default_factory=dict)

    @classmethod
    def of(cls, messages: tuple[Message, ...], *, answer: str | None = None, solution: str | None = None,
           kind: str = "text", source: str = "", meta: JsonObject | None = None) -> Prompt:
        """Make a prompt whose id is the hash of what makes it a different question."""
        identity = {"messages": [m.model_dump(mode="json") for m in messages], "answer": answer}
        return cls(id=content_hash(identity)[:16], messages=messages, answer=answer, solution=solution,
                   kind=kind, source=source, meta=meta or {})

    @property
    def question(self) -> str:
        """The text of the last user message."""
        return next((m.content for m in reversed(self.messages) if m.role is Role.USER), "")


class RowReject(Record):
    """A row of a source that could not become a prompt, kept with its reason and the beginning of its text. Once it was
    a prompt, its text is what it is known by."""

    source: str
    row: int | None = None
    reason: str
    text: str = ""


class PromptPair(Record):
    """One prompt rendered for both roles. The ids, never the texts, enter the engine. Both texts end in the reply
    prefix, which is the beginning of every completion."""

    prompt_id: str
    student_messages: tuple[Message, ...]
    student_text: str
    teacher_text: str
    student_ids: tuple[int, ...]
    teacher_ids: tuple[int, ...]
    reply_prefix: str = ""


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    ERROR = "error"


class MixSummary(Record):
    """Means over the tokens of one sample. ESS ratios leave out BOUNDARY tokens (0 or ∞), which are counted apart;
    `divergent_*` covers the tokens where the models differ (total variation above 0.05). `None`: there is no such
    number, because no token has one, or because a model gives probability 0 to a token that was drawn."""

    tokens: int
    alpha_mean: float
    alpha_std: float
    kl_theta_mean: float | None
    kl_t_mean: float | None
    kl_abs_difference_mean: float | None
    ess_ratio_mean: float | None
    ess_ratio_std: float | None
    ess_ratio_geometric_mean: float | None
    entropy_theta_mean: float
    entropy_t_mean: float
    divergent_tokens: int
    divergent_ess_ratio_mean: float | None
    log_z_sum: float
    logp_theta_sum: float | None
    logp_t_sum: float | None
    logq_sum: float
    boundary_tokens: int
    clamped_tokens: int
    unconverged_tokens: int
    policy_tokens: int


class Sample(Record):
    """One completion drawn from q*. `error` says why when `finish_reason` is ERROR (then there is no summary)."""

    id: str
    prompt_id: str
    draw: int
    completion: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    seed: int
    max_tokens: int
    error: str | None = None
    summary: MixSummary | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """Per-token values of one sample, each array as long as the sample. `status` holds AlphaStatus codes. `top_token`
    and `top_logq` are [tokens, k], the likeliest tokens of q first; None where they were not asked for."""

    token: Ints
    logp_theta: Floats
    logp_t: Floats
    logq: Floats
    alpha: Floats
    kl_theta: Floats
    kl_t: Floats
    ess_theta: Floats
    ess_t: Floats
    log_z: Floats
    tv: Floats
    entropy_theta: Floats
    entropy_t: Floats
    status: Ints
    top_token: Ints | None = None
    top_logq: Floats | None = None

    def __len__(self) -> int:
        return len(self.token)


class Outcome(StrEnum):
    KEPT = "kept"
    DROPPED = "dropped"
    FAILED = "failed"


class Verdict(Record):
    """What became of one sample, or of one prompt that never reached the engine. `score` is what the filter that
    dropped it measured, `scores` what every filter on the way measured, `logged` what filters that only log said,
    `duplicate_of` the id of the sample that it repeats, where the filter knows it."""

    sample_id: str
    prompt_id: str
    outcome: Outcome
    stage: str = ""
    reason: str = ""
    score: float | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    logged: dict[str, str] = Field(default_factory=dict)
    duplicate_of: str = ""


class FileRef(Record):
    """A file in the store: its key, its hash, and how many rows it holds."""

    key: str
    sha256: str
    bytes: int
    rows: int | None = None


class GateVerdict(StrEnum):
    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"


_COUNTED = {GateVerdict.PASS: "passed", GateVerdict.WARN: "warned", GateVerdict.FAIL: "failed",
            GateVerdict.NOT_APPLICABLE: "not applicable"}


class GateExample(Record):
    """A sample that a check objects to; `text` is the beginning of its completion, made printable."""

    sample_id: str
    value: float | None = None
    text: str = ""


class GateCheck(Record):
    """`interval` holds the true value with 95 % confidence; None where the value is exact or too little is known."""

    name: str
    verdict: GateVerdict
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    interval: tuple[float, float] | None = None
    examples: tuple[GateExample, ...] = ()
    cause: str = ""

    @property
    def allowed(self) -> str:
        """The limits in words."""
        if self.low is None:
            return "anything" if self.high is None else f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high is None else f"{self.low:g} to {self.high:g}"


class GateReport(Record):
    """`previous` is the version that drift was measured against."""

    checks: tuple[GateCheck, ...]
    previous: str | None = None

    @property
    def verdict(self) -> GateVerdict:
        found = {check.verdict for check in self.checks}
        for verdict in (GateVerdict.FAIL, GateVerdict.WARN):
            if verdict in found:
                return verdict
        return GateVerdict.PASS

    @property
    def told(self) -> str:
        """How many checks have each verdict, the best first."""
        counts = Counter(check.verdict for check in self.checks)
        told = (f"{counts[verdict]} {word}" for verdict, word in _COUNTED.items() if counts[verdict])
        return ", ".join(told) or "no checks"

    def failed(self) -> tuple[GateCheck, ...]:
        return tuple(check for check in self.checks if check.verdict is GateVerdict.FAIL)


class Approval(Record):
    """A person let a version with warnings pass. It holds for the gate report with this hash and for no other."""

    by: str = Field(min_length=1, max_length=200)
    comment: str = Field("", max_length=2_000)
    at: str
    gate_sha256: str


class FunnelStep(Record):
    """What one stage did: `entered` = `kept` + the sum of `dropped` by reason. `logged` counts kept ones."""

    stage: str
    entered: int
    kept: int
    dropped: dict[str, int] = Field(default_factory=dict)
    logged: dict[str, int] = Field(default_factory=dict)

    @property
    def told(self) -> str:
        """What was dropped, and what was only logged, with their counts."""
        drops, logs = (", ".join(f"{reason}: {count}" for reason, count in counts.items())
                       for counts in (self.dropped, self.logged))
        return "; ".join(part for part in (drops, logs and f"only logged: {logs}") if part)


class AdapterRef(Record):
    """An adapter's folder, and what its base is called and hashes to."""

    path: str
    base: str
    base_sha256: str


class ShareLine(Record):
    """A target share of the mixing: rows that were there and taken of one value, and the share that came of it."""

    by: str
    value: str
    wanted: float
    available: int
    taken: int
    share: float


class ModelRef(Record):
    """A checkpoint as a run saw it: where it came from and the hash of its weights and tokenizer. For an adapter `path`
    is its base's, and the hash covers both."""

    name: str
    path: str
    revision: str | None
    sha256: str
    adapter: AdapterRef | None = None


class Checkpoint(Record):
    """A trained student. `id` is the hash of its files and of what they were made from; `files` are its files in the
    store, none for a model that lies elsewhere (then `uri` is what `student.model` could name). `parents` are the ids,
    or the hashes, of the models it was trained from, `metrics` the last values of its curves.
    `students/<line>/latest.json` holds the promoted one."""

    uri: str
    sha256: str
    parents: tuple[str, ...] = ()
    dataset_version: str | None = None
    id: str = ""
    line: str = ""
    recipe: str = ""
    settings: JsonObject = Field(default_factory=dict)
    code_version: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    created: str = ""
    files: tuple[FileRef, ...] = ()


class Manifest(Record):
    """Written last; a dataset version is visible only when this is. `replay` counts the rows of earlier versions among
    `rows`, by version. `schemas` tells the columns and types of each Parquet file."""

    dataset: str
    version: str
    round: str
    schema_version: int = SCHEMA_VERSION
    sampling_hash: str
    config_hash: str
    code_version: str
    created: str
    run_id: str
    rows: int
    files: tuple[FileRef, ...]
    schemas: dict[str, dict[str, str]] = Field(default_factory=dict)
    funnel: tuple[FunnelStep, ...]
    gate: GateReport
    models: dict[str, ModelRef]
    templates: dict[str, str]
    settings: JsonObject
    speed: dict[str, float]
    provenance: dict[str, str]
    parents: tuple[str, ...] = ()
    replay: dict[str, int] = Field(default_factory=dict)
    shares: tuple[ShareLine, ...] = ()
    approval: Approval | None = None


class DatasetVersion(Record):
    """A reference to a published version."""

    dataset: str
    version: str
    uri: str
    manifest_sha256: str
    rows: int
