"""Vaults: which placeholder stands for which value, sealed, one for each conversation.

The same value has the same placeholder for as long as its vault lives, in every process, so that
prompts stay the same bytes. A placeholder says what kind of value it stands for, and the nonce of
its vault, which nobody can guess: one of another conversation, or one that somebody made up, is
none of ours.
"""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from aicore.errors import ConfigError, StoreBusy, StoreError
from aicore.trust.known_values import KnownValues
from aicore.trust.vault_key import VaultKey, WrongKeyError
from aicore.trust.vault_store import MemoryVaultStore, SealedValue, VaultHead, VaultId, VaultStore

__all__ = ["LITERAL", "Vault", "Vaults"]

LITERAL = "LITERAL"
"""The kind of what is no value, but looks like a placeholder."""

_OPEN_VAULTS = 256
_PROOF = b"aicore vault"
_LONGEST_KIND = 12


class Vault:
    """The values of one conversation, in the clear in memory, sealed in the store."""

    def __init__(self, id_: VaultId, store: VaultStore, key: VaultKey, nonce: str) -> None:
        self._id = id_
        self._store = store
        self._key = key
        self.nonce = nonce
        self.known = KnownValues()
        self.newest = 0
        self._placeholders: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._kinds: list[tuple[str, str]] = []
        self._since: dict[int, KnownValues] = {}

    def __repr__(self) -> str:
        return f"Vault(nonce={self.nonce!r}, values={self.newest})"

    def placeholder_of(self, value: str) -> str:
        """What stands for a value that has been assigned."""
        return self._placeholders[value]

    def value_of(self, placeholder: str) -> str | None:
        """What a placeholder of exactly this form stands for, None for one that is not of here."""
        return self._values.get(placeholder)

    def known_since(self, number: int) -> KnownValues:
        """Those of the known values that came after the one with this number."""
        if number not in self._since:
            newer = KnownValues()
            for kind, value in self._kinds[number:]:
                if kind != LITERAL:
                    newer.add(kind, value)
            self._since[number] = newer
        return self._since[number]

    async def remember(self, kind: str, value: str) -> None:
        """Know a value from a labelled field: it is found in all text from now on.

        `kind` is a word such as NAME, EMAIL or ADDRESS. Raises as VaultStore does.
        """
        await self.assign([(kind, value)])

    async def assign(self, values: Iterable[tuple[str, str]]) -> None:
        """Give placeholders to values (kind, value) that have none.

        Raises: StoreBusy also when the vault was erased meanwhile; as VaultStore does.
        """
        known = self._placeholders
        new = {value: _kind(kind) for kind, value in values if value and value not in known}
        if not new:
            return
        given = list(new.items())
        finders = [self._finder(value) for value, _ in given]

        def seal(index: int, number: int) -> bytes:
            value, kind = given[index]
            plain = json.dumps([kind, value]).encode()
            return self._key.seal(plain, _place(self._id, self.nonce, number))

        added = await self._store.add(self._id, self.nonce, finders, seal)
        if added is None:
            raise _erased()
        is_gapless = max(one.number for one in added) <= self.newest + len(added)
        if not is_gapless and not await self.refresh():  # another process added some in between
            raise _erased()
        self._take(added)
        if not new.keys() <= self._placeholders.keys():
            raise _erased()

    async def refresh(self) -> bool:
        """Take in what other processes added; False if the vault was erased.

        Raises: StoreError for a value that was not sealed for this place.
        """
        newer = await self._store.read(self._id, self.nonce, self.newest)
        if newer is None:
            return False
        self._take(newer)
        return True

    def _take(self, sealed: Sequence[SealedValue]) -> None:
        for one in sorted(sealed, key=lambda value: value.number):
            if one.number != self.newest + 1:
                continue
            try:
                plain = self._key.unseal(one.sealed, _place(self._id, self.nonce, one.number))
            except WrongKeyError as exc:
                raise StoreError(
                    "A value of the vault was changed or moved. Restore a backup of the vault, or "
                    "erase the conversation."
                ) from exc
            kind, value = json.loads(plain)
            placeholder = f"[[{kind}_{self.nonce}_{one.number}]]"
            self._placeholders[value] = placeholder
            self._values[placeholder] = value
            self._kinds.append((kind, value))
            if kind != LITERAL:
                self.known.add(kind, value)
            self.newest = one.number
        self._since.clear()

    def _finder(self, value: str) -> bytes:
        place = _place(self._id, self.nonce, 0)
        return self._key.finder(place + value.encode("utf-8", "surrogatepass"))


class Vaults:
    """The vaults of a store under one key. Enter it before use.

    The last 256 conversations stay open, in the clear in memory.
    """

    def __init__(self, store: VaultStore, key: VaultKey) -> None:
        self._store = store
        self._key = key
        self._open: OrderedDict[VaultId, Vault] = OrderedDict()

    async def open(self, conversation: str, *, business: str = "main") -> Vault:
        """The vault of a conversation, with all that other processes added to it.

        No conversation ("") has a vault that is new each time and kept nowhere.
        Raises: ConfigError when it was sealed with another key; as VaultStore does.
        """
        if not conversation:
            return await self._begin(VaultId(business, ""), MemoryVaultStore())
        id_ = VaultId(business, conversation)
        vault = self._open.get(id_)
        if vault is None or not await vault.refresh():
            vault = await self._begin(id_, self._store)
            await vault.refresh()
            self._open[id_] = vault
        self._open.move_to_end(id_)
        if len(self._open) > _OPEN_VAULTS:
            self._open.popitem(last=False)
        return vault

    async def remember(
        self, conversation: str, values: Iterable[tuple[str, str]], *, business: str = "main"
    ) -> None:
        """Know values (kind, value) of labelled fields in a conversation; see Vault.remember."""
        await (await self.open(conversation, business=business)).assign(values)

    async def erase(self, conversation: str, *, business: str = "main") -> bool:
        """Delete a conversation's vault for good; False if there was none.

        Its placeholders mean nothing from then on. Raises as VaultStore does.
        """
        id_ = VaultId(business, conversation)
        self._open.pop(id_, None)
        return await self._store.erase(id_)

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.clear()
        await self._store.__aexit__(exc_type, exc, traceback)

    async def _begin(self, id_: VaultId, store: VaultStore) -> Vault:
        nonce = secrets.token_hex(4)
        proof = self._key.seal(_PROOF, _place(id_, nonce, 0))
        head = await store.begin(id_, VaultHead(nonce, proof))
        try:
            self._key.unseal(head.proof, _place(id_, head.nonce, 0))
        except WrongKeyError as exc:
            raise ConfigError(
                "The key of the vault is not the one that this conversation's values were sealed "
                "with. Give that key again; if it is lost, erase the conversation."
            ) from exc
        return Vault(id_, store, self._key, head.nonce)


def _erased() -> StoreBusy:
    return StoreBusy("The vault of this conversation was erased meanwhile. Send it again.")


def _kind(kind: str) -> str:
    """A kind as it can stand in a placeholder: letters only. A server may call it anything."""
    letters = "".join(char for char in kind.upper() if "A" <= char <= "Z")[:_LONGEST_KIND]
    return letters if len(letters) > 1 else "VALUE"


def _place(id_: VaultId, nonce: str, number: int) -> bytes:
    """What a sealed value is bound to, so that no row can be taken for another."""
    return json.dumps([id_.business, id_.conversation, nonce, number]).encode()
