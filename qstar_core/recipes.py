"""Settings of training: one class a recipe, told apart by `recipe`. Like config.py, the only home of their defaults.

docs/training.md says which recipe is for what. Names of losses are those of TRL.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from qstar_core.records import JsonObject
from qstar_core.section import Name, Section

Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Schedule = Literal["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup",
                   "inverse_sqrt"]


class PeftSettings(Section):
    kind: str = Field("none", description="none (all weights), lora, qlora (4-bit base, CUDA only), or another kind "
                                          "that PEFT has, such as dora, ia3, vera, oft")
    rank: int = Field(16, ge=1, description="Rank of lora, qlora and dora")
    alpha: float = Field(32, gt=0, description="Scale of lora, qlora and dora")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout of lora, qlora and dora")
    modules: tuple[str, ...] = Field((), description="Names of the layers it acts on; empty: all linear layers, "
                                                     "where the kind can, else PEFT's choice")
    options: JsonObject = Field(default_factory=dict, description="More fields of the kind's PEFT configuration")


class Training(Section):
    """What all recipes have."""

    learning_rate: Rate = Field(2e-5, description="Peak learning rate")
    schedule: Schedule = Field("cosine", description="Learning rate schedule")
    warmup: Share = Field(0.05, description="Share of the steps in which the rate rises")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient")
    epochs: float = Field(1.0, gt=0, description="Passes over the rows")
    max_steps: int | None = Field(None, ge=1, description="Steps at most, instead of epochs")
    batch_size: int = Field(32, ge=1, description="Rows (or completions drawn) per step, over all devices")
    micro_batch: int = Field(8, ge=1, description="Rows in memory at a time on one device; halved when memory runs out")
    max_length: int = Field(1024, ge=8, description="Longest prompt plus completion in tokens")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of everything random")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: bfloat16 on a device that has it, else float32")
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(
        "auto", description="Recompute activations instead of keeping them; auto: not on CPU")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where training runs")
    processes: int = Field(1, ge=1, le=1024, description="Processes, one a GPU, which accelerate starts")
    validation: float = Field(0.0, ge=0, lt=1, description="Share of the prompts for a validation split, where the "
                                                           "data have none")
    evaluate_every: int = Field(50, ge=1, description="Steps between two looks at the validation split")
    patience: int | None = Field(None, ge=1, description="Looks without a better validation loss after which training "
                                                         "stops; the best weights are kept")
    save_every: int = Field(200, ge=1, description="Steps between two states to resume from")
    tensorboard: bool = Field(True, description="Write curves below .qstar/tensorboard")
    wandb: bool = Field(False, description="Send curves to Weights & Biases, where that is installed and logged in")
    peft: PeftSettings = Field(PeftSettings(), description="What is trained")

    @model_validator(mode="after")
    def _possible(self) -> Training:
        if self.patience is not None and self.max_steps is not None and self.evaluate_every >= self.max_steps:
            raise ValueError("patience needs evaluate_every below max_steps")
        return self


class Sft(Training):
    """Supervised fine-tuning on the kept completions; the loss is on the completion and its end mark alone."""

    recipe: Literal["sft"] = "sft"
    loss: Literal["nll", "dft"] = Field("nll", description="nll, or dft, which weights every token by its probability")


class WeightedSft(Training):
    """SFT with importance weights π_θ/q* of the traces: an estimate under the student itself. Weights are truncated,
    then self-normalised."""

    recipe: Literal["weighted_sft"] = "weighted_sft"
    level: Literal["token", "sequence"] = Field("sequence", description="One weight a token or one a completion")
    max_weight: float = Field(10.0, gt=0, description="Largest weight before normalising")
    min_ess: float = Field(1.0, ge=1, description="Fewest effective completions; below, training is refused")


class LogitDistillation(Training):
    """Cross-entropy to the likeliest tokens of q* that the traces keep (engine.top_logprobs)."""

    recipe: Literal["logit_distillation"] = "logit_distillation"
    tail: bool = Field(True, description="Count the mass outside of the kept tokens as one token more")


class Preference(Training):
    learning_rate: Rate = Field(5e-7, description="Peak learning rate")
    beta: float = Field(0.1, gt=0, description="Strength of the pull to the reference; for ipo, its τ")


DpoLoss = Literal["sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot",
                  "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"]


class Dpo(Preference):
    """Direct preference optimisation, in all variants that TRL has."""

    recipe: Literal["dpo"] = "dpo"
    loss: tuple[DpoLoss, ...] = Field(("sigmoid",), min_length=1, description="Losses, added up")
    loss_weights: tuple[float, ...] = Field((), description="Weight of each loss; empty: 1")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="Share of wrong labels that robust and exo_pair "
                                                                    "expect")

    @field_validator("loss", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _losses_fit(self) -> Dpo:
        if self.loss_weights and len(self.loss_weights) != len(self.loss):
            raise ValueError(f"there are {len(self.loss)} losses and {len(self.loss_weights)} loss_weights")
        if "exo_pair" in self.loss and not self.label_smoothing:
            raise ValueError("exo_pair needs label_smoothing above 0, such as 0.001")
        return self


class Cpo(Preference):
    """Contrastive preference optimisation: no reference model."""

    recipe: Literal["cpo"] = "cpo"
    learning_rate: Rate = Field(1e-6, description="Peak learning rate")
    loss: Literal["sigmoid", "hinge", "ipo", "simpo", "alphapo"] = Field("sigmoid", description="Loss of the pair")
    sft_weight: float = Field(1.0, ge=0, description="Weight of the loss on the chosen text")
    gamma: float = Field(0.5, ge=0, description="Margin of simpo")
    reward_alpha: float = Field(0.0, description="Shape of the reward of alphapo")


class SimPo(Cpo):
    """Length-normalised rewards with a margin, without a reference model."""

    recipe: Literal["simpo"] = "simpo"  # type: ignore[assignment]
    beta: float = Field(2.0, gt=0, description="Scale of the reward")
    loss: Literal["simpo"] = Field("simpo", description="Loss of the pair")
    sft_weight: float = Field(0.0, ge=0, description="Weight of the loss on the chosen text")
    gamma: float = Field(1.0, ge=0, description="Margin")


class Orpo(Preference):
    """SFT on the chosen text plus the odds ratio of the pair; no reference model."""

    recipe: Literal["orpo"] = "orpo"
    learning_rate: Rate = Field(8e-6, description="Peak learning rate")
    beta: float = Field(0.1, gt=0, description="Weight of the odds ratio")


class Kto(Preference):
    """Kahneman–Tversky optimisation: completions that are good or bad, no pairs."""

    recipe: Literal["kto"] = "kto"
    loss: Literal["kto", "apo_zero_unpaired"] = Field("kto", description="Loss")
    good_weight: float = Field(1.0, gt=0, description="Weight of good completions")
    bad_weight: float = Field(1.0, gt=0, description="Weight of bad completions")

    @model_validator(mode="after")
    def _more_than_one(self) -> Kto:
        if self.loss == "kto" and min(self.batch_size, self.micro_batch) < 2:
            raise ValueError("kto compares rows of one micro batch: batch_size and micro_batch are at least 2")
        return self


class Online(Training):
    """Recipes that draw completions of the student while they train."""

    learning_rate: Rate = Field(1e-6, description="Peak learning rate")
    generations: int = Field(8, ge=2, description="Completions of one prompt")
    max_new_tokens: int = Field(256, ge=1, description="Longest completion drawn")
    temperature: float = Field(1.0, gt=0, description="Temperature of drawing")

    @model_validator(mode="after")
    def _groups_fit(self) -> Online:
        if self.batch_size % self.generations:
            raise ValueError(f"batch_size ({self.batch_size}) is no multiple of generations ({self.generations})")
        return self


class Rewarded(Online):
    reward: Literal["verifier", "model"] = Field("verifier", description="1 for the gold answer, or a reward model")
    beta: float = Field(0.04, ge=0, description="Weight of the KL to the student as it was")
    epsilon: float = Field(0.2, gt=0, description="How far a ratio may go before it is clipped")
    iterations: int = Field(1, ge=1, description="Steps on the same completions")


class Grpo(Rewarded):
    """Group-relative policy optimisation."""

    recipe: Literal["grpo"] = "grpo"
    epsilon_high: float | None = Field(None, gt=0, description="Upper clip, where it differs")
    loss: Literal["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo"] = Field("dapo", description="Loss")
    level: Literal["token", "sequence"] = Field("token", description="Ratios of tokens or of completions")
    scale: Literal["group", "batch", "none"] = Field("group", description="What rewards are divided by: the standard "
                                                                          "deviation of the group, of the batch, 1")


class Gspo(Grpo):
    """GRPO with ratios of whole completions."""

    recipe: Literal["gspo"] = "gspo"  # type: ignore[assignment]
    beta: float = Field(0.0, ge=0, description="Weight of the KL to the student as it was")
    epsilon: float = Field(3e-4, gt=0, description="How far a ratio may go down before it is clipped")
    epsilon_high: float | None = Field(4e-4, gt=0, description="How far it may go up")
    loss: Literal["grpo"] = Field("grpo", description="Loss")
    level: Literal["sequence"] = Field("sequence", description="Ratios of completions")


class Rloo(Rewarded):
    """REINFORCE with a leave-one-out baseline: the on-policy RL baseline. TRL has no PPO."""

    recipe: Literal["rloo"] = "rloo"
    beta: float = Field(0.05, ge=0, description="Weight of the KL in the reward")


class Gkd(Training):
    """Generalised knowledge distillation: the teacher's distribution on completions of the data and of the student."""

    recipe: Literal["gkd"] = "gkd"
    on_policy: Share = Field(0.5, description="Share of the steps on completions that the student draws")
    beta: Share = Field(0.5, description="0: KL(teacher‖student), 1: KL(student‖teacher), between: Jensen–Shannon")
    max_new_tokens: int = Field(256, ge=1, description="Longest completion drawn")
    temperature: float = Field(1.0, gt=0, description="Temperature of drawing")


class OnPolicyDistillation(Training):
    """The teacher's distribution on completions of the student alone."""

    recipe: Literal["on_policy_distillation"] = "on_policy_distillation"
    learning_rate: Rate = Field(1e-6, description="Peak learning rate")
    beta: Share = Field(1.0, description="0: KL(teacher‖student), 1: KL(student‖teacher), between: Jensen–Shannon")
    max_new_tokens: int = Field(256, ge=1, description="Longest completion drawn")
    temperature: float = Field(1.0, gt=0, description="Temperature of drawing and of the loss")


class SelfDistillation(Online):
    """The student learns what it would say itself, had it seen a kept completion of q* (SDFT)."""

    recipe: Literal["self_distillation"] = "self_distillation"
    learning_rate: Rate = Field(2e-5, description="Peak learning rate")
    generations: int = Field(1, ge=1, description="Completions of one prompt")
    beta: Share = Field(0.5, description="0: KL(hinted‖student), 1: KL(student‖hinted), between: Jensen–Shannon")
    top_k: int = Field(100, ge=1, description="Likeliest tokens that are compared")
    teacher: Literal["base", "live", "ema"] = Field("base", description="Who is hinted: the student as it was, as it "
                                                                        "is, or a moving average")
    template: str = Field("{prompt}\n\n{privileged_context}", description="What the hinted student reads")


def _told(value: Any) -> Any:
    """Without a recipe it is sft; PPO is named in papers that TRL no longer follows."""
    if isinstance(value, dict) and str(value.get("recipe", "")).lower() == "ppo":
        raise ValueError("TRL has no PPO trainer any more: take rloo or grpo, which need no value model")
    return {"recipe": "sft", **value} if isinstance(value, dict) else value


Recipe = Annotated[
    Annotated[Sft | WeightedSft | LogitDistillation | Dpo | Cpo | SimPo | Orpo | Kto | Grpo | Gspo | Rloo | Gkd
              | OnPolicyDistillation | SelfDistillation, Field(discriminator="recipe")],
    BeforeValidator(_told),
]

RECIPES: dict[str, type[Training]] = {
    kind.model_fields["recipe"].default: kind for kind in (
        Sft, WeightedSft, LogitDistillation, Dpo, Cpo, SimPo, Orpo, Kto, Grpo, Gspo, Rloo, Gkd, OnPolicyDistillation,
        SelfDistillation)
}


class RewardSettings(Training):
    """A reward model: what it learns from, from where it starts, and how; the rest is as for every training."""

    line: Name = Field("reward", description="Line of checkpoints that the reward models belong to")
    base: str = Field("builtin:tiny-student", description="Language model that it starts from: folder, hub id, "
                                                          "builtin:NAME, store:LINE")
    revision: str | None = Field(None, description="Revision of a hub id")
    pairs: str = Field("builtin:corruptions", description="Preference pairs: file, folder, pattern, s3:// prefix, hub "
                                                          "id, an export, or builtin:corruptions")
    columns: dict[str, str] = Field(default_factory=dict, description="Column by the name that is expected: prompt, "
                                                                      "chosen, rejected, margin")
    subset: str | None = Field(None, description="Configuration of a hub dataset")
    split: str = Field("train", description="Split of a hub dataset or folder")
    pairs_revision: str | None = Field(None, description="Revision of a hub dataset")
    limit: int | None = Field(None, ge=1, description="Pairs to read at most; of builtin:corruptions 8000 unless set")
    learning_rate: Rate = Field(1e-5, description="Peak learning rate")
    max_length: int = Field(512, ge=8, description="Longest prompt plus reply in tokens")
    too_long: Literal["shorten", "drop"] = Field(
        "shorten", description="A pair that is longer loses the beginning of its prompt, or is dropped")
    validation: float = Field(0.1, gt=0, lt=1, description="Share of the prompts that the model is judged and "
                                                           "calibrated by")
    margin: float = Field(0.0, ge=0, description="By how much a chosen reply shall score higher at least")
    row_margins: bool = Field(False, description="Add the margin, or difference of scores, that a row tells")
    centre: float = Field(0.0, ge=0, description="Weight of the squared sum of a pair's scores, such as 0.01, which "
                                                 "keeps scores around 0")
    calibration: Literal["temperature", "isotonic"] = Field("temperature", description="Curve from scores to "
                                                                                       "probabilities")
    warm_start: int = Field(0, ge=0, description="Steps before, in which the base learns to name the right token where "
                                                 "tokens of chosen replies were replaced")
    warm_start_rate: Rate = Field(3e-3, description="Peak learning rate of these steps")
    extra_layers: int = Field(0, ge=0, le=64, description="Layers put on top of the base, which change nothing at "
                                                          "first; two-layer models need some to compare")

    @model_validator(mode="after")
    def _supported(self) -> RewardSettings:
        told = {"processes": self.processes != 1, "patience": self.patience is not None, "wandb": self.wandb,
                "peft.kind qlora": self.peft.kind == "qlora"}
        if wrong := [name for name, given in told.items() if given]:
            raise ValueError(f"reward models are trained without {', '.join(wrong)}")
        if self.extra_layers and self.peft.kind != "none":
            raise ValueError("extra_layers are trained whole: set peft.kind to none")
        return self


class RlhfSettings(Section):
    """The flow rlhf: SFT, a reward model that starts from its student (`reward`), and a policy that it rewards."""

    sft: Sft = Field(Sft(), description="First, SFT on the data")
    policy: Grpo = Field(Grpo(reward="model"), description="Last, GRPO on the questions of the data")
