import pytest

from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    InvalidInput,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.retries import Patience, patiently

QUICK = Patience(attempts=3, deadline_s=5, first_pause_s=0.001)


class Flaky:
    """Fails with the given errors, in order, then answers."""

    def __init__(self, *errors: ToolsError) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "ok"


def busy(retry_after_s: float | None = None) -> BackendUnavailable:
    return BackendUnavailable("busy", retry_after_s=retry_after_s)


async def test_a_busy_system_is_asked_again() -> None:
    flaky = Flaky(busy(), busy())
    assert await patiently(flaky, patience=QUICK) == "ok"
    assert flaky.calls == 3


async def test_patience_ends_with_the_last_error() -> None:
    flaky = Flaky(busy(), busy(), busy(), busy())
    with pytest.raises(BackendUnavailable):
        await patiently(flaky, patience=QUICK)
    assert flaky.calls == 3


async def test_a_wait_longer_than_the_deadline_is_not_begun() -> None:
    flaky = Flaky(busy(retry_after_s=60))
    with pytest.raises(BackendUnavailable) as raised:
        await patiently(flaky, patience=QUICK)
    assert raised.value.retry_after_s == 60
    assert flaky.calls == 1


async def test_what_cannot_get_better_is_not_repeated() -> None:
    flaky = Flaky(InvalidInput("no"))
    with pytest.raises(InvalidInput):
        await patiently(flaky, patience=QUICK)
    assert flaky.calls == 1


async def test_an_unknown_outcome_is_repeated_only_where_that_is_safe() -> None:
    careful, keyed = Flaky(OutcomeUnknown("cut")), Flaky(OutcomeUnknown("cut"))
    with pytest.raises(OutcomeUnknown):
        await patiently(careful, patience=QUICK)
    assert await patiently(keyed, patience=QUICK, repeat_unknown=True) == "ok"
    assert (careful.calls, keyed.calls) == (1, 2)


async def test_once_unknown_it_stays_unknown_when_patience_ends() -> None:
    """The first request may have arrived, whatever the last one met."""
    flaky = Flaky(OutcomeUnknown("cut"), busy(), busy(), busy())
    with pytest.raises(OutcomeUnknown):
        await patiently(flaky, patience=QUICK, repeat_unknown=True)


async def test_a_refused_credential_does_not_undo_what_may_have_happened() -> None:
    """It is said before the key is looked at: the first request may have been done."""
    for refused in (BackendConfigError("401"), InvalidInput("no")):
        with pytest.raises(OutcomeUnknown):
            await patiently(
                Flaky(OutcomeUnknown("cut"), refused), patience=QUICK, repeat_unknown=True
            )
    with pytest.raises(BackendConfigError):
        await patiently(Flaky(BackendConfigError("401")), patience=QUICK)
