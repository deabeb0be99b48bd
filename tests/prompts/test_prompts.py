"""The student never reads the answer, a dataset never speaks for anybody, and what cannot be rendered has a reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.config import PromptSettings
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.errors import ConfigError, RowError
from qstar_core.prompts import PromptRenderer, sample_id
from qstar_core.records import Message, Prompt, PromptPair, Role
from qstar_core.sources.arithmetic import arithmetic
from qstar_core.tiny.problems import problems
from qstar_core.tiny.tokenizer import build_tokenizer


class WordTemplate:
    """One token a word; words with an x are unknown."""

    control_tokens = frozenset({"<|user|>", "<|end|>"})
    unknown_id: int | None = 0
    system_role = True

    def render(self, messages: tuple[Message, ...], reply: str = "") -> tuple[str, tuple[int, ...]]:
        text = " ".join(f"<|{turn.role.value}|> {turn.content} <|end|>" for turn in messages) + reply
        return text, tuple(0 if "x" in word else 1 for word in text.split())


def prompt(*turns: tuple[str, str], **changes: Any) -> Prompt:
    messages = tuple(Message(role=Role(role), content=content) for role, content in turns or (("user", "how many ?"),))
    return Prompt.of(messages, **({"answer": "ANSWER", "solution": "SOLUTION"} | changes))


def render(given_: Prompt | None = None, context: int = 100, **settings: Any) -> PromptPair:
    template = WordTemplate()
    return PromptRenderer(PromptSettings(**settings), template, template, context).render(given_ or prompt())


@pytest.mark.parametrize(("template", "name"), [
    ("{{ question }} {{ answer }}", "answer"), ("{{ solution }}", "solution"), ("{{ meta.reference }}", "meta"),
    ("{% if answer %}{{ question }}{% endif %}", "answer"), ("{{ question ~ meta }}", "meta"),
    ("{% for k in meta %}{{ k }}{% endfor %}", "meta"),
])
def test_the_students_template_cannot_see_what_is_the_teachers(template: str, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        render(prompt(meta={"reference": "1"}), student=template)
    assert f"prompts.student: '{name}' is undefined — the student must not see it" in str(caught.value)


def test_a_misspelt_variable_is_told_with_the_ones_there_are() -> None:
    for settings in ({"student": "{{ qestion }}"}, {"teacher": "{{ anwser }}"}, {"teacher": "{{ meta.no }}"}):
        with pytest.raises(ConfigError, match=r"prompts\.\w+: .* — use question, answer, solution, kind or meta"):
            render(**settings)


@pytest.mark.parametrize("template", [
    "{{ question", "{% if %}", "{{ 1 / 0 }}", "{{ answer + 1 }}", "{{ question.__class__.__mro__ }}",
    "{{ range(10 ** 9) | list }}", "{{ question | nosuchfilter }}", "{{ question.split(1) }}", "{% include 'a' %}",
])
def test_a_template_that_cannot_be_rendered_is_a_mistake_in_the_settings(template: str) -> None:
    with pytest.raises(ConfigError, match=r"prompts\.teacher"):
        render(teacher=template)


def test_the_default_templates_take_every_prompt() -> None:
    assert "ref 1 2 steps" in render(prompt(meta={"reference": "1 2"})).teacher_text
    plain = render(prompt(answer=None, solution=None, meta={}))
    assert plain.teacher_text == plain.student_text


@given(seed=st.integers(0, 10**6))
def test_the_students_text_never_holds_the_answer(seed: int) -> None:
    for made in arithmetic(seed, 10):
        marked = made.model_copy(update={"answer": "GOLD", "solution": "WAY GOLD", "meta": {"reference": "GOLD"}})
        pair = render(marked, context=10**6, teacher="{{ question }} {{ answer }} {{ solution }} {{ meta }}")
        assert "GOLD" not in pair.student_text and pair.teacher_text.count("GOLD") == 3
        assert all("GOLD" not in turn.content for turn in pair.student_messages)
        assert made.question in pair.student_text
        if made.answer not in re.findall(r"\d+", made.question):
            assert made.answer not in re.findall(r"\d+", render(made, context=10**6).student_text)


HOSTILE = st.sampled_from(["{{ answer }}", "{% for i in range(9) %}z{% endfor %}", "{{ 7 * 7 }}", "{# gone #}", "{{",
                           "{% raw %}", "${answer}", "{{ question.__class__ }}", "%}", "<b>&amp;</b>", "\\", "\n"])


@given(question=st.lists(HOSTILE | st.text(alphabet="ab {}%", max_size=6), min_size=1, max_size=4).map(" ".join))
def test_text_of_the_dataset_is_never_run(question: str) -> None:
    asked = f"q {question}"
    pair = render(prompt(("user", asked), meta={"a": asked}), context=10**6, student="Q: {{ question }}",
                  teacher="{{ question }}|{{ answer }}|{{ meta.a }}")
    assert pair.student_text == f"<|user|> Q: {asked} <|end|>"
    assert pair.teacher_text == f"<|user|> {asked}|ANSWER|{asked} <|end|>"


@pytest.mark.parametrize("given_", [
    prompt(("user", "hi <|end|> there")), prompt(("system", "a<|user|>"), ("user", "hi")),
    prompt(("user", "one"), ("assistant", "<|end|>"), ("user", "two")), prompt(answer="<|end|>"),
    prompt(solution="so <|user|>"), prompt(kind="<|end|>"), prompt(meta={"deep": [{"er": "a <|end|> b"}]}),
    prompt(meta={"<|user|>": 1}),
])
def test_a_row_that_spells_a_control_token_is_refused(given_: Prompt) -> None:
    with pytest.raises(RowError, match=r"the text contains the control token <\|(end|user)\|>"):
        render(given_)


def test_rows_that_do_not_fit_have_a_reason() -> None:
    with pytest.raises(RowError, match="the student's tokenizer cannot encode the prompt"):
        render(prompt(("user", "six")))
    with pytest.raises(RowError, match="the teacher's tokenizer cannot encode the prompt"):
        render(prompt(answer="x"), teacher="{{ answer }}")
    for empty in ("", "  \n"):
        with pytest.raises(RowError, match="the prompt is empty"):
            render(prompt(("user", empty)))
    with pytest.raises(RowError, match="the prompt is empty"):
        render(teacher="{{ solution or '' }}", given_=prompt(solution=None))


def test_a_prompt_must_leave_room_for_a_token() -> None:
    assert render(prompt(("user", "a")), context=4).student_ids == (1, 1, 1)
    with pytest.raises(RowError, match="the student's prompt is longer than the context of 3 tokens"):
        render(prompt(("user", "a")), context=3)
    with pytest.raises(RowError, match="the teacher's prompt is longer than the context of 4 tokens"):
        render(prompt(("user", "a")), context=4, teacher="{{ question }} b")


def test_an_encoder_without_an_unknown_token_knows_everything() -> None:
    template = WordTemplate()
    template.unknown_id = None
    assert PromptRenderer(PromptSettings(), template, template, 99).render(prompt(("user", "six"))).student_ids


def test_system_prompts_replace_the_conversations_own() -> None:
    talk = prompt(("system", "old"), ("user", "one"), ("assistant", "a"), ("user", "two"))
    plain = render(talk, student="S {{ question }}", teacher="T {{ question }}")
    assert [(turn.role.value, turn.content) for turn in plain.student_messages] == [
        ("system", "old"), ("user", "one"), ("assistant", "a"), ("user", "S two")]
    pair = render(talk, student_system="new", teacher_system="wise", teacher="{{ question }} {{ answer }}")
    assert [turn.content for turn in pair.student_messages] == ["new", "one", "a", "two"]
    assert "wise" in pair.teacher_text and "old" not in pair.teacher_text and "wise" not in pair.student_text
    assert pair.teacher_text.endswith("two ANSWER <|end|>")


def test_the_name_of_a_sample_changes_with_whatever_decides_it() -> None:
    pair = render(teacher="{{ question }} {{ answer }}")
    names = {
        sample_id("h", pair, 0), sample_id("g", pair, 0), sample_id("h", pair, 1),
        sample_id("h", render(prompt(answer="other"), teacher="{{ question }} {{ answer }}"), 0),
        sample_id("h", render(teacher="{{ question }} {{ solution }}"), 0),
        sample_id("h", render(student="{{ question }} !", teacher="{{ question }} {{ answer }}"), 0),
    }
    assert len(names) == 6
    assert sample_id("h", render(teacher="{{ question }} {{ answer }}"), 0) == sample_id("h", pair, 0)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer().save_pretrained(folder)
    return ChatTokenizer("tiny", folder)


def test_with_a_real_tokenizer(tokenizer: ChatTokenizer) -> None:
    renderer = PromptRenderer(PromptSettings(), tokenizer, tokenizer, 128)
    for made in problems(0, 20):
        pair = renderer.render(made)
        assert pair.student_text == f"<|user|> {made.question} <|end|> <|assistant|>"
        assert pair.teacher_text == f"<|user|> {made.question} ref {made.meta['reference']} steps <|end|> <|assistant|>"
        assert tokenizer.decode(pair.student_ids) == made.question
    for text, reason in (("how many unicorns ?", "cannot encode"), ("how <|end|> many ?", "control token"),
                         ("how <pad> many ?", "control token"), ("1 " * 200, "longer than the context")):
        with pytest.raises(RowError, match=reason):
            renderer.render(prompt(("user", text), answer=None, solution=None))
