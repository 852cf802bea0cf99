"""The recall set is what its page says; what was changed or forgotten is not told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from recall_eval import as_table, measure
from recall_set import FOLDER, HALVES, customers, questions_on_documents

from aicore.memory.knowledge.reading import read_document
from aicore.memory.words import words_of

KINDS = {"absent", "changed", "deleted", "other_language", "paraphrase", "same_words"}


def test_it_is_as_large_as_it_says() -> None:
    everybody = [one for half in HALVES for one in customers(half)]
    kinds = Counter(question.kind for one in everybody for question in one.questions)

    assert len({one.name for one in everybody}) == len(everybody) == 40
    assert {one.language for one in everybody} == {"en", "de", "fr", "es"}
    assert set(kinds) == KINDS
    assert min(kinds.values()) >= 20
    assert sum(kinds.values()) + sum(len(questions_on_documents(half)) for half in HALVES) >= 300


@pytest.mark.parametrize("half", HALVES)
def test_what_is_asked_was_said(half: str) -> None:
    for customer in customers(half):
        said = {line.id for line in customer.lines if line.id}
        assert [line.at_ms for line in customer.lines] == sorted(
            line.at_ms for line in customer.lines
        )
        asked_of_gone = {one.wanted for one in customer.questions if one.kind == "deleted"}
        assert asked_of_gone == customer.forgotten
        for question in customer.questions:
            assert (question.wanted in said) != (question.kind == "absent"), question
            assert (question.older in said) == (question.kind == "changed"), question
            is_same = question.language == customer.language
            assert is_same != (question.kind == "other_language"), question


@pytest.mark.parametrize("half", HALVES)
def test_paraphrases_share_no_word_with_what_answers_them(half: str) -> None:
    shared = {}
    for customer in customers(half):
        for question in customer.questions:
            if question.kind == "paraphrase":
                answer = customer.line(question.wanted).text
                shared[question.text] = set(words_of(question.text)) & set(words_of(answer))

    assert {text: words for text, words in shared.items() if words} == {}


@pytest.mark.parametrize("half", HALVES)
def test_what_is_asked_of_documents_stands_where_it_says(half: str) -> None:
    passages = {
        (path.name, answer[1], answer[0])
        for path in sorted((FOLDER / f"{half}_knowledge").iterdir())
        for answer in read_document(path, path.name)
        if isinstance(answer, list)
    }

    for asked in questions_on_documents(half):
        assert any(
            (asked.document, asked.place) == (document, place) and asked.words in text
            for document, place, text in passages
        ), asked


@pytest.mark.parametrize("half", HALVES)
async def test_what_changed_or_was_forgotten_is_not_told(half: str, tmp_path: Path) -> None:
    tallies = await measure(tmp_path, half, only=["changed", "deleted"])

    assert tallies["deleted"].wrong == 0
    assert tallies["deleted"].asked >= 10
    assert tallies["changed"].stale == 0, as_table(half, tallies, shows_missed=True)
    assert tallies["changed"].wrong == 0, as_table(half, tallies, shows_missed=True)
    assert tallies["changed"].understood * 3 >= tallies["changed"].asked
