"""The state of a loop: records that are written once, by names that cannot leave their folder."""

from __future__ import annotations

import pytest

from qstar_core.errors import ConfigError, IntegrityError
from qstar_core.loop.book import Book, check_same, identity
from qstar_core.loop.records import Concluded, Evaluated
from qstar_core.store.objects import ObjectStore
from tests.loop.made import begun_of, round_of
from tests.loop.small import settings


def write_round(book: Book, number: int, *, promoted: bool = True) -> None:
    one = round_of(number, promoted=promoted)
    for step in (one.refreshed, one.retrained, one.evaluated, one.concluded):
        book.keep(number, step)


def test_the_first_record_of_a_step_stands(store: ObjectStore) -> None:
    book = Book(store, "night", "1")
    first, second = Concluded(promotion=1, told=""), Concluded(promotion=None, told="later")
    assert book.step(1, Concluded) is None
    assert book.keep(1, first) == first == book.keep(1, second) == book.step(1, Concluded)
    book.begin(begun_of(0.4))
    book.begin(begun_of(0.9))
    assert book.begun() == begun_of(0.4)


def test_rounds_are_those_concluded_and_turns_those_judged_in_every_loop_of_the_line(store: ObjectStore) -> None:
    book, other, far = Book(store, "night", "1"), Book(store, "night", "2"), Book(store, "day", "1")
    for one in (book, other, far):
        write_round(one, 1)
    write_round(book, 2, promoted=False)
    book.keep(3, round_of(3, promoted=True).evaluated)
    assert book.rounds() == (round_of(1, promoted=True), round_of(2, promoted=False))
    assert book.turns() == 4 and far.turns() == 1
    assert len({one.round_name(1) for one in (book, other, far)}) == 3


def test_a_record_that_is_none_is_an_error_and_never_a_step_to_do_again(store: ObjectStore) -> None:
    book = Book(store, "night", "1")
    book.keep(1, round_of(1, promoted=True).evaluated)
    store.write("loops/night/1/0001-evaluate.json", b'{"promoted": true}')
    with pytest.raises(IntegrityError, match=r"0001-evaluate\.json is not"):
        book.step(1, Evaluated)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", ".x", "x" * 33, "a\n"])
def test_names_stay_names(store: ObjectStore, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a name"):
        Book(store, "night", name)
    with pytest.raises(ConfigError):
        Book(store, name.replace("x" * 33, "x" * 65), "1")


def test_what_may_change_on_the_way_and_what_may_not() -> None:
    begun = begun_of().model_copy(update={"identity": identity(settings()), "settings": settings().model_dump(
        mode="json")})
    for free in ({"loop__rounds": 9}, {"gate__min_rows": 5}, {"engine__batch_size": 2}, {"output__traces": True}):
        check_same(begun, settings(**free))
    for bound, section in (({"sampling__temperature": 0.5}, "sampling"), ({"promotion__level": 0.1}, "promotion"),
                           ({"evaluation__seed": 1}, "evaluation"), ({"mixing__replay__share": 0.5}, "mixing")):
        with pytest.raises(ConfigError, match=f"other settings: {section} "):
            check_same(begun, settings(**bound))
