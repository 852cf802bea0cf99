"""What every MemoryStore promises. A backend is a row in memory_rows.py."""

from typing import Any

import anyio
import pytest

from aicore.errors import NotOpenError
from aicore.memory.port import (
    KNOWLEDGE,
    Entry,
    EntryKind,
    Learned,
    MemoryStore,
    Namespace,
    Query,
    Source,
)
from aicore.records import ConversationId, DataClass

ANN = Namespace("shop", "customer:ann")
BOB = Namespace("shop", "customer:bob")
OTHER = Namespace("other", "customer:ann")
WEB = ConversationId("web:1")
YEAR_MS = 31_536_000_000


def entry(
    id_: str,
    text: str = "",
    *,
    kind: EntryKind = "fact",
    data_class: DataClass = "personal",
    start_ms: int = 0,
    end_ms: int | None = None,
    context: str = "",
    topic: str = "",
) -> Entry:
    return Entry(
        id=id_,
        kind=kind,
        text=text or id_,
        context=context,
        topic=topic,
        source=Source(said_by="customer", conversation=WEB, seq=3),
        at_ms=start_ms,
        data_class=data_class,
        valid_from_ms=start_ms,
        valid_to_ms=end_ms,
    )


async def found(store: MemoryStore, text: str, space: Namespace = ANN, **how: Any) -> list[str]:
    return [one.entry.id for one in await store.search(space, Query(text=text, **how))]


async def ids(store: MemoryStore, space: Namespace = ANN, **how: Any) -> list[str]:
    return [one.id for one in await store.list(space, **how)]


async def test_an_entry_comes_back_as_it_was(memories: Any) -> None:
    whole = Entry(
        id="f1",
        kind="passage",
        text="Root canal: 240 €\n\tincl. 🦷",
        context="near\ffar",
        topic="price: root canal",
        source=Source(said_by="document", document="prices.md", place="Prices, row 3"),
        at_ms=YEAR_MS * 50,
        data_class="public",
        valid_from_ms=-5,
        valid_to_ms=2**53,
        superseded_by="f9",
    )
    async with memories.make() as store:
        assert await store.add(ANN, [whole, entry("f2")]) == 2
        assert await store.get(ANN, ["f2", "f1", "f3"]) == {"f1": whole, "f2": entry("f2")}
        assert [one.entry for one in await store.search(ANN, Query(text="root"))] == [whole]
        assert await store.list(ANN) == [whole, entry("f2")]


async def test_a_namespace_nobody_wrote_to_is_empty(memories: Any) -> None:
    async with memories.make() as store:
        assert await found(store, "tea") == []
        assert await ids(store) == []
        assert await store.get(ANN, ["f1"]) == {}
        assert await store.subjects("shop") == []
        assert await store.learned("shop", WEB) is None
        assert await store.forget(ANN, ["f1"]) == 0
        assert await store.erase(ANN) == 0
        assert await store.supersede(ANN, "f1", 1, entry("f2")) is False
        assert await ids(store) == []


async def test_the_same_id_is_added_once(memories: Any) -> None:
    async with memories.make() as store:
        assert await store.add(ANN, [entry("f1", "likes tea"), entry("f1", "likes ale")]) == 1
        assert await store.add(ANN, [entry("f1", "likes gin"), entry("f2", "likes rum")]) == 1
        assert (await store.get(ANN, ["f1"]))["f1"].text == "likes tea"
        assert await found(store, "ale gin") == []
        assert await store.add(BOB, [entry("f1", "likes gin")]) == 1


async def test_the_word_that_is_rare_decides(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry(f"f{n}", f"appointment number {n}") for n in range(20)])
        await store.add(ANN, [entry("wanted", "appointment with the hygienist, yearly")])
        answers = await store.search(ANN, Query(text="appointment hygienist", k=5))
    assert answers[0].entry.id == "wanted"
    assert len(answers) == 5
    scores = [one.score for one in answers]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[1]


async def test_what_an_entry_says_itself_counts_more_than_its_neighbours(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("near", "Yes, do.", context="Shall I book the sauna?")])
        await store.add(ANN, [entry("own", "Shall I book the sauna?", context="Yes, do.")])
        await store.add(ANN, [entry(f"x{n}", "something else") for n in range(9)])
        assert await found(store, "sauna") == ["own", "near"]


async def test_forms_case_and_accents_of_a_word_are_the_same(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("en", "Two appointments on TUESDAY")])
        await store.add(ANN, [entry("de", "Die Straße ist gesperrt, über Köln")])
        await store.add(ANN, [entry("fr", "J'ai réservé l'hôtel")])
        assert await found(store, "appointment") == ["en"]
        assert await found(store, "tuesdays") == ["en"]
        assert await found(store, "STRASSE") == ["de"]
        assert await found(store, "koln") == ["de"]
        assert await found(store, "L\u2019HÔTEL") == ["fr"]
        assert await found(store, "hotels") == ["fr"]


async def test_dates_are_found_in_four_languages_and_by_when_it_was_said(memories: Any) -> None:
    said_ms = 1_746_600_000_000  # 7 May 2025, 06:40 UTC
    async with memories.make() as store:
        await store.add(ANN, [entry("said", "Nothing new here", start_ms=said_ms)])
        await store.add(ANN, [entry("move", "We move on March 3rd, a Monday")])
        await store.add(ANN, [entry("doc", "Prices", kind="passage", start_ms=said_ms)])
        for asked in ("What was it on 7 May 2025?", "am 7. Mai", "le 7 mai", "el 7 de mayo"):
            assert await found(store, asked) == ["said"]
        for asked in ("3 March", "am 3. März", "lundi", "lunes"):
            assert await found(store, asked) == ["move"]
        assert await found(store, "a table for 7") == []


async def test_writing_without_spaces_and_from_right_to_left_is_found(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("zh", "我想预约星期二看牙医")])
        await store.add(ANN, [entry("ja", "火曜日に歯医者を予約したい")])
        await store.add(ANN, [entry("th", "ฉันอยากนัดหมอฟัน")])
        await store.add(ANN, [entry("ar", "أريد موعداً عند طبيب الأسنان")])
        await store.add(ANN, [entry("he", "אני רוצה תור לרופא שיניים")])
        for asked, wanted in (
            ("牙医", "zh"),
            ("歯医者は", "ja"),
            ("หมอฟัน", "th"),
            ("طَبِيب", "ar"),
            ("לרופא", "he"),
        ):
            assert await found(store, asked) == [wanted]


HOSTILE = [
    "",
    " ",
    "the of and und der et le la y",
    '"',
    "' OR 1=1 --",
    "NEAR(a b, 5)",
    "* OR AND NOT ^ : { } ( )",
    "text:tea",
    "tea*",
    '"tea',
    "\x00",
    "tea\x00 tea",
    "\ud800",
    "🫖",
    "\u202e\u0301\u0301",
    "%_\\",
    "& | ! <-> tea:*",
    "(" * 10_000,
    "tea " * 2_500_000,
    " ".join(f"word{n}" for n in range(20_000)),
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_no_text_of_a_query_is_run_or_raises(memories: Any, text: str) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("tea", "likes tea"), entry("ale", "likes ale")])
        answer = await found(store, text)
    assert answer == (["tea"] if "tea" in text else [])


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_any_text_is_kept_and_forgotten(memories: Any, text: str) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("x", f"quokka {text}", context=text, topic=text[:99])])
        kept = (await store.get(ANN, ["x"]))["x"]
        assert kept.text == f"quokka {text}".replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
        assert await found(store, "quokka") == ["x"]
        assert await store.forget(ANN, ["x"]) == 1
        assert await found(store, "quokka") == []


async def test_only_what_holds_at_a_time_is_found_then(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("past", "phone 1", start_ms=10, end_ms=20)])
        await store.add(ANN, [entry("now", "phone 2", start_ms=20)])
        await store.add(ANN, [entry("next", "phone 3", start_ms=30)])
        for at_ms, wanted in ((9, []), (10, ["past"]), (20, ["now"]), (30, ["next", "now"])):
            assert sorted(await found(store, "phone", at_ms=at_ms)) == wanted
            assert sorted(await ids(store, at_ms=at_ms)) == wanted
        assert len(await found(store, "phone")) == 3
        assert len(await ids(store)) == 3


async def test_many_that_no_longer_hold_do_not_hide_one_that_does(memories: Any) -> None:
    async with memories.make() as store:
        old = [entry(f"old{n:04}", "phone phone phone", end_ms=5) for n in range(1500)]
        await store.add(ANN, [*old, entry("now", "a phone, said in a longer sentence than usual")])
        assert await found(store, "phone", at_ms=9, k=3) == ["now"]
        assert len(await found(store, "phone", k=1600)) == 1501


async def test_kinds_and_data_classes_limit_what_is_found(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(
            ANN,
            [
                entry("f", "tea", data_class="special"),
                entry("e", "tea", kind="episode", data_class="internal"),
                entry("p", "tea", kind="passage", data_class="public"),
            ],
        )
        assert await found(store, "tea", kinds=["fact"]) == ["f"]
        assert sorted(await found(store, "tea", kinds={"episode", "passage"})) == ["e", "p"]
        assert await found(store, "tea", kinds=[]) == []
        assert await found(store, "tea", data_classes=["public"]) == ["p"]
        assert sorted(await found(store, "tea", data_classes={"internal", "special"})) == [
            "e",
            "f",
        ]
        assert await found(store, "tea", data_classes=[]) == []
        assert await found(store, "tea", k=0) == []


async def test_superseding_ends_one_and_adds_the_other_in_one_step(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("f1", "phone 1", topic="phone")])
        assert await store.supersede(ANN, "f1", 50, entry("f2", "phone 2", start_ms=50)) is True
        assert await store.supersede(ANN, "f2", 90, entry("f3", "phone 3", start_ms=90)) is True
        kept = await store.get(ANN, ["f1", "f2", "f3"])
        assert [(one.valid_to_ms, one.superseded_by) for one in kept.values()] == [
            (50, "f2"),
            (90, "f3"),
            (None, None),
        ]
        for at_ms, wanted in ((0, "f1"), (50, "f2"), (90, "f3")):
            assert await found(store, "phone", at_ms=at_ms) == [wanted]


async def test_superseding_what_is_not_there_or_has_ended_does_nothing(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("f1"), entry("open", end_ms=100)])
        assert await store.supersede(ANN, "f1", 50, None) is True
        assert await store.supersede(ANN, "f1", 60, entry("f2")) is False
        assert await store.supersede(ANN, "nothing", 60, entry("f2")) is False
        assert await store.supersede(BOB, "open", 60, entry("f2")) is False
        assert await store.supersede(ANN, "open", 60, entry("open")) is False
        assert await ids(store) == ["f1", "open"]
        assert (await store.get(ANN, ["f1"]))["f1"].superseded_by is None
        assert await store.supersede(ANN, "open", 60, None) is True
        assert (await store.get(ANN, ["open"]))["open"].valid_to_ms == 60


async def test_an_end_before_the_beginning_is_the_beginning(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("f1", start_ms=100)])
        assert await store.supersede(ANN, "f1", 50, None) is True
        assert (await store.get(ANN, ["f1"]))["f1"].valid_to_ms == 100


async def test_a_forgotten_entry_does_not_take_anothers_place(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("f1")])
        await store.forget(ANN, ["f2"])
        assert await store.supersede(ANN, "f1", 50, entry("f2")) is True
        assert await ids(store) == ["f1"]
        assert (await store.get(ANN, ["f1"]))["f1"].superseded_by is None


async def test_two_who_supersede_the_same_entry_leave_one_in_its_place(memories: Any) -> None:
    results: list[bool] = []
    async with memories.make() as store, memories.make() as again:
        await store.add(ANN, [entry("f0")])

        async def change(place: MemoryStore, number: int) -> None:
            results.append(await place.supersede(ANN, "f0", 9, entry(f"f{number}")))

        async with anyio.create_task_group() as group:
            for number in range(1, 9):
                group.start_soon(change, (store, again)[number % 2], number)
        assert sorted(results) == [False] * 7 + [True]
        assert len(await ids(store, at_ms=9)) == 1


async def test_pages_follow_one_another_in_the_order_of_ids(memories: Any) -> None:
    names = ["B", "a", "a b", "ab", "b", "z", "É", "é", "日", "🦘"]
    async with memories.make() as store:
        await store.add(ANN, [entry(name) for name in reversed(names)])
        pages, after = [], None
        while page := await ids(store, after=after, limit=3):
            pages.append(page)
            after = page[-1]
        assert [name for page in pages for name in page] == names
        assert [len(page) for page in pages] == [3, 3, 3, 1]
        assert await ids(store, limit=0) == []


async def test_lists_are_limited_by_kind_and_topic(memories: Any) -> None:
    async with memories.make() as store:
        await store.add(ANN, [entry("f1", topic="phone", end_ms=5), entry("f2", topic="phone")])
        await store.add(ANN, [entry("f3", topic="mail"), entry("e1", kind="episode")])
        assert await ids(store, topic="phone") == ["f1", "f2"]
        assert await ids(store, topic="phone", at_ms=7) == ["f2"]
        assert await ids(store, topic="phone", after="f1") == ["f2"]
        assert await ids(store, topic="") == ["e1"]
        assert await ids(store, kind="episode") == ["e1"]
        assert await ids(store, kind="fact", topic="mail") == ["f3"]


async def test_subjects_are_those_of_the_business_that_have_entries(memories: Any) -> None:
    async with memories.make() as store:
        for space in (ANN, BOB, OTHER, Namespace("shop", KNOWLEDGE)):
            await store.add(space, [entry("x")])
        await store.add(Namespace("shop", "customer:eve"), [], Learned(WEB, 1))
        await store.forget(BOB, ["x"])
        assert await store.subjects("shop") == [KNOWLEDGE, "customer:ann"]
        assert await store.subjects("shop", after=KNOWLEDGE) == ["customer:ann"]
        assert await store.subjects("shop", limit=1) == [KNOWLEDGE]
        assert await store.subjects("other") == ["customer:ann"]
        assert await store.subjects("sho") == []


async def test_used_outside_its_block_is_refused(memories: Any) -> None:
    with pytest.raises(NotOpenError):
        await memories.make().search(ANN, Query(text="tea"))
