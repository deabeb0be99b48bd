"""Chat templates as models have them: with a BOS token, without a system role, and such that refuse a conversation."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers import models as cores
from transformers import PreTrainedTokenizerFast

from qstar_core.config import PromptSettings
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.errors import RowError
from qstar_core.prompts import PromptRenderer
from qstar_core.records import Message, Prompt, Role

TURNS = ("{{ bos_token }}{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
         "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}")
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
SILENT = TURNS.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}")
ALTERNATING = ("{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
               "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}{% endfor %}")


def tokenizer(folder: Path, template: str) -> ChatTokenizer:
    """Of bytes, and one that puts BOS in front of whatever it encodes with special tokens."""
    vocabulary = {sign: i for i, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    core = Tokenizer(cores.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="<|end|>",
                                   additional_special_tokens=["<|turn|>"], clean_up_tokenization_spaces=False)
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", made.bos_token_id)])
    made.chat_template = template
    made.save_pretrained(folder)
    return ChatTokenizer("mine", folder)


def talk(*turns: tuple[str, str]) -> Prompt:
    return Prompt.of(tuple(Message(role=Role(role), content=text) for role, text in turns), answer="4")


def rendered(template: ChatTokenizer, prompt: Prompt, **settings: object):
    return PromptRenderer(PromptSettings(**settings), template, template, 10_000).render(prompt)


def test_one_bos_and_the_ids_are_those_of_the_text(tmp_path: Path) -> None:
    template = tokenizer(tmp_path, TURNS)
    pair = rendered(template, talk(("system", "be kind"), ("user", "2 + 2 ? ü 🐄")), reply_prefixes=("So ",))
    bos = template.vocabulary["<s>"]
    assert pair.student_ids.count(bos) == 1 and pair.student_ids[0] == bos
    assert "".join(template.pieces(pair.student_ids)) == pair.student_text
    assert pair.student_text.endswith("<|turn|>assistant\nSo ")
    plain = rendered(template, talk(("system", "be kind"), ("user", "2 + 2 ? ü 🐄")))
    assert pair.student_ids[: len(plain.student_ids)] == plain.student_ids, "a prefix only adds to the ids"


@pytest.mark.parametrize("template", [NO_SYSTEM + TURNS, SILENT])
def test_without_a_system_role_its_text_goes_before_the_first_question(tmp_path: Path, template: str) -> None:
    made = tokenizer(tmp_path, template)
    assert not made.system_role
    pair = rendered(made, talk(("system", "be kind"), ("user", "one"), ("assistant", "a"), ("user", "two")),
                    teacher_system="be wise")
    assert pair.student_messages[0] == Message(role=Role.USER, content="be kind\n\none")
    assert "be wise\n\none" in pair.teacher_text and "be kind" not in pair.teacher_text
    assert "be wise" not in pair.student_text
    assert tokenizer(tmp_path, TURNS).system_role


def test_a_conversation_that_the_template_refuses_is_a_reject(tmp_path: Path) -> None:
    made = tokenizer(tmp_path, ALTERNATING + TURNS)
    assert not made.system_role and rendered(made, talk(("system", "be kind"), ("user", "one"))).student_ids
    with pytest.raises(RowError, match=r"the chat template of mine refuses the conversation: .* must alternate"):
        rendered(made, talk(("user", "one"), ("user", "two")))


def test_what_follows_a_prefix_keeps_its_blanks(tmp_path: Path) -> None:
    made = tokenizer(tmp_path, TURNS)
    _, before = made.render((Message(role=Role.USER, content="q"),), "Let's think.")
    _, after = made.render((Message(role=Role.USER, content="q"),), "Let's think. First\n\nü then. \n")
    assert made.decode_after(before, list(after[len(before):])) == " First\n\nü then."
