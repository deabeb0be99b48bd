"""A warm start for a small reward model: the base first learns to name the right token wherever tokens of chosen
replies were replaced by other tokens of the same reply.

A pair teaches one bit, a replaced token several; what tells right from wrong is learnt here, and the pairs then teach
what to make of it. Only chosen replies of the training prompts are used, and no kind of fault is shown.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from qstar_core.engine.scoring import ConversationTokenizer
from qstar_core.errors import ConfigError
from qstar_core.recipes import RewardSettings
from qstar_core.records import ModelRef
from qstar_core.reward.pairs import PreferencePair
from qstar_core.training.hardware import hardware_for, portions_for
from qstar_core.training.libraries import prepare
from qstar_core.training.students import load_network
from qstar_core.training.watching import OnProgress, Watch

IGNORED = -100
_ENDS = ("self_attn.o_proj", "mlp.down_proj")  # what a layer adds to the residual stream comes out of these
REPLACED = 0.3


def warm_start(settings: RewardSettings, base: ModelRef, tokenizer: ConversationTokenizer,
               pairs: Sequence[PreferencePair], folder: Path, on_progress: OnProgress) -> Path:
    """The folder with the weights; one that is there already is whole."""
    if folder.is_dir():
        return folder
    prepare()
    from datasets import Dataset
    from transformers import DataCollatorForSeq2Seq, PrinterCallback
    from trl import SFTConfig, SFTTrainer

    hardware = hardware_for(settings)
    portions = portions_for(settings, hardware.processes)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    rows = list(replaced_rows(settings, tokenizer, pairs))
    network = load_network(base.name, Path(base.path), hardware.dtype)
    put_on_top(network, settings.extra_layers)
    trainer = SFTTrainer(
        model=network, processing_class=tokenizer.tokenizer,
        train_dataset=Dataset.from_list(rows), callbacks=[Watch(on_progress)],
        data_collator=DataCollatorForSeq2Seq(tokenizer.tokenizer, label_pad_token_id=IGNORED),
        args=SFTConfig(
            output_dir=str(part), per_device_train_batch_size=portions.micro,
            gradient_accumulation_steps=portions.accumulation, max_steps=settings.warm_start,
            learning_rate=settings.warm_start_rate, lr_scheduler_type="linear", warmup_steps=settings.warmup,
            weight_decay=settings.weight_decay, max_grad_norm=settings.clip, seed=settings.seed, max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True}, remove_unused_columns=False, use_cpu=hardware.cpu,
            bf16=False, fp16=False, gradient_checkpointing=hardware.checkpointing, logging_steps=10,
            logging_nan_inf_filter=False, save_strategy="no", report_to="none", disable_tqdm=True,
            dataloader_pin_memory=hardware.device == "cuda"))
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(str(part))
    part.rename(folder)
    return folder


def replaced_rows(settings: RewardSettings, tokenizer: ConversationTokenizer,
                  pairs: Sequence[PreferencePair]) -> Iterator[dict[str, Any]]:
    """Every row is drawn anew, so that no place is known by heart."""
    rng = random.Random(f"warm start/{settings.seed}")
    known: dict[int, tuple[list[int], int]] = {}
    for _ in range(settings.warm_start * settings.batch_size):
        index = rng.randrange(len(pairs))
        if index not in known:
            ids, reply = tokenizer.ids(pairs[index].prompt, pairs[index].chosen)
            known[index] = ids[-settings.max_length :], min(reply, settings.max_length)
        ids, reply = known[index]
        asked, said = ids[: len(ids) - reply], ids[len(ids) - reply :]
        seen = [rng.choice(said) if rng.random() < REPLACED else token for token in said]
        # A causal model's loss moves labels on by one; here a token is to name itself.
        labels = [IGNORED] * (len(asked) + 1) + said[:-1]
        yield {"input_ids": asked + seen, "labels": labels, "attention_mask": [1] * len(ids)}


def put_on_top(network: Any, count: int) -> None:
    """Layers that add nothing to the residual stream until they are trained: what the base knows stays where it is."""
    body = network.base_model
    layers = getattr(body, "layers", None)
    if not count:
        return
    if layers is None or not all(f"{name}.weight" in dict(layers[0].named_parameters()) for name in _ENDS):
        raise ConfigError(f"reward.extra_layers does not know how to grow a {type(body).__name__}", "set it to 0")
    for index in range(len(layers), len(layers) + count):
        layer = type(layers[0])(network.config, index)
        layer.apply(network._init_weights)
        for name in _ENDS:
            torch.nn.init.zeros_(layer.get_submodule(name).weight)
        layers.append(layer.to(network.dtype))
    network.config.num_hidden_layers = len(layers)
    if kinds := getattr(network.config, "layer_types", None):
        network.config.layer_types = [*kinds, *[kinds[-1]] * count]
