"""Who may answer, at what price, and with whose data: the sections that a router reads."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from aicore.config.sections import Section
from aicore.records import DataClass

__all__ = ["BudgetSettings", "ClassSettings", "OwnPrice", "PrivacySettings", "RouterSettings"]


class RouterSettings(Section):
    """Which of `[providers.NAME]` are used; with none named, all of them.

    `prefer` decides among those that may answer. `fallback` is a flow file that answers when
    nobody else can. `hedge_share` of requests at most ask a second provider when the first is
    slow; 0: none.
    """

    use: list[str] = Field(default_factory=list)
    prefer: Literal["price", "latency"] = "price"
    fallback: Path | None = None
    hedge_share: float = Field(default=0.05, ge=0, le=1)


class ClassSettings(Section):
    """Where data of one class may go. `regions` and `vendors`: None is any.

    `local_only`: to machines of the business alone. `pseudonymise`: a managed provider sees
    placeholders instead of personal values.
    """

    local_only: bool = False
    regions: list[str] | None = None
    vendors: list[str] | None = None
    pseudonymise: bool = False

    @model_validator(mode="after")
    def _fits(self) -> ClassSettings:
        if self.local_only and (self.pseudonymise or self.regions or self.vendors):
            raise ValueError(
                "local_only leaves nothing to regions, vendors or pseudonymise: remove them, or "
                "local_only"
            )
        return self


class PrivacySettings(Section):
    """Rules by data class, and labels of what tools give: `tools` maps names, `*` for any.

    `vault` is where pseudonyms are kept: sqlite:///FILE, postgresql://..., or in memory without
    one. Its key is in the variable `key_env` or in the file `key_file`. `recogniser` names
    an installed spaCy model by language (`{ de = "de_core_news_md" }`); texts are read in the
    first one.
    """

    public: ClassSettings | None = None
    internal: ClassSettings | None = None
    personal: ClassSettings | None = None
    special: ClassSettings | None = None
    tools: dict[str, DataClass] = Field(default_factory=dict)
    vault: str | None = None
    key_env: str | None = None
    key_file: Path | None = None
    recogniser: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_key(self) -> PrivacySettings:
        if self.vault is not None and (self.key_env is None) == (self.key_file is None):
            raise ValueError("a vault that is kept needs one key: give key_env or key_file")
        return self


class BudgetSettings(Section):
    """Money for model requests, in US dollars; 0 means no limit. Days and months: `agent.zone`.

    What is spent is kept in a SQLite file or where `url` says; without either in memory, and
    counted from zero at every start.
    """

    turn_usd: Decimal = Field(default=Decimal(0), ge=0)
    conversation_usd: Decimal = Field(default=Decimal(0), ge=0)
    day_usd: Decimal = Field(default=Decimal(0), ge=0)
    month_usd: Decimal = Field(default=Decimal(0), ge=0)
    path: Path | None = None
    url: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> BudgetSettings:
        if self.path is not None and self.url is not None:
            raise ValueError("give path or url, not both")
        return self


class OwnPrice(Section):
    """What a model costs by the owner's word, in US dollars per million tokens."""

    input_usd: Decimal = Field(ge=0)
    output_usd: Decimal = Field(ge=0)
    cached_usd: Decimal | None = Field(default=None, ge=0)
    cache_write_usd: Decimal | None = Field(default=None, ge=0)
