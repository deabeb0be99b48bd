"""The law of the first two tokens on models that are small enough to enumerate."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import chisquare
from transformers import AutoModelForCausalLM, LlamaConfig

from qstar_core.config import Settings
from qstar_core.engine.protocol import Job
from qstar_core.mixture.alpha import AlphaOptions, choose, method_of
from qstar_core.mixture.geometric import pair_of, settled_moments
from qstar_core.mixture.target import target_of
from qstar_core.records import ModelRef
from tests.engine.models import END, PAD, pair_of_prompts, save_tokenizer
from tests.vllm.models import vllm_engine

VOCAB = 16
PAIR = pair_of_prompts("law", (3, 7, 9, 2, 4), (3, 7, 9, 11, 5, 2, 4))
CONTROL = 0.2  # another mixture of the same models
LEAST = 5  # samples that a cell of the test is to expect


def random_llama(folder: Path, seed: int) -> ModelRef:
    """With heads that vLLM's attention on CPU takes as they are."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, head_dim=32,
        num_key_value_heads=1, max_position_embeddings=64, initializer_range=0.25, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=END, pad_token_id=PAD, dtype="float32")
    AutoModelForCausalLM.from_config(config).float().save_pretrained(str(folder))
    save_tokenizer(folder, VOCAB)
    return ModelRef(name=folder.name, path=str(folder), revision=None, sha256=f"{folder.name}-{seed}")


@dataclass(frozen=True)
class Verdict:
    """p of the counts under q*, and, as a control that has to fail, under the mixture of another α."""

    p: float
    p_control: float


def judged(folder: Path, count: int, settings: Settings) -> Verdict:
    student, teacher = random_llama(folder / "student", 1), random_llama(folder / "teacher", 2)
    engine = vllm_engine(student, teacher, settings, 64)
    found = Counter(one.sample.token_ids for one in engine.generate(Job(str(n), PAIR, n) for n in range(count)))
    assert sum(found.values()) == count
    networks = [AutoModelForCausalLM.from_pretrained(ref.path, dtype=torch.float64) for ref in (student, teacher)]
    return Verdict(_p(found, _law(networks, AlphaOptions()), count),
                   _p(found, _law(networks, AlphaOptions("fixed", CONTROL)), count))


def _p(found: Counter, law: dict[tuple[int, ...], float], count: int) -> float:
    """Cells that expect little are taken together."""
    seen, wanted = [0.0], [0.0]
    for tokens, share in law.items():
        if share * count < LEAST:
            seen[0] += found[tokens]
            wanted[0] += share * count
        else:
            seen.append(found[tokens])
            wanted.append(share * count)
    cut = 0 if wanted[0] >= LEAST else 1
    wanted_cells = np.array(wanted[cut:])
    return float(chisquare(seen[cut:], wanted_cells * sum(seen[cut:]) / wanted_cells.sum()).pvalue)


def _law(networks: list, options: AlphaOptions) -> dict[tuple[int, ...], float]:
    """Of all beginnings of two tokens, or one that ends the sample."""
    first = _mixed(networks, [()], options)[0]
    goes_on = [token for token in range(VOCAB) if token != END]
    second = _mixed(networks, [(token,) for token in goes_on], options)
    law = {(END,): float(first[END])}
    for token, row in zip(goes_on, second, strict=True):
        law.update({(token, other): float(first[token] * row[other]) for other in range(VOCAB)})
    return law


@torch.no_grad()
def _mixed(networks: list, beginnings: list[tuple[int, ...]], options: AlphaOptions) -> np.ndarray:
    rows = [network(torch.tensor([[*ids, *beginning] for beginning in beginnings])).logits[:, -1]
            for network, ids in zip(networks, (PAIR.student_ids, PAIR.teacher_ids), strict=True)]
    pair = pair_of(*rows)
    solution = choose(pair, method_of(options), options)
    return target_of(pair, solution, settled_moments(pair, solution.alpha_B).log_z_B).log_B_V.exp().numpy()
