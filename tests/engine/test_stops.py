"""A sample ends with the token that completes a stop string, and its text ends before it, as if the whole text had been
searched after every token."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qstar_core.engine.stops import StopStrings
from qstar_core.engine.textstream import TextStream
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.errors import ConfigError
from qstar_core.records import FinishReason
from tests.engine.models import END, TEMPLATE, USER, Duo, by_id, jobs, pair_of_prompts, prompts

PIECES = ["ab", "ba", "a b", " a", "é", "€", "😀", "\n\n", "b😀", " €a"]


def saved(core: Tokenizer, folder: Path) -> ChatTokenizer:
    made = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", clean_up_tokenization_spaces=False)
    made.chat_template = TEMPLATE
    made.save_pretrained(str(folder))
    return ChatTokenizer("bytes", folder)


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory) -> ChatTokenizer:
    """Every byte is a token, and so are some runs of bytes that begin and end inside of characters."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    runs = [spelled.pre_tokenize_str(text)[0][0] for text in PIECES]
    runs += [spelled.pre_tokenize_str(text)[0][0][1:] for text in ("€a", "😀", "😀b")]
    words = list(dict.fromkeys([*alphabet, *runs]))
    core = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    core.decoder = decoders.ByteLevel()
    return saved(core, tmp_path_factory.mktemp("bytes"))


@pytest.fixture(scope="module")
def fallback(tmp_path_factory) -> ChatTokenizer:
    """The Llama 2 kind: ▁ for spaces, and a token for every byte of a character that has none."""
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁a", "▁b", "a", "b", "ab", "▁ab", "c"]
    core = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], byte_fallback=True, unk_token="<unk>"))
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                      decoders.Strip(" ", 1, 0)])
    return saved(core, tmp_path_factory.mktemp("fallback"))


def firm(text: str) -> str:
    """Without what may be the beginning of a character."""
    return text[: len(text) - min(3, len(text) - len(text.rstrip("\ufffd")))]


def naive(tokenizer: ChatTokenizer, ids: list[int], stops: tuple[str, ...]) -> tuple[int, str] | None:
    """The first token after which the whole text contains a stop string, and the text before it."""
    for end in range(1, len(ids) + 1):
        text = firm(tokenizer.read(ids[:end]))
        found = [at for stop in stops if (at := text.find(stop)) >= 0]
        if found:
            return end, text[: min(found)].strip()
    return None


def watched(tokenizer: ChatTokenizer, ids: list[int], stops: tuple[str, ...]) -> tuple[int, str] | None:
    watch = StopStrings(stops, tokenizer).watch()
    for end, token in enumerate(ids, start=1):
        if watch.read(token):
            return end, watch.text
    return None


BYTES = st.lists(st.integers(0, 268), max_size=60)
LIKELY = st.lists(st.sampled_from([*range(256, 269), 64, 65, 66, 255, 188, 162]), max_size=60)
VALID = st.text(st.sampled_from("ab c€😀é\n"), max_size=30)
STOPS = st.lists(st.text(st.sampled_from("ab €😀é\n"), min_size=1, max_size=4), min_size=1, max_size=3)
LAW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@LAW
@given(ids=BYTES | LIKELY, stops=STOPS)
def test_stop_strings_are_those_of_a_search_of_the_whole_text(byte_level, ids, stops):
    assert watched(byte_level, ids, tuple(stops)) == naive(byte_level, ids, tuple(stops))


@LAW
@given(text=VALID, stops=STOPS)
def test_the_same_where_bytes_stand_for_rare_characters(fallback, text, stops):
    ids = [token for character in text for token in spelled(fallback, character)]
    assert watched(fallback, ids, tuple(stops)) == naive(fallback, ids, tuple(stops))


def spelled(tokenizer: ChatTokenizer, character: str) -> list[int]:
    known = tokenizer.vocabulary.get(character.replace(" ", "▁"))
    return [known] if known is not None else [tokenizer.vocabulary[f"<0x{byte:02X}>"] for byte in character.encode()]


@LAW
@given(ids=BYTES | LIKELY)
def test_the_pieces_are_the_text_and_cost_a_short_window(byte_level, ids):
    longest = 0

    def read(window: list[int]) -> str:
        nonlocal longest
        longest = max(longest, len(window))
        return byte_level.read(window)

    stream = TextStream(read, byte_level.control_ids)
    assert "".join(map(stream.push, ids)) == firm(byte_level.read(ids))
    assert longest <= 33


@pytest.mark.parametrize("token", [0xFF, 0x80, 0xF0])
def test_bytes_that_are_no_character_cost_a_short_window_too(byte_level, token):
    name = sorted(pre_tokenizers.ByteLevel.alphabet())
    windows = []
    stream = TextStream(lambda ids: windows.append(len(ids)) or byte_level.read(ids), frozenset())
    ids = [token % len(name)] * 300 + [byte_level.vocabulary["a"]]
    assert "".join(map(stream.push, ids)) == byte_level.read(ids)
    assert max(windows) <= 33


@pytest.mark.parametrize("stops", [("w7",), ("w20", "w9 w8"), ("w1",), ("7 w",)])
def test_a_stopped_sample_is_the_beginning_of_the_unstopped_one(forty: Duo, stops):
    work = jobs(prompts(8, 40), draws=4)
    free = by_id(forty.engine(max_tokens=20).generate(work))
    found = by_id(forty.engine(max_tokens=20, stop=stops).generate(work))
    ended = 0
    for name, one in free.items():
        ids, sample = list(one.sample.token_ids), found[name].sample
        expected = naive(forty.tokenizer, ids, stops)
        if expected is None:
            assert sample == one.sample
            continue
        end, text = expected
        ended += 1
        assert sample.token_ids == tuple(ids[:end])
        assert (sample.finish_reason, sample.completion) == (FinishReason.STOP, text)
        assert len(found[name].trace) == sample.summary.tokens == end
    assert ended >= 3


def test_the_prompt_is_not_searched(forty: Duo):
    """Every word of the prompt is a stop string; a sample without them runs to its end."""
    pair = pair_of_prompts("p", [USER, 30, 31, END], [USER, 32, 33, END])
    found = by_id(forty.engine(max_tokens=6, stop=("w30", "w31", "w32", "w33")).generate(jobs([pair], 20)))
    assert any(len(one.sample.token_ids) == 6 for one in found.values())


def test_a_control_token_among_the_stop_strings_ends_a_turn(forty: Duo):
    work = jobs(prompts(10, 40), draws=4)
    found = by_id(forty.engine(max_tokens=20, stop=("<user>",)).generate(work))
    ended = [one.sample for one in found.values() if USER in one.sample.token_ids]
    assert ended
    for sample in ended:
        assert sample.token_ids.index(USER) == len(sample.token_ids) - 1
        assert sample.finish_reason is FinishReason.STOP


def test_a_text_around_a_control_token_is_refused(forty: Duo):
    with pytest.raises(ConfigError, match="'w5 <user>' contains the control token <user>"):
        forty.engine(stop=("w5 <user>",))
