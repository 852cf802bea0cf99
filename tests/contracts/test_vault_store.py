"""What every VaultStore promises, and what vaults are over each of them."""

from collections.abc import Sequence

import anyio
import pytest
from tests.contracts.vault_rows import Stores, stores

from aicore.errors import ConfigError, OperatorError, StoreBusy, StoreError
from aicore.trust.vault import Vault, Vaults
from aicore.trust.vault_key import VaultKey
from aicore.trust.vault_store import Seal, SealedValue, VaultHead, VaultId

__all__ = ["stores"]

ANN = VaultId("shop", "web:ann")
BOB = VaultId("shop", "web:bob")
OTHER = VaultId("other", "web:ann")
HEAD = VaultHead("1a2b3c4d", b"proof")


def sealing(index: int, number: int) -> bytes:
    return b"sealed %d for %d" % (index, number)


def sealing_as(mark: bytes) -> Seal:
    return lambda _index, number: b"%d %s" % (number, mark * 30)


def numbers(found: Sequence[SealedValue] | None) -> list[int]:
    assert found is not None
    return [one.number for one in found]


async def test_a_vault_begins_once(stores: Stores) -> None:
    async with stores.make() as store:
        assert await store.begin(ANN, HEAD) == HEAD
        assert await store.begin(ANN, VaultHead("ffffffff", b"x")) == HEAD
        assert await store.begin(OTHER, VaultHead("ffffffff", b"x")) != HEAD


async def test_values_are_numbered_and_kept_once(stores: Stores) -> None:
    async with stores.make() as store:
        for vault in (ANN, BOB):
            await store.begin(vault, HEAD)
        assert numbers(await store.add(ANN, HEAD.nonce, [b"f1", b"f2"], sealing)) == [1, 2]
        assert numbers(await store.add(BOB, HEAD.nonce, [b"f2"], sealing)) == [1]
        again = await store.add(ANN, HEAD.nonce, [b"f3", b"f2", b"f3"], sealing)
        assert numbers(again) == [3, 2, 3]
        assert await store.read(ANN, HEAD.nonce, 1) == [
            SealedValue(2, b"f2", b"sealed 1 for 2"),
            SealedValue(3, b"f3", b"sealed 0 for 3"),
        ]
        assert await store.read(ANN, HEAD.nonce, 3) == []


async def test_another_vault_by_now_is_told(stores: Stores) -> None:
    async with stores.make() as store:
        await store.begin(ANN, HEAD)
        assert await store.read(ANN, "ffffffff", 0) is None
        assert await store.add(ANN, "ffffffff", [b"f1"], sealing) is None
        assert await store.read(BOB, HEAD.nonce, 0) is None
        assert await store.read(ANN, HEAD.nonce, 0) == []


async def test_what_was_added_is_there_when_opened_again(stores: Stores) -> None:
    async with stores.make() as store:
        await store.begin(ANN, HEAD)
        await store.add(ANN, HEAD.nonce, [b"f1"], sealing)
    async with stores.make() as store:
        assert await store.begin(ANN, VaultHead("ffffffff", b"x")) == HEAD
        assert numbers(await store.read(ANN, HEAD.nonce, 0)) == [1]


async def test_many_add_at_once_and_no_number_is_given_twice(stores: Stores) -> None:
    async with stores.make() as one, stores.make() as two:
        await one.begin(ANN, HEAD)

        async def add(store: object, finder: bytes) -> None:
            await store.add(ANN, HEAD.nonce, [finder, b"shared"], sealing)  # type: ignore[attr-defined]

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                for store in (one, two):
                    tasks.start_soon(add, store, b"f%d" % number)
        kept = await one.read(ANN, HEAD.nonce, 0)
        assert numbers(kept) == list(range(1, 12))


async def test_erased_bytes_are_gone_and_others_stay(stores: Stores) -> None:
    marks = {ANN: b"quokka-of-ann", BOB: b"quokka-of-bob"}
    async with stores.make() as store:
        for vault, mark in marks.items():
            await store.begin(vault, VaultHead("1a2b3c4d", mark))
            finders = [b"%d" % number for number in range(50)]
            await store.add(vault, "1a2b3c4d", finders, sealing_as(mark))
        assert stores.holds(marks[ANN])
        assert await store.erase(ANN)
        assert not await store.erase(ANN)
        assert await store.read(ANN, "1a2b3c4d", 0) is None
        assert not stores.holds(marks[ANN])
        assert stores.holds(marks[BOB])
    async with stores.make() as store:
        assert len(await store.read(BOB, "1a2b3c4d", 0) or ()) == 50
        assert not stores.holds(marks[ANN])


def placeholder(vault: Vault, value: str) -> str:
    return vault.placeholder_of(value)


async def test_two_processes_agree_on_placeholders(stores: Stores) -> None:
    key = VaultKey.random()
    async with Vaults(stores.make(), key) as one, Vaults(stores.make(), key) as two:
        here, there = await one.open("web:1"), await two.open("web:1")
        await here.assign([("NAME", "Ann"), ("EMAIL", "ann@x.example")])
        await there.assign([("PHONE", "+49 30 901820"), ("NAME", "Ann")])
        await here.assign([("PHONE", "+49 30 901820")])

        assert here.nonce == there.nonce
        for value in ("Ann", "+49 30 901820"):
            assert placeholder(here, value) == placeholder(there, value)
        assert (await two.open("web:1")).value_of(placeholder(here, "ann@x.example"))


async def test_values_at_rest_cannot_be_read(stores: Stores) -> None:
    async with Vaults(stores.make(), VaultKey.random()) as vaults:
        vault = await vaults.open("web:1")
        await vault.remember("NAME", "Annabella Quokka")
        assert not stores.holds(b"Quokka")
        assert "Quokka" not in repr(vault) + repr(vaults)


async def test_wrong_key_is_told_to_the_operator(stores: Stores) -> None:
    async with Vaults(stores.make(), VaultKey.random()) as vaults:
        await vaults.remember("web:1", [("NAME", "Ann")])
    async with Vaults(stores.make(), VaultKey.random()) as vaults:
        with pytest.raises(ConfigError) as caught:
            await vaults.open("web:1")
        assert isinstance(caught.value, OperatorError)
        assert await vaults.erase("web:1")
        assert (await vaults.open("web:1")).newest == 0


async def test_erased_vault_is_new_for_everybody(stores: Stores) -> None:
    key = VaultKey.random()
    async with Vaults(stores.make(), key) as one, Vaults(stores.make(), key) as two:
        vault = await one.open("web:1")
        await vault.remember("NAME", "Ann")
        old = placeholder(vault, "Ann")
        await two.open("web:1")
        await one.erase("web:1")

        with pytest.raises(StoreBusy):
            await vault.remember("NAME", "Bob")
        for vaults in (one, two):
            fresh = await vaults.open("web:1")
            assert fresh.nonce != vault.nonce
            assert fresh.value_of(old) is None


async def test_a_value_moved_to_another_place_is_refused(stores: Stores) -> None:
    key = VaultKey.random()
    async with stores.make() as store, Vaults(stores.make(), key) as vaults:
        ann = await vaults.open("ann", business="shop")
        await ann.remember("NAME", "Ann")
        bob = await vaults.open("bob", business="shop")
        [moved] = await store.read(VaultId("shop", "ann"), ann.nonce, 0) or ()
        await store.add(VaultId("shop", "bob"), bob.nonce, [b"f"], lambda *_: moved.sealed)

        with pytest.raises(StoreError):
            await vaults.open("bob", business="shop")


async def test_no_conversation_has_a_vault_that_is_kept_nowhere(stores: Stores) -> None:
    async with Vaults(stores.make(), VaultKey.random()) as vaults:
        first = await vaults.open("")
        await first.remember("NAME", "Ann")
        assert (await vaults.open("")).newest == 0
        assert (await vaults.open("")).nonce != first.nonce
