"""Preference pairs → a calibrated reward model, by TRL's RewardTrainer (Bradley–Terry).

The head starts on the base's weights and reads the last token of the conversation. TRL is given ids, so that nothing is
cut or left out behind our back, and a padding id that no pair contains, so that it reads the same token that scoring
does. A work folder that was left by a kill is resumed at its newest sound state.
"""

from __future__ import annotations

import copy
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from qstar_core.checkpoints import decisive_files
from qstar_core.engine.hf import COMPLETE, first_line, read_config
from qstar_core.engine.scoring import ConversationTokenizer
from qstar_core.errors import DataError, ModelError, TrainingError
from qstar_core.home import subfolder
from qstar_core.plural import counted
from qstar_core.recipes import RewardSettings
from qstar_core.records import ModelRef, content_hash
from qstar_core.reward.calibration import KEY, write_calibration
from qstar_core.reward.encoding import EncodedPairs, encode
from qstar_core.reward.judging import Judged, judge
from qstar_core.reward.measures import halves
from qstar_core.reward.model import RewardModel
from qstar_core.reward.pairs import PairSet, split_by_prompt
from qstar_core.training.hardware import Hardware, Portions, hardware_for, portions_for
from qstar_core.training.libraries import prepare
from qstar_core.training.reward_start import put_on_top, warm_start
from qstar_core.training.run import out_of_memory
from qstar_core.training.states import newest
from qstar_core.training.students import peft_config
from qstar_core.training.watching import OnProgress, Progress, Watch

HEAD = "score.weight"
_LOG_EVERY = 10


@dataclass(frozen=True, slots=True)
class TrainedReward:
    """`judged` is what it is worth on the prompts held out; `dropped` counts pairs that were not used, by reason."""

    folder: Path
    judged: Judged
    metrics: dict[str, float]
    trained_on: int
    dropped: dict[str, int]


def train_reward_model(settings: RewardSettings, base: ModelRef, pairs: PairSet, work: Path,
                       on_progress: OnProgress) -> TrainedReward:
    """`work` holds the states while it runs, and the finished model in `model/`."""
    if base.adapter is not None:
        raise ModelError(f"{base.name} is an adapter", "merge it into a checkpoint, and take that as reward.base")
    tokenizer = ConversationTokenizer(Path(base.path))
    split = split_by_prompt(pairs.pairs, settings.validation)
    limit = min(settings.max_length, _window(Path(base.path)))
    train, held_out = (encode(part, tokenizer, limit, settings.too_long == "shorten")
                       for part in (split.train, split.held_out))
    if not train.pairs or not held_out.pairs:
        raise DataError(f"no pair fits into {limit} tokens: {train.dropped or held_out.dropped}",
                        "raise reward.max_length, or take another base")
    halves(held_out.sources)  # what is too little to judge by is told before the work
    name, folder, start = _state_name(settings, base, train), work / "model", Path(base.path)
    if settings.warm_start:
        start = warm_start(settings, base, tokenizer, train.sources, work / f"warm-{name}", on_progress)
    metrics = _fitted(settings, start, tokenizer, train, work / f"states-{name}", folder, on_progress)
    on_progress(Progress(text=f"judging by {len(held_out.pairs)} pairs of prompts held out"))
    judged = judge(RewardModel(base.name, folder, hardware_for(settings).device, None), held_out.sources,
                   settings.calibration)
    write_calibration(folder, judged.calibration)
    dropped = {reason: pairs.dropped.get(reason, 0) + train.dropped.get(reason, 0) + held_out.dropped.get(reason, 0)
               for reason in {*pairs.dropped, *train.dropped, *held_out.dropped}}
    return TrainedReward(folder, judged, metrics, len(train.pairs), dropped)


def _state_name(settings: RewardSettings, base: ModelRef, train: EncodedPairs) -> str:
    """States of other pairs, settings or weights are not gone on with."""
    told = settings.model_dump(mode="json", exclude={"micro_batch", "device", "tensorboard", "wandb", "save_every"})
    ids = [[pair.chosen, pair.rejected, pair.margin] for pair in train.pairs]
    return content_hash([told, base.sha256, ids])[:16]


def _window(path: Path) -> int:
    return int(getattr(read_config(path).get_text_config(), "max_position_embeddings", 1 << 30))


def _fitted(settings: RewardSettings, start: Path, tokenizer: ConversationTokenizer, train: EncodedPairs,
            states: Path, folder: Path, on_progress: OnProgress) -> dict[str, float]:
    hardware = hardware_for(settings)
    portions = portions_for(settings, hardware.processes)
    while True:
        try:
            return _attempt(settings, start, tokenizer, train, states, portions, hardware, folder, on_progress)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        portions = portions.smaller()
        on_progress(Progress(text=f"memory ran out; going on with {counted(portions.micro, 'pair')} at a time"))


def _attempt(settings: RewardSettings, start: Path, tokenizer: ConversationTokenizer, train: EncodedPairs, states: Path,
             portions: Portions, hardware: Hardware, folder: Path, on_progress: OnProgress) -> dict[str, float]:
    trainer, watch = _trainer(settings, start, tokenizer, train, states, portions, hardware, on_progress)
    if settings.tensorboard:
        from torch.utils.tensorboard import SummaryWriter
        from transformers.integrations import TensorBoardCallback

        where = subfolder("tensorboard") / settings.line / f"reward-{states.name}"
        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(where))))
    state = newest(states)
    done = trainer.train(resume_from_checkpoint=str(state) if state else None)
    if not math.isfinite(done.training_loss):
        raise TrainingError(f"the loss is {done.training_loss}", "lower reward.learning_rate")
    _save(trainer, tokenizer, folder)
    return {**watch.metrics, "train_loss": float(done.training_loss), "steps": float(done.global_step),
            "steps_per_second": float(done.metrics["train_steps_per_second"])}


def _trainer(settings: RewardSettings, start: Path, tokenizer: ConversationTokenizer, train: EncodedPairs,
             states: Path, portions: Portions, hardware: Hardware, on_progress: OnProgress) -> tuple[Any, Watch]:
    prepare()
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import RewardConfig, RewardTrainer

    margins = settings.margin > 0 or settings.row_margins
    rows = [{"chosen_ids": list(pair.chosen), "rejected_ids": list(pair.rejected),
             **({"margin": settings.margin + (pair.margin if settings.row_margins else 0.0)} if margins else {})}
            for pair in train.pairs]
    arguments = RewardConfig(
        output_dir=str(states), per_device_train_batch_size=portions.micro,
        gradient_accumulation_steps=portions.accumulation, learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule, warmup_steps=settings.warmup, weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip, num_train_epochs=settings.epochs, max_steps=settings.max_steps or -1,
        center_rewards_coefficient=settings.centre or None, max_length=None, seed=settings.seed,
        use_cpu=hardware.cpu, bf16=hardware.dtype is torch.bfloat16, fp16=hardware.dtype is torch.float16,
        gradient_checkpointing=hardware.checkpointing, logging_steps=_LOG_EVERY, logging_nan_inf_filter=False,
        save_steps=settings.save_every, save_total_limit=2, report_to="none", disable_tqdm=True,
        dataloader_pin_memory=hardware.device == "cuda")
    watch = Watch(on_progress)
    trainer = RewardTrainer(
        model=_network(settings, start), args=arguments, train_dataset=Dataset.from_list(rows),
        processing_class=_padded(tokenizer, train), peft_config=_adapter(settings), callbacks=[watch])
    trainer.remove_callback(PrinterCallback)
    return trainer, watch


def _network(settings: RewardSettings, start: Path) -> Any:
    """The base with a head of one output; noise in any other place is an error."""
    from transformers import AutoModelForSequenceClassification, set_seed

    set_seed(settings.seed)
    try:
        network, report = AutoModelForSequenceClassification.from_pretrained(
            str(start), num_labels=1, dtype=torch.float32, use_safetensors=True, trust_remote_code=False,
            output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot load {start}: {first_line(error)}", COMPLETE) from None
    if missing := sorted(set(report["missing_keys"]) - {HEAD}):
        raise ModelError(f"the weights in {start} lack {missing[0]}", COMPLETE)
    if not hasattr(network, "score"):
        raise ModelError(f"{start} is no decoder", "take a causal language model as reward.base")
    put_on_top(network, 0 if settings.warm_start else settings.extra_layers)  # a warm start has put them there
    if hasattr(network.config, KEY):  # the base's calibration would outlive its weights
        delattr(network.config, KEY)
    return network


def _adapter(settings: RewardSettings) -> Any:
    if settings.peft.kind == "none":
        return None
    config = peft_config(settings.peft)
    config.task_type = "SEQ_CLS"
    config.modules_to_save = ["score"]
    return config


def _padded(tokenizer: ConversationTokenizer, train: EncodedPairs) -> Any:
    """The tokenizer, padding with an id that no pair contains, which TRL and transformers then tell the model.
    transformers reads the last token that is not this id: were it the end mark, as in many a tokenizer, the end would
    not be read."""
    used = {number for pair in train.pairs for ids in (pair.chosen, pair.rejected) for number in ids}
    padded = copy.deepcopy(tokenizer.tokenizer)
    usual = [] if padded.pad_token_id is None else [padded.pad_token_id]
    free = next((number for number in [*usual, *range(len(padded))] if number not in used), None)
    if free is None:
        raise DataError("the pairs use every id of the tokenizer, so that none is left to pad with",
                        "add a padding token to the tokenizer of reward.base")
    padded.pad_token = padded.convert_ids_to_tokens(free)
    return padded


def _save(trainer: Any, tokenizer: ConversationTokenizer, folder: Path) -> None:
    """All weights in safetensors, the adapter merged, with the base's tokenizer."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.config.use_cache = True
    shutil.rmtree(folder, ignore_errors=True)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(str(part))
    for file in decisive_files(tokenizer.path):
        if ".safetensors" not in file.name and file.name != "config.json":
            shutil.copyfile(file, part / file.name)
    part.rename(folder)
