"""The bench of recall: it reads LoCoMo's form and scores what was found; its speed part runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import recall_locomo
import recall_speed

# In the form of LoCoMo's file; of nobody, and none of its text.
_SAID = [
    ("Ada", "Good morning"),
    ("Ada", "The kiln broke yesterday"),
    ("Bo", "Oh no, which glaze was inside?"),
    ("Ada", "The turquoise one"),
    ("Bo", "What a pity"),
]
_ASKED = [
    (1, "What broke?", ["D1:2"]),
    (2, "Which colour had the glaze?", ["D1:4; D1:03"]),
    (5, "Who sold the kiln?", ["D1:2"]),
    (4, "Nobody answers this", []),
]


@pytest.fixture
def locomo(tmp_path: Path) -> Path:
    turns: list[dict[str, Any]] = [
        {"speaker": who, "dia_id": f"D1:{number}", "text": text}
        for number, (who, text) in enumerate(_SAID, 1)
    ]
    asked = [
        {"question": text, "evidence": evidence, "category": kind}
        for kind, text, evidence in _ASKED
    ]
    told = {"session_1": turns, "session_1_date_time": "1:56 pm on 8 May, 2023"}
    path = tmp_path / "locomo.json"
    path.write_text(json.dumps([{"conversation": told, "qa": asked}]))
    return path


async def test_recall_is_scored_by_the_turns_that_answer(locomo: Path, tmp_path: Path) -> None:
    dialogues = recall_locomo.read(locomo)
    assert [len(one.evidence) for one in dialogues[0].questions] == [1, 2, 1]
    scores = await recall_locomo.measure(dialogues, tmp_path, None)
    assert set(scores) == {"FTS5, porter, one neighbour", "words"}
    for groups in scores.values():
        assert groups["all"].count == 3
        assert groups["without adversarial"].count == 2
        assert groups["multi-hop"].percent(5) == 100
        assert groups["temporal"].percent(5) == 100


def test_a_score_is_the_mean_share_of_the_evidence_among_the_first() -> None:
    score = recall_locomo.Score()
    score.add(["a", "x", "y", "z", "w", "b"], frozenset("ab"))
    score.add([], frozenset("a"))
    assert [score.percent(k) for k in recall_locomo.PLACES] == [25, 50, 50]


async def test_the_speed_is_told_of_one_customer_and_of_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall_speed, "_FACTS_OF_ONE", 200)
    monkeypatch.setattr(recall_speed, "_SIZES", (100, 20))
    rows = await recall_speed.measure(tmp_path, 400)
    assert [row.split(" | ")[:2] for row in rows[2:]] == [["| 200", "1"], ["| 400", "12"]]
