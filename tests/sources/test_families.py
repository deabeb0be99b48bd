"""Every dataset family, found by its path alone: the schema it is taken for, the reason of every row that is lost, and
the golds, in a file of twenty rows in its shape with its awkward cases."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from qstar_core.config import SourceSettings
from qstar_core.records import Prompt
from qstar_core.sources.reading import Read, Schema, read_source

FIXTURES = Path(__file__).parent / "fixtures"
EMPTY, NO_BOX = "the prompt is empty", "no answer column and no \\boxed{} in the solution"
BROKEN = "a message lacks a known role or a text"
# family: (schema, rejects by reason, golds of the first eight rows; "-" is a rejected row)
CODE = [f"def check(candidate):\n    assert candidate(1) == {i + 1}\n\ncheck(add_{i})" for i in range(8)]
NONE = [None] * 8
FAMILIES = {
    "aime": ("math", {}, ["003", "007", "011", "33", "019", "023", "027", "031"]),
    "aime_capitalised": ("math", {}, ["3", "7", "11", "15", "19", "23", "27", "31"]),
    "alpaca": ("alpaca", {EMPTY: 1}, [None] * 4 + ["-"] + [None] * 3),
    "commonsenseqa": ("multiple_choice", {"the choices are missing or incomplete": 2,
                                          "the key names none of the choices": 1},
                      ["A", "B", "C", None, "-", "-", "-", "C"]),
    "deepscaler": ("math", {EMPTY: 1}, ["3", "7", "11", r"\frac{1}{\sqrt{2}}", "19", "7", "-", "31"]),
    "dolly": ("dolly", {EMPTY: 1}, [None] * 4 + ["-"] + [None] * 3),
    "gsm8k": ("gsm8k", {"the answer has no #### mark": 1, "the answer is missing": 1},
              ["3", "7", "11", "1234", "-", "-", "9", "31"]),
    "hh_rlhf": ("preference", {"chosen and rejected share no question": 1,
                               "the chosen or the rejected reply is missing": 1},
                [None] * 4 + ["-"] * 2 + [None] * 2),
    "humaneval": ("code", {"the row has no tests": 1}, [*CODE[:3], "-", *CODE[4:]]),
    "math": ("math", {NO_BOX: 1}, ["3", "7", "11", r"\left\{ \frac{1}{2}, \sqrt{\frac{3}{4}} \right\}", "5", "-", "2",
                                   "31"]),
    "math500": ("math", {}, ["3", "7", "11", r"\left( 3, \frac{\pi}{2} \right)", r"\text{(C)}", "23", "27", "31"]),
    "mbpp": ("code", {"the row has no tests": 2},
             [*(f"assert add(1) == {i + 1}\nassert add(2) == {i + 2}" for i in range(3)), "-", "-",
              "import math\nassert add(1) == 6\nassert add(2) == 7",
              *(f"assert add(1) == {i + 1}\nassert add(2) == {i + 2}" for i in (6, 7))]),
    "mbpp_sanitized": ("code", {}, [f"import math\nassert f({i}) == {2 * i}" for i in range(8)]),
    "messages": ("messages", {"a message has a part that is no text": 1, "a message has no text": 1},
                 [None] * 3 + ["-"] + [None] * 2 + ["-", None]),
    "metamath": ("query_response", {EMPTY: 1}, ["3", "7", "11", "12", None, "-", "27", "31"]),
    "numina_15": ("math", {NO_BOX: 1, "the dataset marks the problem as invalid": 1},
                  [None, "7", "11", None, "-", "23", "B", "-"]),
    "numina_cot": ("math", {NO_BOX: 1}, ["3", "7", "11", "-", "19", "23", "27", "31"]),
    "openorca": ("openorca", {EMPTY: 1}, [None] * 3 + ["-"] + [None] * 4),
    "openr1_math": ("math", {NO_BOX: 1}, ["3", "7", "11", "15", "19", "23", "-", "31"]),
    "question_answer": ("question_answer", {"the prompt occurred before": 1},
                        ["3", "7", "11", None, "7.5", "-", "27", "31"]),
    "sharegpt": ("sharegpt", {BROKEN: 1, "the conversation has no user message": 1,
                              "the conversations column is missing or empty": 1},
                 [None] * 4 + ["-"] * 3 + [None]),
    "text": ("text", {EMPTY: 1}, [None] * 3 + ["-"] + [None] * 4),
    "tulu3": ("messages", {BROKEN: 1, "the messages column is missing or empty": 1},
              [None] * 3 + ["-"] * 2 + [None] * 3),
    "ultrafeedback": ("preference", {"the chosen column is missing or empty": 1,
                                     "the chosen or the rejected reply is missing": 1},
                      [None] * 3 + ["-"] * 2 + [None] * 3),
    "verl": ("verl", {"the prompt column is missing or empty": 1},
             ["3", "7", "11", "15", '{"inputs": ["1"], "outputs": ["2"]}', None, "-", "31"]),
}


def read(family: str) -> tuple[str, list[Read]]:
    told: list[Schema] = []
    reads = list(read_source(SourceSettings(path=str(FIXTURES / f"{family}.jsonl")), told.append))
    [schema] = told
    return schema.name, reads


def prompt(family: str, row: int) -> Prompt:
    found = read(family)[1][row].prompt
    assert found is not None
    return found


def turns(found: Prompt) -> list[tuple[str, str]]:
    return [(message.role.value, message.content) for message in found.messages]


def test_every_fixture_is_expected() -> None:
    assert {path.stem for path in FIXTURES.glob("*.jsonl")} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_known_by_its_columns_and_every_row_has_its_end(family: str) -> None:
    schema, reasons, golds = FAMILIES[family]
    found, reads = read(family)
    assert (found, len(reads)) == (schema, 20)
    assert Counter(r.reject.reason for r in reads if r.reject) == reasons
    assert [r.prompt.answer if r.prompt else "-" for r in reads[:8]] == golds
    assert all(r.prompt.question.strip() for r in reads if r.prompt)


def test_conversations_keep_their_turns_and_their_system_prompt() -> None:
    assert [role for role, _ in turns(prompt("messages", 1))] == ["user", "assistant", "user"]
    assert turns(prompt("messages", 0))[0] == ("system", "Be exact.")
    assert [role for role, _ in turns(prompt("messages", 4))] == ["user", "assistant", "user"], "a null system prompt"
    assert "Part one,\npart two of" in prompt("messages", 5).question
    assert prompt("messages", 7).solution is None and prompt("messages", 0).solution == "There are 3 cows."
    assert turns(prompt("messages", 8))[0][0] == "system", "a developer is the system"
    assert [role for role, _ in turns(prompt("sharegpt", 3))] == ["user"], "an opening reply answers nothing here"
    assert turns(prompt("sharegpt", 0))[0] == ("system", "You know farms.")
    assert turns(prompt("openorca", 0))[0] == ("system", "You are a farmer.") and len(turns(prompt("openorca", 1))) == 1


def test_preferences_have_the_shared_question_and_the_preferred_reply() -> None:
    talk = prompt("hh_rlhf", 1)
    assert [role for role, _ in turns(talk)] == ["user", "assistant", "user"] and talk.question == "Farm 1."
    assert talk.solution == "There are 7 cows."
    later = prompt("hh_rlhf", 6)
    assert len(later.messages) == 1 and later.solution == "Yes.", "the reply ends where the next turn begins"
    liked = prompt("ultrafeedback", 0)
    assert liked.solution == "There are 3 cows." and liked.meta == {"score_chosen": 8.5, "score_rejected": 3.0}
    assert prompt("ultrafeedback", 5).solution is None


def test_what_belongs_to_the_question_is_in_it() -> None:
    assert prompt("alpaca", 0).question.endswith("\n\nFarm register 0") and "\n" not in prompt("alpaca", 1).question
    assert prompt("dolly", 2).question.endswith("\n\nThe farm register of year 1902.")
    asked = prompt("commonsenseqa", 0)
    assert asked.question.endswith("\n\nA. bank\nB. barn\nC. sea\nD. book\nE. sky 0")
    assert prompt("commonsenseqa", 7).question.endswith("A. bank\nB. barn\nC. sea\nD. book"), "digits become letters"
    assert asked.meta["choices"]["B"] == "barn"
    assert prompt("mbpp", 0).question.endswith("pass this test:\nassert add(1) == 1")
    assert prompt("humaneval", 0).solution == "    return n + 0", "a body keeps its indentation"


def test_worked_solutions_are_those_that_the_dataset_trusts() -> None:
    assert prompt("gsm8k", 0).solution == "He has 2+1=3 cows."
    assert (prompt("openr1_math", 3).solution or "").startswith("<think>right</think>")
    assert prompt("openr1_math", 4).solution is None and prompt("openr1_math", 5).solution is None
    assert prompt("numina_15", 5).solution is None and prompt("numina_15", 0).solution == "Assume the contrary."
    assert prompt("math", 0).meta == {"level": "Level 1", "type": "Algebra"}
