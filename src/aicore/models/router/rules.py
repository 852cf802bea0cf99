"""Where data of a class may go: the first step of every decision, and the one that never bends."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

from aicore.models.port import Capabilities
from aicore.records import DataClass

__all__ = ["DataRule", "DataRules", "Locality"]

Locality = Literal["in_process", "local", "managed"]

_OWN: frozenset[Locality] = frozenset({"in_process", "local"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRule:
    """Which providers may be sent data of one class. None: any.

    `localities` may hold `in_process`, `local` (a machine of the business) and `managed`.
    `regions` and `vendors` are allow-lists for what is not the business's own: a managed
    provider that does not say its region or vendor is on no list. A provider on an own machine
    that names a region or vendor (a proxy) is held to the lists as well. `must_mask`: a managed
    provider must replace personal values before text leaves the machine.
    """

    localities: frozenset[Locality] | None = None
    regions: frozenset[str] | None = None
    vendors: frozenset[str] | None = None
    must_mask: bool = False

    def refusal(self, facts: Capabilities) -> str:
        """Why a provider may not be asked, in plain words; "" when it may."""
        if self.localities is not None and facts.locality not in self.localities:
            return f"it is {facts.locality}, and {_either(self.localities)} is allowed"
        is_own = facts.locality in _OWN
        for word, found, allowed in (
            ("region", facts.region, self.regions),
            ("vendor", facts.vendor, self.vendors),
        ):
            if allowed is None or found in allowed or (is_own and found is None):
                continue
            told = "not known" if found is None else f"{found!r}"
            return f"its {word} is {told}, and {_either(allowed)} is allowed"
        if self.must_mask and not is_own and not facts.masks:
            return "it does not mask personal values"
        return ""


_ANYWHERE = DataRule()
_OWN_ONLY = DataRule(localities=_OWN)


@dataclass(frozen=True, slots=True)
class DataRules:
    """One rule per data class. A class without a rule stays on the own machines."""

    by_class: Mapping[DataClass, DataRule] = field(default_factory=dict)

    def rule(self, data_class: DataClass) -> DataRule:
        """The rule of a class."""
        return self.by_class.get(data_class, _OWN_ONLY)

    @classmethod
    def careful(cls) -> Self:
        """Special data on own machines only, the rest anywhere."""
        return cls({**cls.open().by_class, "special": _OWN_ONLY})

    @classmethod
    def open(cls) -> Self:
        """Everything anywhere."""
        return cls(dict.fromkeys(get_args(DataClass), _ANYWHERE))


def _either(allowed: Collection[str]) -> str:
    return "only " + " or ".join(sorted(allowed)) if allowed else "none"
