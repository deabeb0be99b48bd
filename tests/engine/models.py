"""Small random Llamas with grouped-query heads, a word tokenizer, and the jobs and engines made of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from qstar_core.config import AlphaSettings, EngineSettings, SamplingSettings, SupportSettings
from qstar_core.engine.attention import FOLDED
from qstar_core.engine.decode import TransformersEngine
from qstar_core.engine.hf import LoadedModel
from qstar_core.engine.protocol import Finished, Job
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.records import PromptPair

PAD, UNK, END, USER, ASSISTANT = range(5)
TEMPLATE = (
    "{% for message in messages %}{{ '<user> ' + message['content'] + ' <end> ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
CPU = torch.device("cpu")


def save_tokenizer(folder: Path, vocab: int, swap: tuple[int, int] | None = None, template: bool = True) -> Path:
    words = ["<pad>", "<unk>", "<end>", "<user>", "<assistant>", *(f"w{i}" for i in range(5, vocab))]
    if swap is not None:
        words[swap[0]], words[swap[1]] = words[swap[1]], words[swap[0]]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", unk_token="<unk>", eos_token="<end>",
        additional_special_tokens=["<user>", "<assistant>"], clean_up_tokenization_spaces=False,
    )
    if template:
        tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(str(folder))
    return folder


def network(columns: int, seed: int, context: int = 64, hidden: int = 32):
    """The feed-forward width is a multiple of 32, as everywhere in practice: torch's CPU kernels round the last
    elements of any other width differently, so that a row's bits would depend on its slot."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=columns, hidden_size=hidden, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=context, initializer_range=0.25, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=END, pad_token_id=PAD,
    )
    return AutoModelForCausalLM.from_config(config, attn_implementation=FOLDED).float().eval().requires_grad_(False)


def loaded(name: str, model, eos: Iterable[int] = (END,)) -> LoadedModel:
    return LoadedModel(name, model, CPU, frozenset(eos))


@dataclass(frozen=True)
class Duo:
    """A student, a teacher and their tokenizer."""

    student: LoadedModel
    teacher: LoadedModel
    tokenizer: ChatTokenizer
    vocab: int

    def engine(self, slots: int = 4, max_tokens: int = 12, context: int = 40, seed: int = 0, deterministic: bool = True,
               diagnostics: bool = True, support: SupportSettings | None = None, sharpen: float = 1.0,
               temperature: float = 1.0, speculation: int | str = "auto", stop: tuple[str, ...] = (),
               top_logprobs: int = 0, **alpha: object) -> TransformersEngine:
        return TransformersEngine(
            self.student, self.teacher, self.tokenizer, context, AlphaSettings(**alpha),
            SamplingSettings(max_tokens=max_tokens, seed=seed, sharpen=sharpen, temperature=temperature, stop=stop),
            support or SupportSettings(),
            EngineSettings(batch_size=slots, deterministic=deterministic, diagnostics=diagnostics, device="cpu",
                           speculation=speculation, top_logprobs=top_logprobs),
        )


def duo(folder: Path, vocab: int, padding: tuple[int, int] = (0, 0), hidden: tuple[int, int] = (32, 48)) -> Duo:
    student = network(vocab + padding[0], seed=1, hidden=hidden[0])
    teacher = network(vocab + padding[1], seed=2, hidden=hidden[1])
    tokenizer = ChatTokenizer("tiny", save_tokenizer(folder, vocab))
    return Duo(loaded("student", student), loaded("teacher", teacher), tokenizer, vocab)


def pair_of_prompts(prompt_id: str, student_ids: Iterable[int], teacher_ids: Iterable[int]) -> PromptPair:
    return PromptPair(prompt_id=prompt_id, student_messages=(), student_text="", teacher_text="",
                      student_ids=tuple(student_ids), teacher_ids=tuple(teacher_ids))


def prompts(count: int, vocab: int, seed: int = 0) -> list[PromptPair]:
    """Prompts whose two sides differ in length, by a different amount each."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        ours, theirs = (generator.integers(5, vocab, size=generator.integers(2, 12)).tolist() for _ in range(2))
        made.append(pair_of_prompts(f"prompt-{number}", [USER, *ours, END, ASSISTANT], [USER, *theirs, END, ASSISTANT]))
    return made


def jobs(pairs: Iterable[PromptPair], draws: int = 1) -> list[Job]:
    return [Job(f"{pair.prompt_id}/{draw}", pair, draw) for pair, draw in itertools.product(pairs, range(draws))]


def by_id(finished: Iterable[Finished]) -> dict[str, Finished]:
    found: dict[str, Finished] = {}
    for one in finished:
        assert one.sample.id not in found, "a job ends once"
        found[one.sample.id] = one
    return found
