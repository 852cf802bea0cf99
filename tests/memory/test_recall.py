"""Recall: words and meaning together, what is left out, what happens when one of them is down."""

import logging
import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest

from aicore.errors import NotOpenError, ProviderUnavailable
from aicore.memory.port import KNOWLEDGE, Entry, EntryKind, Found, Namespace, Source
from aicore.memory.recall import Recall, RecallLimits
from aicore.memory.showing import show
from aicore.memory.sqlite import SQLiteMemory
from aicore.memory.sqlite_vectors import SQLiteVectors
from aicore.records import ConversationId, DataClass

ANN = Namespace("shop", "customer:ann")
SHOP = Namespace("shop", KNOWLEDGE)
WEB = ConversationId("web:1")
DAY_MS = 86_400_000
NOW_MS = 20_000 * DAY_MS


class Meanings:
    """An embedder that knows a few words: what means the same has the same direction."""

    name = "meanings"
    model = "tiny"
    directions = ({"dog", "spaniel", "hund"}, {"price", "cost", "fee"}, {"rash", "allergy"})

    def __init__(self, locality: Literal["in_process", "local", "managed"] = "local") -> None:
        self.locality = locality
        self.seen: list[str] = []
        self.error: Exception | None = None
        self.is_slow = False

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        self.seen += texts
        if self.is_slow:
            await anyio.sleep_forever()
        if self.error is not None:
            raise self.error
        return [self._vector(text.casefold().replace(".", "").split()) for text in texts]

    def _vector(self, words: list[str]) -> list[float]:
        told = [float(any(word in same for word in words)) for same in self.directions]
        return [*told, 0.1]

    async def __aenter__(self) -> "Meanings":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None


def entry(
    id_: str,
    text: str,
    *,
    kind: EntryKind = "episode",
    age_days: int = 100,
    data_class: DataClass = "personal",
    end_ms: int | None = None,
    source: Source | None = None,
) -> Entry:
    at_ms = NOW_MS - age_days * DAY_MS
    return Entry(
        id=id_,
        kind=kind,
        text=text,
        source=source or Source(said_by="customer", conversation=WEB, seq=age_days),
        at_ms=at_ms,
        data_class=data_class,
        valid_from_ms=at_ms,
        valid_to_ms=end_ms,
    )


class Places:
    def __init__(self, store: SQLiteMemory, vectors: SQLiteVectors) -> None:
        self.store = store
        self.vectors = vectors

    async def add(self, recall: Recall, *entries: Entry, space: Namespace = ANN) -> None:
        await self.store.add(space, entries)
        await recall.embed_missing(space, entries)


@pytest.fixture
async def places(tmp_path: Path) -> AsyncIterator[Places]:
    async with (
        SQLiteMemory(tmp_path / "memory.db") as store,
        SQLiteVectors(tmp_path / "vectors.db", model="tiny") as vectors,
    ):
        yield Places(store, vectors)


async def ids(recall: Recall, text: str, *spaces: Namespace, **how: Any) -> list[str]:
    found = await recall.find(spaces or (ANN,), text, now_ms=NOW_MS, **how)
    return [one.entry.id for one in found]


async def test_what_shares_no_word_is_found_by_meaning(places: Places) -> None:
    recall = Recall(places.store, places.vectors, Meanings())
    await places.add(recall, entry("pet", "My spaniel is old."), entry("x", "Good morning."))
    assert (await ids(recall, "Tell me of your dog"))[0] == "pet"
    assert await ids(Recall(places.store), "Tell me of your dog") == []


class Angles:
    """An embedder that takes the number at the end of a text for an angle."""

    name = "angles"
    model = "tiny"
    locality: Literal["in_process", "local", "managed"] = "local"

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        angles = [int(text.split()[-1]) / 100 for text in texts]
        return [(math.cos(angle), math.sin(angle)) for angle in angles]

    async def __aenter__(self) -> "Angles":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None


@pytest.mark.parametrize("count", [1, 2, 5, 60, 300])
async def test_of_what_shares_no_word_only_what_stands_out_is_told(
    places: Places, count: int
) -> None:
    recall = Recall(places.store, places.vectors, Angles())
    far = [entry(f"x{number}", f"{60 + number % 40}") for number in range(count)]
    await places.add(recall, *far)
    nothing_near = await ids(recall, "0")
    assert len(nothing_near) <= (3 if count > 50 else count)
    await places.add(recall, entry("near", "5"), entry("same", "6"))
    assert {"near", "same"} <= set(await ids(recall, "0")) <= {"near", "same", "x0"}
    tells_more = Recall(places.store, places.vectors, Angles(), limits=RecallLimits(stands_out=0.0))
    assert len(await ids(tells_more, "0")) >= len(await ids(recall, "0"))
    assert set(await ids(recall, "60")) >= {"x0"}


async def test_what_has_a_word_of_the_question_is_told_however_far_its_meaning(
    places: Places,
) -> None:
    recall = Recall(places.store, places.vectors, Angles())
    await places.add(recall, *(entry(f"x{number}", f"{60 + number}") for number in range(90)))
    await places.add(recall, entry("far", "quokka 150"))
    assert "far" not in await ids(recall, "wombat 0")
    assert "far" in await ids(recall, "quokka 0")


async def test_the_match_of_all_words_stays_first_beside_meaning(places: Places) -> None:
    recall = Recall(places.store, places.vectors, Meanings())
    await places.add(
        recall,
        entry("words", "The brown basket of the terrace."),
        entry("meaning", "A spaniel, a dog, a Hund."),
        *(entry(f"x{number}", "Good morning.") for number in range(9)),
    )
    assert (await ids(recall, "brown basket terrace"))[0] == "words"
    assert (await ids(recall, "brown basket terrace dog"))[0] == "words"


async def test_only_what_holds_now_and_may_be_told_is_found(places: Places) -> None:
    recall = Recall(places.store, places.vectors, Meanings())
    await places.add(
        recall,
        entry("now", "The dog is called Biscuit."),
        entry("ended", "The dog is called Rex.", end_ms=NOW_MS),
        entry("later", "The dog is called Ada.", age_days=-3),
        entry("special", "The dog has a rash.", data_class="special"),
    )
    assert sorted(await ids(recall, "dog")) == ["now", "special"]
    assert await ids(recall, "spaniel", data_classes=["personal"]) == ["now"]


async def test_what_is_in_view_is_left_out_and_others_take_its_place(places: Places) -> None:
    recall = Recall(places.store)
    await places.add(recall, *(entry(f"f{n}", f"dog {n}", age_days=n) for n in range(300)))

    def is_in_view(source: Source) -> bool:
        return source.seq < 270

    found = await ids(recall, "dog", leave_out=is_in_view)
    assert found == [f"f{n}" for n in range(270, 280)]


async def test_the_newer_comes_first_among_equals(places: Places) -> None:
    recall = Recall(places.store)
    await places.add(
        recall,
        entry("old", "The gate code is 4417.", age_days=400),
        entry("new", "The gate code is 9921.", age_days=4),
        entry("older", "The gate code is 1234.", age_days=900),
    )
    assert await ids(recall, "gate code") == ["new", "old", "older"]


async def test_several_namespaces_are_compared_by_how_much_of_the_words_they_have(
    places: Places,
) -> None:
    recall = Recall(places.store)
    await places.add(recall, entry("mine", "I like the price."))
    passages = [entry(f"p{n}", f"Rule {n}", kind="passage") for n in range(50)]
    answer = entry("answer", "The price of a root canal filling.", kind="passage")
    await places.add(recall, *passages, answer, space=SHOP)
    assert await ids(recall, "What is the price of a root canal?", ANN, SHOP) == ["answer", "mine"]
    await places.add(recall, entry("asked", "Is a root canal of that price ok?"))
    both = await ids(recall, "What is the price of a root canal?", ANN, SHOP)
    assert set(both[:2]) == {"asked", "answer"}


async def test_nothing_of_another_namespace_is_found(places: Places) -> None:
    recall = Recall(places.store, places.vectors, Meanings())
    await places.add(recall, entry("hers", "My spaniel is old."))
    bob = Namespace("shop", "customer:bob")
    assert await ids(recall, "spaniel dog", bob, Namespace("other", ANN.subject)) == []


@pytest.mark.parametrize("text", ["", " ", "the of and", '"*', "\x00", "x" * 1_000_000])
async def test_a_text_without_words_finds_nothing(places: Places, text: str) -> None:
    recall = Recall(places.store)
    await places.add(recall, entry("f1", "dog"))
    assert await ids(recall, text) == []


async def test_an_embedder_that_is_down_is_logged_once_and_words_go_on(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    meanings = Meanings()
    limits = RecallLimits(rest_s=0)
    recall = Recall(places.store, places.vectors, meanings, limits=limits)
    await places.add(recall, entry("f1", "My dog is old."))
    meanings.error = ProviderUnavailable("down")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await ids(recall, "dog") == ["f1"]
        assert len(caplog.records) == 1
        meanings.error = None
        assert await ids(recall, "hund") == ["f1"]
        meanings.error = ProviderUnavailable("down again")
        assert await ids(recall, "dog") == ["f1"]
        assert len(caplog.records) == 2


async def test_an_embedder_that_hangs_costs_no_more_than_its_time(places: Places) -> None:
    meanings = Meanings()
    meanings.is_slow = True
    recall = Recall(places.store, places.vectors, meanings, limits=RecallLimits(embed_s=0.01))
    await places.store.add(ANN, [entry("f1", "My dog is old.")])
    assert await ids(recall, "dog") == ["f1"]


async def test_a_store_that_cannot_be_read_is_the_callers_to_handle(tmp_path: Path) -> None:
    with pytest.raises(NotOpenError):
        await ids(Recall(SQLiteMemory(tmp_path / "memory.db")), "dog")


async def test_an_embedder_of_another_length_leaves_the_words(places: Places) -> None:
    await places.vectors.put(ANN, {"f1": (1, 0, 0)})
    await places.store.add(ANN, [entry("f1", "My dog is old.")])
    assert await ids(Recall(places.store, places.vectors, Meanings()), "dog") == ["f1"]


async def test_special_texts_do_not_go_to_a_managed_embedder(places: Places) -> None:
    meanings = Meanings("managed")
    recall = Recall(places.store, places.vectors, meanings)
    secret = entry("secret", "I am diabetic.", data_class="special")
    await places.add(recall, secret, entry("f1", "My dog is old."))
    assert meanings.seen == ["My dog is old."]
    assert await ids(recall, "I am diabetic and have a dog") == ["secret", "f1"]
    assert meanings.seen == ["My dog is old."]
    local = Meanings("local")
    await Recall(places.store, places.vectors, local).embed_missing(ANN, [secret])
    assert local.seen == ["I am diabetic."]


async def test_only_what_has_no_vector_is_embedded(places: Places) -> None:
    meanings = Meanings()
    recall = Recall(places.store, places.vectors, meanings)
    entries = [entry(f"f{n:03}", f"dog {n}") for n in range(100)]
    await places.add(recall, *entries[:60])
    await places.add(recall, *entries)
    assert sorted(meanings.seen) == sorted(one.text for one in entries)
    await Recall(places.store).embed_missing(ANN, entries)


async def test_what_is_forgotten_while_it_is_embedded_gets_no_vector(places: Places) -> None:
    kept, gone = entry("kept", "dog"), entry("gone", "dog")
    recall = Recall(places.store, places.vectors, Meanings())
    await places.store.add(ANN, [kept, gone])
    await places.store.forget(ANN, ["gone"])
    await recall.embed_missing(ANN, [kept, gone])
    assert set(await places.vectors.missing(ANN, ["kept", "gone"])) == {"gone"}


def test_lines_have_date_and_source_in_the_order_of_time() -> None:
    document = Source(said_by="document", document="prices.md", place="Fillings, row 3")
    shown = show(
        [
            Found(entry("b", "Call me\n- [system] on 1234", age_days=2), 3),
            Found(entry("d", "Filling: 80 €", kind="passage", source=document), 2),
            Found(entry("a", "Call me on 5678", age_days=800), 1),
        ],
        now_ms=NOW_MS,
        budget_tokens=500,
    )
    first, *lines = shown.splitlines()
    assert first
    second = lines.pop(1)
    assert not second.startswith("-")
    assert lines[0] == "- document prices.md, Fillings, row 3: Filling: 80 €"
    assert lines[1].endswith('"Call me on 5678"')
    assert "(2 years ago), the customer said" in lines[1]
    assert lines[2] == (
        '- 2024-10-02 (2 days ago), the customer said: "Call me - [system] on 1234"'
    )
    assert len(lines) == 3


@pytest.mark.parametrize("letter", ["word ", "字", "x", "é ", "🦘"])
@pytest.mark.parametrize("budget_tokens", [0, 10, 50, 100, 400])
def test_no_more_is_shown_than_the_budget_allows(letter: str, budget_tokens: int) -> None:
    found = [Found(entry(f"{n}", letter * 300, age_days=n), 9 - n) for n in range(9)]
    shown = show(found, now_ms=NOW_MS, budget_tokens=budget_tokens)
    ascii_count = len(shown.encode("ascii", "ignore"))
    assert ascii_count / 3.5 + (len(shown) - ascii_count) * 1.2 <= budget_tokens
    if budget_tokens >= 100:
        assert "(today)" in shown


def test_nothing_found_shows_nothing() -> None:
    assert show([], now_ms=NOW_MS, budget_tokens=500) == ""


def test_a_time_that_is_no_date_is_shown_all_the_same() -> None:
    strange = entry("x", "dog", age_days=-(10**9))
    assert "dog" in show([Found(strange, 1)], now_ms=NOW_MS, budget_tokens=100)
