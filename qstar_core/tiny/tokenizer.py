"""A word-level tokenizer with a chat template, saved as an ordinary `tokenizer.json` folder.

Contract: decoding the ids of a problem's text gives the text back; any other word is `<unk>`; `AutoTokenizer` loads the
saved folder, so the rest of the pipeline cannot tell it from the tokenizer of any other checkpoint.
"""

from __future__ import annotations

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qstar_core.tiny.problems import WORDS

PAD = "<pad>"
MAX_LENGTH = 256
UNK = "<unk>"
END = "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|> ' + message['content'] + ' <|end|> ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    words = (PAD, UNK, END, *ROLES, *WORDS)
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNK))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, unk_token=UNK, eos_token=END, padding_side="left",
        additional_special_tokens=list(ROLES), clean_up_tokenization_spaces=False, model_max_length=MAX_LENGTH,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
