"""From settings to a router: who may answer, with whose data, and for how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aicore.config import BudgetSettings, ClassSettings, PrivacySettings, Settings
from aicore.errors import ConfigError
from aicore.models.port import Price, Provider
from aicore.models.registry import open_provider
from aicore.models.systems.profiles import system
from aicore.records import DataClass
from aicore.trust.data_classes import DATA_CLASSES

if TYPE_CHECKING:
    from aicore.models.budget import Budget
    from aicore.models.price_book import PriceBook
    from aicore.models.router import DataRule, DataRules, Member
    from aicore.trust.pseudonyms import Detector
    from aicore.trust.vault import Vaults

__all__ = [
    "build_book",
    "build_members",
    "build_router",
    "build_rules",
    "build_vaults",
    "model_provider",
]

_PAID_BY_THE_HOUR = ("sagemaker",)
"""Kinds that charge for machines, not for tokens."""
_NO_BILL = Price(input_usd=Decimal(0), output_usd=Decimal(0), source="own machine")
"""Known to be nothing a token; what the machine costs an hour is for `aicore cost`."""


def build_router(settings: Settings) -> Provider:
    """The router that a configuration describes, if only over one provider.

    Raises: ConfigError, FlowError.
    """
    from aicore.models.router import Router, RouterLimits

    router = settings.router
    return Router(
        build_members(settings),
        rules=build_rules(settings),
        budget=_budget(settings.budget, settings.agent.zone),
        fallback=_fallback(settings),
        prefer=router.prefer,
        limits=RouterLimits(hedge_share=router.hedge_share),
    )


def build_book(settings: Settings) -> PriceBook:
    """Prices: the owner's own, then what is published."""
    from aicore.models.price_book import PriceBook

    return PriceBook(
        {name: Price(**one.model_dump(), source="own") for name, one in settings.prices.items()}
    )


def model_provider(kind: str, fields: Mapping[str, Any], book: PriceBook | None) -> Provider:
    """One provider that is no flows, with a price where one is known.

    Raises: ConfigError.
    """
    from aicore.models.http_model import HTTPModel

    provider = open_provider(kind, fields)
    facts = provider.capabilities
    if isinstance(provider, HTTPModel) and book is not None and facts.price is None:
        # Where the hour is paid for nobody's list holds: what that comes to, the owner says.
        is_listed = facts.locality == "managed" and kind not in _PAID_BY_THE_HOUR
        price = book.price(facts.vendor if is_listed else None, provider.model)
        if price is None and facts.locality == "local" and _is_ones_own(kind):
            price = _NO_BILL
        provider.set_price(price)
    return provider


def _is_ones_own(kind: str) -> bool:
    """Whether a system is one that is run, not rented: on an own machine it sends no bill."""
    profile = system(kind)
    return profile is not None and profile.locality == "by-host"


def build_members(settings: Settings) -> list[Member]:
    """The providers that a router chooses among. Raises: ConfigError."""
    from aicore.models.router import Member

    masking = _masking(settings)
    named = settings.providers or {"": settings.provider}
    used = settings.router.use or list(named)
    book = build_book(settings)
    members = []
    for name in dict.fromkeys(used):
        fields = dict(named[name])
        # A model in this process has places of its own.
        is_here = fields.get("kind") == "in-process"
        at_once = None if is_here else _places(name, fields)
        provider = _provider(name, fields, book)
        is_managed = provider.capabilities.locality == "managed"
        if masking is not None and is_managed:
            provider = masking(provider)
        members.append(Member(provider, at_once))
    if not members:
        raise ConfigError("No provider is configured: give [providers.NAME] with a kind.")
    return members


def _places(name: str, fields: dict[str, Any]) -> int | None:
    """Take out of a provider's settings what is the router's. From the environment it is text."""
    given = fields.pop("at_once", None)
    if given is None:
        return None
    text = str(given)
    if not text.isdecimal() or int(text) < 1:
        where = f"providers.{name}" if name else "provider"
        raise ConfigError(f"{where}.at_once is {given!r}. Give a whole number from 1 on.")
    return int(text)


def _masking(settings: Settings) -> Callable[[Provider], Provider] | None:
    """What has a provider see placeholders, where any rule asks for that."""
    rules = build_rules(settings)
    if not any(rules.rule(one).must_mask for one in DATA_CLASSES):
        return None
    if settings.privacy.vault is None and (settings.log.path or settings.log.url):
        # What only a labelled field told of, a summary would send in the clear after a restart.
        raise ConfigError(
            "pseudonymise is set and the log is kept, but no vault: after a restart nothing would "
            "know which names to mask. Give privacy.vault, with key_env or key_file."
        )
    from aicore.trust.masked import Masked

    vaults, detector = build_vaults(settings), _detector(settings)
    return lambda provider: Masked(provider, vaults, detector=detector)


def _detector(settings: Settings) -> Detector:
    from aicore.trust.pseudonyms import Detector

    models = settings.privacy.recogniser
    if not models:
        return Detector()
    for name in models.values():
        # It is loaded with the first message; what is missing is said at the start.
        if not (name.isidentifier() and find_spec(name)) and not Path(name).exists():
            raise ConfigError(
                f"privacy.recogniser names the spaCy model {name!r}, which is not installed. "
                f"Install aicore-mcp[pii], then run: python -m spacy download {name}"
            )
    from aicore.trust.recogniser import PresidioRecogniser

    return Detector(PresidioRecogniser(models), language=next(iter(models)))


def build_vaults(settings: Settings) -> Vaults:
    """Where pseudonyms are kept; the caller enters them. Raises: ConfigError."""
    from aicore.trust.vault_registry import open_vaults

    privacy = settings.privacy
    return open_vaults(privacy.vault, key_env=privacy.key_env, key_file=privacy.key_file)


def _provider(name: str, fields: dict[str, Any], book: PriceBook) -> Provider:
    kind = fields.pop("kind", None)
    where = f"providers.{name}" if name else "provider"
    if kind is None and not name:
        raise ConfigError(
            "No provider is configured: give [provider], or [providers.NAME], with a kind."
        )
    if kind in (None, "auto", "flows"):
        raise ConfigError(
            f"{where}.kind is {kind!r}: a router chooses among models, so name a system such as "
            '"ollama" or a dialect such as "openai-compatible". Flows answer where they are named '
            "by router.fallback."
        )
    if name:
        fields.setdefault("name", name)
    try:
        return model_provider(kind, fields, book)
    except ConfigError as error:
        if not name:
            raise
        raise ConfigError(str(error).replace("provider.", f"{where}.", 1)) from error


def build_rules(settings: Settings) -> DataRules:
    """Where data of each class may go."""
    from aicore.models.router import DataRules

    privacy = settings.privacy
    # Who names one provider and no rules has said where data goes: to that one.
    says_all = not settings.providers and privacy == PrivacySettings()
    base = DataRules.open() if says_all else DataRules.careful()
    given = {one: getattr(privacy, one) for one in DATA_CLASSES}
    own: dict[DataClass, DataRule] = {
        one: _rule(rule) for one, rule in given.items() if rule is not None
    }
    return replace(base, by_class={**base.by_class, **own})


def _rule(settings: ClassSettings) -> DataRule:
    from aicore.models.router import DataRule

    return DataRule(
        localities=frozenset({"in_process", "local"}) if settings.local_only else None,
        regions=None if settings.regions is None else frozenset(settings.regions),
        vendors=None if settings.vendors is None else frozenset(settings.vendors),
        must_mask=settings.pseudonymise,
    )


def _budget(settings: BudgetSettings, zone: str | None) -> Budget | None:
    limits = {
        name: getattr(settings, name) or None
        for name in ("turn_usd", "conversation_usd", "day_usd", "month_usd")
    }
    if not any(limits.values()):
        return None
    from aicore.models.budget import Budget, BudgetLimits, MemoryLedger, open_ledger

    url = settings.url if settings.path is None else f"sqlite:///{settings.path}"
    ledger = MemoryLedger() if url is None else open_ledger(url)
    return Budget(ledger, BudgetLimits(**limits), zone=zone)


def _fallback(settings: Settings) -> Provider | None:
    if settings.router.fallback is None:
        return None
    from aicore.flows import FlowProvider
    from aicore.flows.follow_up import FollowUp

    return FollowUp(FlowProvider(settings.router.fallback))
