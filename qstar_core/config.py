"""Frozen settings, and the only home of defaults. Unknown keys are refused; every field says what it is for."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from qstar_core.loop_settings import LoopSettings
from qstar_core.operations import MetricsSettings, OperationsSettings, ServeSettings
from qstar_core.recipes import Recipe, RewardSettings, RlhfSettings
from qstar_core.records import JsonObject
from qstar_core.section import Name as Name
from qstar_core.section import Section as Section

Unit = Annotated[float, Field(ge=0.0, le=1.0)]


class S3Settings(Section):
    """How to reach an S3 service. Credentials come from the usual AWS places, never from here."""

    endpoint_url: str | None = Field(None, description="Address of an S3-compatible service; empty means AWS")
    region: str | None = Field(None, description="Region of the bucket")
    addressing_style: Literal["auto", "path", "virtual"] = Field("auto", description="How addresses name the bucket")
    sse: Literal["AES256", "aws:kms"] | None = Field(None, description="Server-side encryption of every write")
    kms_key_id: str | None = Field(None, min_length=1, description="Key of sse = aws:kms; empty: the bucket's own")
    profile: str | None = Field(None, description="Named profile of the AWS credentials file")
    max_concurrency: int = Field(4, ge=1, le=64, description="Files of a version, or parts of one large "
                                                                  "file, on the way at the same time")


class StoreSettings(Section):
    uri: str = Field("", description="Directory, or s3://bucket/prefix; empty means the project's own .qstar/store")
    s3: S3Settings = S3Settings()


class SourceSettings(Section):
    path: str = Field("builtin:problems", description="File, pattern, folder, s3://bucket/prefix, hub id, or "
                                                      "builtin:problems")
    adapter: str = Field("auto", description="Schema of the rows; auto takes the one that their columns name")
    columns: dict[str, str] = Field(default_factory=dict, description="Column by the name that the schema expects; "
                                                                      "a dotted name reaches into a column")
    template: str | None = Field(None, description="Jinja template of the question over a row's columns, instead of a "
                                                   "schema")
    prompt_field: str | None = Field(None, description="Column with the question, where the adapter's own does not fit")
    answer_field: str | None = Field(None, description="Column with the gold answer")
    solution_field: str | None = Field(None, description="Column with a worked solution")
    kind: str | None = Field(None, description="Kind of problem to record, where rows do not say it")
    subset: str | None = Field(None, description="Configuration of a hub dataset, such as main")
    split: str = Field("train", description="Split of a hub dataset, folder or prefix")
    revision: str | None = Field(None, description="Revision of a hub dataset")
    start: int = Field(0, ge=0, description="Rows to skip at the beginning")
    limit: int | None = Field(None, ge=1, description="Rows to read at most")
    shuffle_seed: int | None = Field(None, description="Shuffles the rows by this seed; empty: the order of the files")
    shuffle_buffer: int = Field(10_000, ge=1, le=10_000_000, description="Rows in memory while shuffling")
    shard_count: int = Field(1, ge=1, description="Shards that the source is dealt to")
    shard_index: int = Field(0, ge=0, description="Which of the shards is read, counted from 0")
    near_duplicates: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="Drops questions with the same gold and five-word shingles at least this alike, such as 0.7")
    validation: float = Field(0.0, ge=0, lt=1, description="Share of prompts that are held out and never sampled")
    seed: int = Field(0, description="Seed of builtin:problems")
    s3: S3Settings = Field(S3Settings(), description="How to reach the bucket of an s3:// path")


class StudentSettings(Section):
    model: str = Field("builtin:tiny-student", min_length=1,
                       description="Folder, hub id, builtin:NAME, or `latest` (promoted)")
    revision: str | None = Field(None, description="Revision of a hub id")
    base: str | None = Field(None, description="Base of a student that is an adapter; empty: the one that it names")
    line: Name = Field("default", description="Whose promotions `latest` follows")
    initial: str | None = Field(None, description="Model that `latest` means before the first promotion")


class TeacherSettings(Section):
    model: str = Field("builtin:tiny-teacher", min_length=1, description="Folder, hub id, or builtin:NAME")
    revision: str | None = Field(None, description="Revision of a hub id")


class PromptSettings(Section):
    """Jinja templates of the last user message. They see: question, answer, solution, kind, meta."""

    student: str = Field("{{ question }}", description="What the student reads; must not contain the answer")
    teacher: str = Field("{{ question }}{% if meta.reference is defined %} ref {{ meta.reference }} steps{% endif %}",
                         description="What the teacher reads")
    student_system: str | None = Field(None, description="System prompt of the student")
    teacher_system: str | None = Field(None, description="System prompt of the teacher")
    hints: tuple[str, ...] = Field((), description="Templates of the teacher to draw from by prompt, or ready styles: "
                                                   "none, answer, check, solution, reply; empty: prompts.teacher")
    reply_prefixes: tuple[str, ...] = Field((), description="Beginnings of the reply to draw from by prompt, the same "
                                                            "for both")
    answer_in_question: Literal["keep", "drop"] = Field(
        "keep", description="What becomes of a prompt whose question contains the gold answer")


class PolicySettings(Section):
    name: str = Field("constant", description="Who decides α: constant (the method), by_position, by_disagreement")
    options: JsonObject = Field(default_factory=dict, description="The policy's options")


class AlphaSettings(Section):
    method: str = Field("kl_symmetry", description="fixed, entropy, confidence, kl_symmetry, ess_balance, "
                                                   "reverse_kl_symmetry")
    fixed: Unit = Field(0.5, description="The teacher's weight where method is fixed")
    min: Unit = Field(0.0, description="Lower bound of α; what it clamps is counted")
    max: Unit = Field(1.0, description="Upper bound of α")
    tolerance: float = Field(1e-5, gt=0, le=1e-2, description="Largest residual of the method that counts as solved")
    policy: PolicySettings = PolicySettings()
    teacher_first_token: bool = Field(False, description="The teacher alone decides the first token")
    teacher_special_tokens: bool = Field(
        False, description="The teacher alone decides where a control token is its most likely one")

    @model_validator(mode="after")
    def _ordered(self) -> AlphaSettings:
        if self.min > self.max:
            raise ValueError(f"alpha.min ({self.min}) is above alpha.max ({self.max})")
        return self


class SamplingSettings(Section):
    temperature: float = Field(1.0, ge=1e-6, le=10, description="Divides both models' logits before α is solved")
    sharpen: float = Field(1.0, gt=0, le=100, description="Draws from q* to this power, normalised; above 1 is sharper")
    max_tokens: int = Field(64, ge=1, description="Longest completion in tokens")
    draws: int = Field(2, ge=1, le=10_000, description="Samples per prompt and round")
    seed: int = Field(0, ge=-(2**62), le=2**62, description="Seed of every random number")
    stop: tuple[str, ...] = Field((), description="Texts that end a completion; it stops before them")

    @field_validator("stop", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        texts = (value,) if isinstance(value, str) else value
        if isinstance(texts, list | tuple) and "" in texts:
            raise ValueError("an empty text would end every completion before it begins")
        return texts


class SupportSettings(Section):
    """Which tokens of a model are mixed at all; the rest is cut off before α is solved."""

    apply_to: Literal["both", "student", "teacher"] = Field("both", description="Whose distribution is cut")
    top_k: int | None = Field(None, ge=1, description="Keeps the k most likely tokens")
    top_p: float = Field(1.0, gt=0, le=1, description="Keeps the smallest set of most likely tokens with this mass")
    min_p: Unit = Field(0.0, description="Keeps tokens at least this many times as likely as the most likely one")


class VllmSettings(Section):
    """What `engine.kind: vllm` has beside the settings that all engines share. docs/vllm.md tells how it works."""

    own_process: bool = Field(True, description="vLLM runs in a process of its own, whose crash leaves this one alive")
    kv_cache_gib: float | None = Field(
        None, gt=0, le=4096, description="The teacher's cache of keys and values, the student gets as many tokens; "
                                         "empty: room for all samples in flight, or what fits")
    step_tokens: int | None = Field(
        None, ge=16, description="Most tokens read in a step, longer prompts come in pieces; empty: both prompts whole")
    eager: bool | None = Field(None, description="No compiled graphs; empty: on a CPU only")
    any_version: bool = Field(False, description="Try a vLLM of another version than those that are supported")
    tensor_parallel: int = Field(1, ge=1, description="GPUs of one engine; only 1 is supported")

    @field_validator("tensor_parallel")
    @classmethod
    def _one_device(cls, value: int) -> int:
        if value > 1:
            raise ValueError("every GPU of a tensor-parallel engine would draw tokens of its own; run one engine a "
                             "GPU, each with its CUDA_VISIBLE_DEVICES")
        return value


class EngineSettings(Section):
    kind: Literal["transformers", "vllm"] = Field("transformers", description="Which engine samples")
    batch_size: int = Field(32, ge=1, le=65_536, description="Samples in flight")
    context: int | None = Field(None, ge=8, description="Longest prompt plus completion; empty: the models' own")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: float32 on CPU, else bfloat16")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N, mps")
    deterministic: bool = Field(True, description="Fixed shapes: a sample is the same bits whatever runs beside it")
    share_forward: bool = Field(True, description="One forward for both roles where they have the same weights")
    speculation: Literal["auto", "off"] | int = Field(
        "auto", description="Tokens that the student drafts for one forward of the teacher; auto: off if deterministic")
    diagnostics: bool = Field(True, description="Record α, KL, ESS and log-probabilities of every token")
    top_logprobs: int = Field(0, ge=0, le=1000, description="Keep this many likeliest tokens of q and their log q, for "
                                                            "every token, in the traces")
    compile: Literal["auto", "on", "off"] = Field(
        "auto", description="Compile the mixing step; auto: for large vocabularies, where there is a compiler")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads; empty: 1 for tiny models, else all")
    vllm: VllmSettings = VllmSettings()

    @field_validator("speculation", mode="before")
    @classmethod
    def _draft_length(cls, value: object) -> str | int:
        """YAML reads `off` as false."""
        text = "off" if value is False else str(value)
        if text in ("auto", "off"):
            return text
        if not text.isdecimal() or not 1 <= int(text) <= 64:
            raise ValueError("use auto, off, or from 1 to 64 tokens")
        return int(text)

    @model_validator(mode="after")
    def _measured(self) -> EngineSettings:
        if self.top_logprobs and not self.diagnostics:
            raise ValueError("engine.top_logprobs needs engine.diagnostics")
        return self


class RoundSettings(Section):
    prompts: int = Field(128, ge=1, description="Prompts per round")
    shard_size: int = Field(64, ge=1, description="Samples per shard")
    checkpoint_every: int = Field(16, ge=1, description="Finished samples per row checkpoint inside a shard")


class Action(StrEnum):
    """What becomes of a sample that a filter objects to: dropped, or kept with the reason on record."""

    DROP = "drop"
    LOG = "log"


class FilterStep(Section):
    name: str = Field(description="Name of the filter")
    action: Action | None = Field(None, description="drop or log; empty: the filter's own")
    options: JsonObject = Field(default_factory=dict, description="Its options")


class FilteringSettings(Section):
    processes: int = Field(1, ge=1, le=256, description="Processes for filters that judge every sample by itself")


class Range(Section):
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        return self

    def within(self, other: Range) -> Range:
        """What both allow."""
        return Range(low=max(self.low, other.low), high=min(self.high, other.high))


STRICT_ESS_RATIO = Range(low=0.9, high=1.1)
STRICT_ALPHA = Range(low=0.3, high=0.7)


LEAK_PHRASES = (
    "given answer", "provided answer", "answer provided", "answer given", "reference solution", "reference answer",
    "provided solution", "given solution", "worked solution", "the hint", "i was given", "i was told",
    "as provided in the", "ground truth", "known answer", "we are told the answer", "we are told that the answer",
    "the solution says",
)
"""What a student says that was shown the teacher's hint."""


class GateSettings(Section):
    """Thresholds. docs/gate.md tells what each check measures."""

    profile: Literal["default", "strict"] = Field(
        "default", description="strict narrows ess_ratio to 0.9–1.1 and alpha to 0.3–0.7")
    on_warn: Literal["record", "approve"] = Field(
        "record", description="approve: a version with warnings waits until a person lets it pass")
    min_rows: int = Field(1, ge=0, description="Fewest kept rows")
    min_keep_rate: Unit = Field(0.3, description="Smallest share of samples kept by the filters")
    max_failed_share: Unit = Field(0.01, description="Largest share of samples that ended in an error")
    ess_ratio: Range = Field(Range(low=0.8, high=1.2), description="Mean ESS_θ/ESS_t over all tokens")
    divergent_ess_ratio: Range = Field(Range(low=0.5, high=2.0), description="The same where models differ; warns")
    alpha: Range = Field(Range(low=0.2, high=0.8), description="Mean α")
    max_kl_difference: float = Field(0.05, gt=0, description="Largest mean |KL(q‖π_θ) − KL(q‖π_t)| for kl_symmetry")
    guard_alpha: Range = Field(Range(low=0.1, high=0.9), description="Mean α outside of this warns")
    guard_ess_ratio: Range = Field(Range(low=0.5, high=2.0), description="Mean ESS ratio outside of this warns")
    max_leak_rate: Unit = Field(0.02, description="Largest share of kept rows that speak of the teacher's hint")
    leak_phrases: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        LEAK_PHRASES, description="What a row that speaks of the hint says, without regard to case")
    max_hedging_rate: Unit = Field(0.03, description="Largest share of hedging words among all words; warns")
    hedging_words: tuple[str, ...] = Field(
        ("maybe", "perhaps", "possibly", "probably", "presumably", "might", "guess", "unsure", "hmm", "wait"),
        description="Words of an unsure writer")
    max_length_psi: float = Field(0.25, gt=0, description="Largest stability index of lengths; warns")
    max_length_ks: Unit = Field(0.2, description="Largest Kolmogorov–Smirnov distance of lengths; warns")
    max_vocabulary_psi: float = Field(0.25, gt=0, description="Largest stability index of words; warns")
    max_duplicate_share: Unit = Field(0.1, description="Largest share of rows that earlier versions have too; warns")
    history: int = Field(4, ge=0, le=1_000, description="Earlier versions that are searched for duplicates")
    warn_only: tuple[str, ...] = Field((), description="Checks that warn instead of refusing the version")
    refuse: tuple[str, ...] = Field((), description="Checks that refuse the version instead of warning")

    @model_validator(mode="after")
    def _satisfiable(self) -> GateSettings:
        both = sorted(set(self.warn_only) & set(self.refuse))
        if both:
            raise ValueError(f"{both[0]!r} stands in warn_only and in refuse")
        for given, strict in ((self.ess_ratio, STRICT_ESS_RATIO), (self.alpha, STRICT_ALPHA)):
            if self.profile == "strict" and max(given.low, strict.low) > min(given.high, strict.high):
                raise ValueError(f"{given.low} to {given.high} and the strict {strict.low} to {strict.high} exclude "
                                 "each other")
        return self

    @property
    def ess_ratio_limits(self) -> Range:
        return self.ess_ratio.within(STRICT_ESS_RATIO) if self.profile == "strict" else self.ess_ratio

    @property
    def alpha_limits(self) -> Range:
        return self.alpha.within(STRICT_ALPHA) if self.profile == "strict" else self.alpha


class BestOfSettings(Section):
    method: Literal["all", "verification", "reward", "likelihood", "teacher_likelihood", "majority"] = Field(
        "all", description="How the kept draws of a prompt are ranked; all keeps every one")
    keep: int = Field(1, ge=1, description="Draws per prompt that stay")
    score_column: str = Field("score", description="Column of the diagnostics or the data with the reward")


class ReplaySettings(Section):
    share: float = Field(0.0, ge=0, lt=1, description="Share of the version's rows that come from earlier versions")
    versions: int = Field(5, ge=1, le=1000, description="How many earlier versions to take them from, newest first")


class MixingSettings(Section):
    """Shares of the version's new rows. Values that are not named share what is left."""

    kind: dict[str, Unit] = Field(default_factory=dict, description="Share by kind of problem")
    source: dict[str, Unit] = Field(default_factory=dict, description="Share by source")
    difficulty: dict[Literal["easy", "medium", "hard", "unknown"], Unit] = Field(
        default_factory=dict, description="Share by difficulty: easy, medium, hard, unknown")
    hard_below: Unit = Field(0.34, description="Share of right draws of a prompt below which it is hard")
    easy_from: Unit = Field(0.67, description="Share of right draws of a prompt from which it is easy")
    min_draws: int = Field(4, ge=1, description="Fewest draws of a prompt to tell its difficulty")
    max_drop: Unit = Field(0.5, description="Largest share of the kept rows given up to reach the shares")
    replay: ReplaySettings = ReplaySettings()

    @model_validator(mode="after")
    def _possible(self) -> MixingSettings:
        for name, shares in (("kind", self.kind), ("source", self.source), ("difficulty", self.difficulty)):
            if sum(shares.values()) > 1.0 + 1e-9:
                raise ValueError(f"the shares of mixing.{name} add up to more than 1")
        if self.hard_below > self.easy_from:
            raise ValueError(f"mixing.hard_below ({self.hard_below}) is above mixing.easy_from ({self.easy_from})")
        return self


class PairSettings(Section):
    method: Literal["verified", "score", "likelihood", "teacher_student"] = Field(
        "verified", description="Which draw of a prompt is preferred to which")
    per_prompt: int = Field(1, ge=1, le=1000, description="Most pairs of one prompt")
    margin: float = Field(0.0, ge=0, description="Smallest difference of the values for score and likelihood")
    balance_length: bool = Field(False, description="Drops pairs until as many chosen texts are longer as are shorter")
    seed: int = Field(0, description="Seed of the choice")


class ExportSettings(Section):
    pairs: PairSettings = PairSettings()
    validation: float = Field(0.0, ge=0, lt=1, description="Share of the prompts that go into a validation split")
    rows_per_file: int = Field(50_000, ge=1, description="Rows of one data file at most")


class OutputSettings(Section):
    traces: bool = Field(True, description="Keep token, log π_θ, log π_t, log q and α of every token as Parquet")
    report_samples: int = Field(5_000, ge=0, le=50_000, description="Samples in the report, taken in turn from every "
                                "outcome and reason")
    report_told: int = Field(1_000, ge=0, le=50_000, description="How many of them are told token by token")
    report_megabytes: float = Field(10, ge=1, le=200, description="Size of the report; the samples that come last are "
                                    "left out, tokens before texts")


class SetRole(StrEnum):
    """What a set of held-out problems is for: it decides, it must not fall, or it is only told."""

    TARGET = "target"
    GUARD = "guard"
    REPORT = "report"


class EvaluationSet(Section):
    name: Name = Field(description="Name of the set; its measures begin with it")
    role: SetRole = Field(SetRole.GUARD, description="target decides, guard must not fall, report is only told")
    source: SourceSettings | None = Field(None, description="Where its problems come from; empty: what "
                                                            "source.validation holds out, or of a built-in source "
                                                            "problems of another seed")
    kinds: tuple[str, ...] = Field((), description="Kinds of problem that it takes; empty: all")
    where: dict[str, tuple[JsonValue, ...]] = Field(
        default_factory=dict, description="Values of a problem's meta that it takes, such as difficulty: [3, 4]")
    prompts: int = Field(200, ge=1, le=100_000, description="Problems of one round")


class JudgeSettings(Section):
    """Who compares two students' replies. A reward model, or a language model behind an endpoint."""

    reward_model: str | None = Field(None, description="Reward model: folder, hub id, store:LINE")
    tie: float = Field(0.0, ge=0, description="Difference of two rewards up to which they tie")
    base_url: str | None = Field(None, pattern=r"^https?://", description="Address of an OpenAI-compatible endpoint")
    model: str | None = Field(None, description="Name of the model there")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable with the endpoint's key")

    @model_validator(mode="after")
    def _one_judge(self) -> JudgeSettings:
        if self.reward_model is not None and self.base_url is not None:
            raise ValueError("set evaluation.judge.reward_model or base_url, and not both")
        if (self.base_url is None) != (self.model is None):
            raise ValueError("evaluation.judge.base_url and model belong together")
        return self

    @property
    def named(self) -> bool:
        return self.reward_model is not None or self.base_url is not None


class EvaluationSettings(Section):
    """How a student is measured. docs/evaluation.md tells what each measure is."""

    sets: tuple[EvaluationSet, ...] = Field(
        (EvaluationSet(name="target", role=SetRole.TARGET),), description="Sets of held-out problems, one the target")
    measures: tuple[str, ...] = Field(
        ("accuracy", "pass_at_k", "perplexity", "length", "hedging", "leaks"),
        description="What is measured: accuracy, pass_at_k, perplexity, rouge, length, hedging, leaks")
    verifier: FilterStep = Field(FilterStep(name="answer"), description="Filter that says whether a reply is right")
    draws: int = Field(4, ge=1, le=1000, description="Samples of a problem for pass_at_k, beside the greedy reply")
    pass_at: tuple[Annotated[int, Field(ge=1)], ...] = Field((1, 4), description="Values of k, at most draws")
    temperature: float = Field(1.0, ge=1e-6, le=10, description="Temperature of those samples")
    max_tokens: int = Field(64, ge=1, description="Longest reply in tokens")
    seed: int = Field(0, ge=-(2**62), le=2**62, description="Seed of the samples")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of the intervals")
    final_share: float = Field(0.25, gt=0, lt=1, description="Share of the held-out problems that never decide")
    judge: JudgeSettings = JudgeSettings()
    harness: tuple[str, ...] = Field((), description="Tasks of lm-evaluation-harness to run as well")
    harness_timeout: float = Field(3600, gt=0, description="Seconds that lm-evaluation-harness may take")

    @model_validator(mode="after")
    def _consistent(self) -> EvaluationSettings:
        names = [one.name for one in self.sets]
        if len(set(names)) < len(names):
            raise ValueError("two sets of evaluation.sets have one name")
        if sum(one.role is SetRole.TARGET for one in self.sets) != 1:
            raise ValueError("exactly one of evaluation.sets has the role target")
        if self.verifier.name not in ("answer", "code"):
            raise ValueError(f"evaluation.verifier = {self.verifier.name} does not verify; use answer or code")
        if max(self.pass_at, default=0) > self.draws:
            raise ValueError(f"evaluation.pass_at has a k above evaluation.draws ({self.draws})")
        return self


class PromotionSettings(Section):
    """When a new student takes the old one's place. docs/evaluation.md tells how each is tested."""

    measure: str = Field("accuracy", description="Measure of the target set that must be better")
    level: float = Field(0.05, gt=0, lt=0.5, description="Error rate of each one-sided test")
    min_gain: float = Field(0.0, ge=0, description="Smallest gain worth a promotion, beside the test")
    margins: dict[str, Annotated[float, Field(ge=0)] | None] = Field(
        {"accuracy": 0.1, "hedging": 0.02, "leaks": 0.05},
        description="How much worse a figure may be, shown by a test on every guard set, and on the target set unless "
                    "it is the one that decides; empty: no bound")
    max_kl: float | None = Field(2.0, gt=0, description="Largest mean KL(new‖old) per token of the new student's "
                                                        "samples; empty: no bound")
    kl_prompts: int = Field(32, ge=1, le=10_000, description="Problems that KL is estimated on")
    max_length_ratio: float | None = Field(2.0, gt=1, description="Largest ratio of the mean lengths of replies, "
                                                                  "either way; empty: no bound")
    min_win_rate: Unit | None = Field(None, description="Lower bound that the length-controlled win rate must show; "
                                                        "needs evaluation.judge")


DEFAULT_FILTERS = (
    FilterStep(name="finish"),
    FilterStep(name="length"),
    FilterStep(name="answer"),
    FilterStep(name="duplicate"),
)


class Settings(Section):
    dataset: Name = Field("demo", description="Name of the dataset that the rounds build")
    source: SourceSettings = SourceSettings()
    student: StudentSettings = StudentSettings()
    teacher: TeacherSettings = TeacherSettings()
    prompts: PromptSettings = PromptSettings()
    alpha: AlphaSettings = AlphaSettings()
    sampling: SamplingSettings = SamplingSettings()
    support: SupportSettings = SupportSettings()
    engine: EngineSettings = EngineSettings()
    serve: ServeSettings = ServeSettings()
    round: RoundSettings = RoundSettings()
    filters: tuple[FilterStep, ...] = Field(DEFAULT_FILTERS, description="Filters, in order")
    filtering: FilteringSettings = FilteringSettings()
    best_of: BestOfSettings = BestOfSettings()
    mixing: MixingSettings = MixingSettings()
    gate: GateSettings = GateSettings()
    export: ExportSettings = ExportSettings()
    output: OutputSettings = OutputSettings()
    training: Recipe | None = Field(None, description="How `qstar train` trains: `recipe` and its settings, below; "
                                                      "empty: sft")
    reward: RewardSettings | None = Field(None, description="How `qstar reward train` trains: docs/reward.md; empty: "
                                                            "the defaults")
    rlhf: RlhfSettings | None = Field(None, description="How the flow rlhf trains: docs/reward.md; empty: the defaults")
    evaluation: EvaluationSettings = EvaluationSettings()
    promotion: PromotionSettings = PromotionSettings()
    loop: LoopSettings = LoopSettings()
    store: StoreSettings = StoreSettings()
    operations: OperationsSettings = OperationsSettings()
    metrics: MetricsSettings = MetricsSettings()
