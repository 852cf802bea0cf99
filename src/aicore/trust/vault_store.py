"""The VaultStore port: where sealed values are kept, by conversation; and the one in memory.

A store sees no value: only what was sealed, what it is found by, and numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

__all__ = ["MemoryVaultStore", "Seal", "SealedValue", "VaultHead", "VaultId", "VaultStore"]

Seal = Callable[[int, int], bytes]
"""Seals the value at this index of those given, for the number that it gets. It may run twice."""


@dataclass(frozen=True, slots=True)
class VaultId:
    """Whose vault it is."""

    business: str
    conversation: str


@dataclass(frozen=True, slots=True)
class VaultHead:
    """What a vault begins with: its nonce, and a proof that a key is the right one."""

    nonce: str
    proof: bytes


@dataclass(frozen=True, slots=True)
class SealedValue:
    """One value: its number in the vault (from 1 on), what it is found by, and it, sealed."""

    number: int
    finder: bytes
    sealed: bytes


class VaultStore(Protocol):
    """Keeps vaults. Many processes may share one; what was added is durable when `add` returns.

    Raises: StoreError, StoreBusy, NotOpenError.
    """

    async def begin(self, vault: VaultId, fresh: VaultHead) -> VaultHead:
        """Give the head of a vault, which is `fresh` if there was none."""

    async def read(self, vault: VaultId, nonce: str, after: int) -> Sequence[SealedValue] | None:
        """Values with a number above `after`, in order; None where the vault is another by now."""

    async def add(
        self, vault: VaultId, nonce: str, finders: Sequence[bytes], seal: Seal
    ) -> Sequence[SealedValue] | None:
        """Add values that are not there yet, and give all that were asked for, in their order.

        None, and nothing added, where the vault is another by now.
        """

    async def erase(self, vault: VaultId) -> bool:
        """Delete a vault, so that no byte of it stays in the store; False if there was none."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...


@dataclass(slots=True)
class _Kept:
    head: VaultHead
    values: dict[bytes, SealedValue] = field(default_factory=dict)


class MemoryVaultStore:
    """Keeps vaults in this process, for as long as it lives."""

    def __init__(self) -> None:
        self._vaults: dict[VaultId, _Kept] = {}

    async def begin(self, vault: VaultId, fresh: VaultHead) -> VaultHead:
        """Give the head of a vault; see VaultStore."""
        return self._vaults.setdefault(vault, _Kept(fresh)).head

    async def read(self, vault: VaultId, nonce: str, after: int) -> Sequence[SealedValue] | None:
        """Values above a number; see VaultStore."""
        kept = self._kept(vault, nonce)
        return None if kept is None else list(kept.values.values())[after:]

    async def add(
        self, vault: VaultId, nonce: str, finders: Sequence[bytes], seal: Seal
    ) -> Sequence[SealedValue] | None:
        """Add values; see VaultStore."""
        kept = self._kept(vault, nonce)
        if kept is None:
            return None
        for index, finder in enumerate(finders):
            if finder not in kept.values:
                number = len(kept.values) + 1
                kept.values[finder] = SealedValue(number, finder, seal(index, number))
        return [kept.values[finder] for finder in finders]

    async def erase(self, vault: VaultId) -> bool:
        """Delete a vault."""
        return self._vaults.pop(vault, None) is not None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def _kept(self, vault: VaultId, nonce: str) -> _Kept | None:
        kept = self._vaults.get(vault)
        return kept if kept is not None and kept.head.nonce == nonce else None
