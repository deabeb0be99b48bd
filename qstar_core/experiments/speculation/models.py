"""The pairs that speculation is measured on: the trained tiny pair, whose teacher can be made dearer without becoming
another, and untrained Llamas of any size.
"""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from qstar_core.config import EngineSettings, PromptSettings
from qstar_core.engine.hf import LoadedModel, load_model
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.models import resolve
from qstar_core.prompts import PromptRenderer
from qstar_core.records import ModelRef, PromptPair
from qstar_core.tiny.problems import problems
from qstar_core.tiny.recipe import STUDENT
from qstar_core.tiny.tokenizer import build_tokenizer
from qstar_core.tiny.train import new_model

CONTEXT = 160
_ENGINE = EngineSettings(device="cpu", dtype="float32", threads=1)
_HEAD = 32


@dataclass(frozen=True, slots=True)
class Duo:
    student: LoadedModel
    teacher: LoadedModel
    tokenizer: ChatTokenizer

    @property
    def vocab(self) -> int:
        return max(self.tokenizer.vocabulary.values()) + 1

    def pairs(self, count: int) -> list[PromptPair]:
        """Prompts whose solutions are long."""
        renderer = PromptRenderer(PromptSettings(), self.tokenizer, self.tokenizer, CONTEXT)
        return [renderer.render(prompt) for prompt in problems(0, count, ("story",), (5,))]


def tiny_duo(times: int) -> Duo:
    """The embedded pair, its teacher `times` as deep."""
    student, teacher = (resolve(f"builtin:tiny-{role}", None) for role in ("student", "teacher"))
    return Duo(load_model(student, _ENGINE), dearer(load_model(teacher, _ENGINE), times),
               ChatTokenizer(student.name, Path(student.path)))


def random_duo(hidden: int, times: int, spread: tuple[float, float], seed: int) -> Duo:
    """Untrained models; the teacher's layers have about `times` the student's parameters. `spread` is how far apart the
    logits of student and teacher are."""
    wide = round(hidden * times**0.5 / _HEAD) * _HEAD
    with tempfile.TemporaryDirectory() as folder:
        tokenizer_folder = Path(folder) / "tokenizer"
        build_tokenizer().save_pretrained(tokenizer_folder)
        student, teacher = (_random(Path(folder) / role, width, apart, seed + at) for at, (role, width, apart)
                            in enumerate(zip(("student", "teacher"), (hidden, wide), spread, strict=True)))
        return Duo(student, teacher, ChatTokenizer("random", tokenizer_folder))


def dearer(model: LoadedModel, times: float) -> LoadedModel:
    """The same distribution at several times the cost: layers that are computed and add nothing, because what they put
    out is multiplied by 0. Acceptance is that of the model itself; only the cost is another's."""
    network = copy.deepcopy(model.network)
    layers = network.model.layers
    wanted = round(times * len(layers))
    while len(layers) < wanted:
        layer = copy.deepcopy(layers[len(layers) % len(model.network.model.layers)])
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        layer.self_attn.layer_idx = len(layers)
        layers.append(layer)
    network.config.num_hidden_layers = len(layers)
    if getattr(network.config, "layer_types", None):
        network.config.layer_types = ["full_attention"] * len(layers)
    return replace(model, network=network)


def parameters(model: LoadedModel) -> int:
    return sum(weight.numel() for weight in model.network.parameters())


def _random(folder: Path, hidden: int, spread: float, seed: int) -> LoadedModel:
    """Untrained logits are nearly all the same: `spread` pulls them apart."""
    recipe = STUDENT.model_copy(update={"hidden_size": hidden, "layers": 4, "heads": hidden // _HEAD,
                                        "feed_forward": 3 * hidden})
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = new_model(recipe, build_tokenizer())
        model.get_input_embeddings().weight.mul_(spread)
    model.save_pretrained(folder)
    return load_model(ModelRef(name=folder.name, path=str(folder), revision=None, sha256=""), _ENGINE)
