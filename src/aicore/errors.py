"""Every error of the core, sorted by who must act.

    AicoreError
    ├── ModelError              the model: its answer cannot be used; asking again may help
    │   └── ContextOverflow     the request is longer than the model can read
    ├── CustomerError           the customer: something is missing or malformed
    ├── StaffError              a person of the business decides or takes over
    │   ├── LimitReached        the turn used up what it was given
    │   │   ├── RoundLimitReached · TokenLimitReached · CostLimitReached · TimeLimitReached
    │   │   └── BudgetReached   the money set aside for a turn, conversation, day or month is spent
    │   └── ApprovalError       the approval is unknown, or decided already
    ├── OperatorError           configuration, installation or credentials are wrong
    │   ├── ConfigError         a setting names something that cannot be
    │   │   └── FlowError       a flow file has a hole
    │   ├── CredentialError     a key was refused
    │   ├── PolicyBlocked       a rule on data leaves no provider that may be asked
    │   ├── StoreError          a database is corrupt, locked for good, or newer than this program
    │   └── NotOpenError        used before it was entered, or after it was left
    ├── TemporaryError          nobody yet: the same again later may work
    │   ├── ProviderUnavailable · StoreBusy
    │   ├── Interrupted         a model's answer broke off after text was shown
    │   └── Fenced              another worker owns the conversation now
    │       └── HeadMoved       a message came in while this turn was writing
    └── OutcomeUnknownError     an effect may or may not have happened: look it up first

Data is in fields, the sentence says the next step. Messages hold no secret and no customer text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "AicoreError",
    "ApprovalError",
    "BudgetReached",
    "ConfigError",
    "ContextOverflow",
    "CostLimitReached",
    "CredentialError",
    "CustomerError",
    "Fenced",
    "FlowError",
    "HeadMoved",
    "Interrupted",
    "LimitReached",
    "ModelError",
    "NotOpenError",
    "OperatorError",
    "OutcomeUnknownError",
    "PolicyBlocked",
    "ProviderUnavailable",
    "RoundLimitReached",
    "StaffError",
    "StoreBusy",
    "StoreError",
    "TemporaryError",
    "TimeLimitReached",
    "TokenLimitReached",
]


class AicoreError(Exception):
    """The root: catch it to catch everything the core raises on purpose.

    `code` is stable and safe to store and to show; the message text is not API. `route` is how a
    router came to fail (a Route), None elsewhere.
    """

    code = "error"
    route: Any = None


class ModelError(AicoreError):
    """A model's answer cannot be used (empty, refused, or over its own limit).

    `was_answered`: there was an answer, which is paid for.
    """

    code = "model"
    was_answered = False


class ContextOverflow(ModelError):
    """A request is longer than the model can read: it must become shorter."""

    code = "context_overflow"


class CustomerError(AicoreError):
    """What came from outside is missing something or malformed."""

    code = "customer"


class StaffError(AicoreError):
    """A person of the business must decide or take over."""

    code = "staff"


class LimitReached(StaffError):
    """A turn used up what it was given; the conversation stays usable.

    `limit` is the setting's value and `used` what was reached, in the unit of the subclass.
    """

    code = "limit"
    unit = ""

    def __init__(self, *, limit: object, used: object) -> None:
        super().__init__(
            f"The turn stopped at its limit of {limit} {self.unit} (reached {used}). "
            "Send a new message to go on, or raise it in Limits."
        )
        self.limit = limit
        self.used = used


class RoundLimitReached(LimitReached):
    """The model asked for tools more often than `Limits.rounds` allows."""

    code = "limit_rounds"
    unit = "model requests"


class TokenLimitReached(LimitReached):
    """The turn spent more than `Limits.tokens` (input and output together)."""

    code = "limit_tokens"
    unit = "tokens"


class CostLimitReached(LimitReached):
    """The turn spent more than `Limits.cost_usd`."""

    code = "limit_cost"
    unit = "US dollars"


class TimeLimitReached(LimitReached):
    """The turn took longer than `Limits.wall_s`."""

    code = "limit_time"
    unit = "seconds"


class BudgetReached(LimitReached):
    """The money set aside for a `window` (turn, conversation, day, month) is spent or reserved."""

    code = "budget"
    unit = "US dollars"

    def __init__(self, *, window: str, limit: object, used: object) -> None:
        super().__init__(limit=limit, used=used)
        self.window = window
        self.args = (
            f"What is left of the budget of {limit} US dollars a {window} is not enough for this "
            f"request ({used} are spent or reserved). Raise budget.{window}_usd, lower "
            "limits.output_tokens_per_request, or add a provider that costs nothing.",
        )


class ApprovalError(StaffError):
    """The approval does not exist or was decided already."""

    code = "approval"


class OperatorError(AicoreError):
    """Whoever runs the system must change its configuration or installation."""

    code = "operator"


class ConfigError(OperatorError):
    """A setting is missing, malformed, or names something that does not exist."""

    code = "config"


class FlowError(ConfigError):
    """A flow file has a hole; `path` and `where` name it."""

    code = "flow"

    def __init__(self, message: str, *, path: str = "", where: str = "") -> None:
        place = ": ".join(part for part in (path, where) if part)
        super().__init__(f"{place}: {message}" if place else message)
        self.path = path
        self.where = where


class CredentialError(OperatorError):
    """A provider or server refused our credentials."""

    code = "credentials"


class PolicyBlocked(OperatorError):
    """No provider may be sent data of this class.

    `data_class` is the request's, `rules` are what ruled each provider out, as provider: rule.
    """

    code = "policy_blocked"

    def __init__(self, *, data_class: str, rules: Mapping[str, str]) -> None:
        why = "; ".join(f"{provider}: {rule}" for provider, rule in rules.items())
        super().__init__(
            f"No provider may be sent {data_class} data ({why}). Add one on a machine of your own, "
            f"or change the rules of privacy.{data_class}."
        )
        self.data_class = data_class
        self.rules = dict(rules)


class StoreError(OperatorError):
    """A database cannot be used: corrupt, unreadable, or written by a newer version."""

    code = "store"


class NotOpenError(OperatorError):
    """Something was used outside its `async with`."""

    code = "not_open"


class TemporaryError(AicoreError):
    """The same call may work later; `retry_after_s` is the other side's hint, or None."""

    code = "temporary"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ProviderUnavailable(TemporaryError):
    """A model backend did not answer, or answered with a passing fault.

    `status` is the HTTP status, or None where there was none.
    """

    code = "provider_unavailable"

    def __init__(
        self, message: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.status = status


class StoreBusy(TemporaryError):
    """A database is held by another process right now."""

    code = "store_busy"


class Interrupted(TemporaryError):
    """A model's answer broke off after `text` had been shown."""

    code = "interrupted"

    def __init__(self, message: str, *, text: str) -> None:
        super().__init__(message)
        self.text = text


class Fenced(TemporaryError):
    """Another worker has claimed the conversation: stop, write nothing, call nothing."""

    code = "fenced"


class HeadMoved(Fenced):
    """The claim still holds, but events were added since; read them and append again."""

    code = "head_moved"


class OutcomeUnknownError(AicoreError):
    """An effect was sent and its outcome is not known. `operation_key` finds it."""

    code = "outcome_unknown"

    def __init__(self, message: str, *, operation_key: str) -> None:
        super().__init__(message)
        self.operation_key = operation_key
