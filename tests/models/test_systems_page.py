"""docs/systems.md says what the profiles say."""

import re
import tomllib

import pytest
from tests.models.systems_page import PAGE, TRIED, generated, parted

from aicore.models.systems.profiles import known_systems
from aicore.models.systems.quirks import QUIRKS

TEXT = PAGE.read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z0-9-]+)` \| `(tests/[\w/]+\.py::\w+)`", re.MULTILINE)


def test_sections_are_those_of_the_profiles() -> None:
    """`python -m tests.models.systems_page` writes them again."""
    assert parted(TEXT)[1] == generated()


def test_every_quirk_names_its_test() -> None:
    rows = ROW.findall(TEXT)

    assert [name for name, _ in rows] == sorted(QUIRKS)


@pytest.mark.parametrize("kind", known_systems())
def test_configuration_on_the_page_is_whole(kind: str) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    found = [tomllib.loads(block).get("provider", {}) for block in blocks]

    assert {"kind": kind, **known_systems()[kind].example} in found


def test_what_was_not_tried_is_marked() -> None:
    untried = [one for one in known_systems().values() if one.tried == "wire"]

    assert TEXT.count(TRIED["wire"]) == len(untried)
