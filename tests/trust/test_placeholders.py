"""Masking and putting back: exact for any text, in any pieces, and refused when in doubt."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore.errors import ModelError
from aicore.trust.placeholders import StreamRestorer, restore, restore_value
from aicore.trust.pseudonyms import Detector, Pseudonyms
from aicore.trust.vault import Vault, Vaults
from aicore.trust.vault_key import VaultKey
from aicore.trust.vault_store import MemoryVaultStore

NONCE = "1a2b3c4d"
VALUES = {
    f"[[NAME_{NONCE}_1]]": 'Ann "A" Lee',
    f"[[EMAIL_{NONCE}_2]]": "ann@lee.example",
    f"[[LITERAL_{NONCE}_3]]": "[[NAME_1a2b3c4d_9]]",
}


async def new_vault() -> Vault:
    return await Vaults(MemoryVaultStore(), VaultKey.random()).open("web:1")


def in_pieces(text: str, cuts: Sequence[int]) -> list[str]:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(places)]


def streamed(pieces: Sequence[str]) -> str:
    restorer = StreamRestorer(VALUES.get, NONCE)
    return "".join([*map(restorer.feed, pieces), restorer.finish()])


@pytest.mark.parametrize(
    "said",
    [
        f"[[NAME_{NONCE}_1]]",
        f"[[name_{NONCE.upper()}_1]]",
        f"[[ NAME_{NONCE}_1 ]]",
        f"[[**NAME_{NONCE}_1**]]",
        f"[[`NAME_{NONCE}_1`]]",
        rf"[[NAME\_{NONCE}\_1]]",
        rf"\[\[NAME\_{NONCE}\_1\]\]",
        f"[NAME_{NONCE}_1]",
        f"[[NAME-{NONCE}-1]]",
        f"[[NAME_{NONCE} _ 01]]",
    ],
)
def test_what_models_do_to_a_placeholder_is_understood(said: str) -> None:
    assert restore(f"Dear {said}, hi", VALUES.get, NONCE) == 'Dear Ann "A" Lee, hi'
    assert streamed(list(f"Dear {said}, hi")) == 'Dear Ann "A" Lee, hi'


@pytest.mark.parametrize(
    "said",
    [
        f"[[NAME_{NONCE}_7]]",  # no such number
        f"[[EMAIL_{NONCE}_1]]",  # another kind
        "[[NAME_99999999_1]]",  # another vault
        f"[NAME_{NONCE}_7]",
    ],
)
def test_unknown_placeholder_is_refused(said: str) -> None:
    with pytest.raises(ModelError):
        restore(f"Dear {said}", VALUES.get, NONCE)
    with pytest.raises(ModelError):
        streamed(list(f"Dear {said}"))
    with pytest.raises(ModelError):
        restore_value({"to": ["x", said]}, VALUES.get, NONCE)


def test_what_may_be_a_number_in_brackets_is_left_alone() -> None:
    said = "Your invoice [INV-20261121-3](https://shop.example/3) is paid."

    assert restore(said, VALUES.get, NONCE) == streamed(list(said)) == said


def test_values_are_put_back_by_value_not_into_the_json_text() -> None:
    arguments = {"who": f"[[NAME_{NONCE}_1]]", "n": 3, f"[[EMAIL_{NONCE}_2]]": [True, None]}

    assert restore_value(arguments, VALUES.get, NONCE) == {
        "who": 'Ann "A" Lee',
        "n": 3,
        "ann@lee.example": [True, None],
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Hello [", "Hello "),
        ("Hello [[NA", "Hello "),
        (f"Hello [[NAME_{NONCE}_1]", "Hello "),
        ("Hello [see", "Hello "),
        ("Hello [see this", "Hello [see this"),
        ("a[1] is b", "a[1] is b"),
        (f"[[NAME_{NONCE}_1]] is", 'Ann "A" Lee is'),
        ("C:\\dir", "C:\\dir"),
    ],
)
def test_only_what_may_be_a_beginning_is_held_back(text: str, shown: str) -> None:
    assert StreamRestorer(VALUES.get, NONCE).feed(text) == shown


FRAGMENTS = st.sampled_from(
    [
        *VALUES,
        "[",
        "]",
        "[[",
        "]]",
        "\\",
        "_",
        "NAME",
        NONCE,
        "_1",
        " ",
        "*",
        "a",
        f"[NAME_{NONCE}_1]",
    ]
)


@given(pieces=st.lists(FRAGMENTS, max_size=12), cuts=st.lists(st.integers(0, 200), max_size=20))
def test_stream_gives_the_same_as_the_whole(pieces: list[str], cuts: list[int]) -> None:
    text = "".join(pieces)
    try:
        whole = restore(text, VALUES.get, NONCE)
    except ModelError:
        with pytest.raises(ModelError):
            streamed(in_pieces(text, cuts))
    else:
        assert streamed(in_pieces(text, cuts)) == whole


TEXTS = st.lists(
    st.one_of(
        FRAGMENTS,
        st.sampled_from(
            [
                "ann@lee.example",
                "+49 30 901820",
                "DE89 3704 0044 0532 0130 00",
                "my name is Ann Lee",
                "[[NAME_ffffffff_1]]",
                "https://x.example/?token=a1b2c3d4e5f6",
                ", ",
                "ANN LEE",
            ]
        ),
        st.text(max_size=5),
    ),
    max_size=10,
).map("".join)


@given(texts=st.lists(TEXTS, max_size=3), size=st.integers(1, 6))
async def test_any_text_comes_back_as_it_was(texts: list[str], size: int) -> None:
    pseudonyms = Pseudonyms(await new_vault(), Detector())
    for text in texts:
        masked = await pseudonyms.mask(text)
        assert "ann@lee.example" not in masked
        restorer = pseudonyms.unmask_stream()
        chunks = [masked[at : at + size] for at in range(0, len(masked), size)]
        assert "".join([*map(restorer.feed, chunks), restorer.finish()]) == text
        assert pseudonyms.unmask(masked) == text


JSON = st.recursive(
    st.one_of(TEXTS, st.integers(), st.none(), st.booleans()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(value=JSON)
async def test_any_json_value_comes_back_as_it_was(value: object) -> None:
    pseudonyms = Pseudonyms(await new_vault(), Detector())
    masked = await pseudonyms.mask_value(value)

    assert "ann@lee.example" not in str(masked)
    assert without_numbers(pseudonyms.unmask_value(masked)) == without_numbers(value)


def without_numbers(value: object) -> object:
    """Long numbers that were masked come back as texts."""
    if isinstance(value, dict):
        return {key: without_numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_numbers(one) for one in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


async def test_same_value_has_the_same_placeholder_and_other_vaults_another() -> None:
    one, other = await new_vault(), await new_vault()
    texts = [await Pseudonyms(vault, Detector()).mask("ann@lee.example") for vault in (one, other)]
    again = await Pseudonyms(one, Detector()).mask("to ann@lee.example")

    assert again == f"to {texts[0]}"
    assert texts[0] != texts[1]
    with pytest.raises(ModelError):
        Pseudonyms(other, Detector()).unmask(texts[0])


async def test_what_one_text_shows_is_masked_in_all_of_them() -> None:
    pseudonyms = Pseudonyms(await new_vault(), Detector())
    first = await pseudonyms.mask("Is Winterbottom there?")
    await pseudonyms.mask("My name is Ann Winterbottom")

    assert first == "Is Winterbottom there?"
    assert "interbottom" not in (await pseudonyms.mask("Is WINTERBOTTOM's car ready?")).lower()


async def test_known_values_are_found_by_whole_words_in_any_case() -> None:
    vault = await new_vault()
    await vault.remember("NAME", "Zoë Will de Groot")
    pseudonyms = Pseudonyms(vault, Detector())

    for text in ("zoe came", "GROOT, Zoë", "zoë will de groot", "Zoes Auto"):
        masked = await pseudonyms.mask(text)
        assert "zo" not in masked.lower().replace("[[name", "")
        assert pseudonyms.unmask(masked) == text
    assert await pseudonyms.mask("I will be zoeing") == "I will be zoeing"


async def test_a_mangled_placeholder_in_arguments_is_refused() -> None:
    vault = await new_vault()
    pseudonyms = Pseudonyms(vault, Detector())
    masked = await pseudonyms.mask("ann@lee.example")

    with pytest.raises(ModelError):
        pseudonyms.unmask_value({"to": masked.strip("[]")})
    assert pseudonyms.has_remains(masked.strip("[]"))


async def test_names_of_other_scripts_are_told_apart() -> None:
    vault = await new_vault()
    await vault.remember("NAME", "김민준")
    pseudonyms = Pseudonyms(vault, Detector())

    assert await pseudonyms.mask("강미진") == "강미진"
    assert (await pseudonyms.mask("김민준 왔어요")).startswith("[[NAME_")


async def test_numbers_too_long_for_anybody_are_left_alone() -> None:
    pseudonyms = Pseudonyms(await new_vault(), Detector())

    assert await pseudonyms.mask_value({"n": 10**5000, "m": -1, "x": 1.5}) == {
        "n": 10**5000,
        "m": -1,
        "x": 1.5,
    }
