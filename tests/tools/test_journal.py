"""Effects on other systems happen once: the promise of `aicore_tools.journal`."""

import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    Conflict,
    InvalidInput,
    NotAllowed,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.journal import Claim, EffectJournal, Procedure
from aicore_tools.operations import Operation

CHILD = Path(__file__).with_name("journal_child.py")
SEND = Operation.of("mail_send", {"draft_id": "7"}, "turn-1:0")


@dataclass
class Desk:
    """Another system: does what it is sent once per key, and fails as it is told."""

    path: Path
    fails: list[Callable[[], Exception]] = field(default_factory=list)
    fails_after: list[Callable[[], Exception]] = field(default_factory=list)
    cannot_tell: bool = False
    lookup_fails: list[ToolsError] = field(default_factory=list)
    asked: int = 0
    claims: list[Claim] = field(default_factory=list)

    async def perform(self, claim: Claim) -> dict[str, Any]:
        self.claims.append(claim)
        self.asked += 1
        if self.fails:
            raise self.fails.pop()()
        (self.path / claim.key).write_text(str(claim.request))
        if self.fails_after:
            raise self.fails_after.pop()()
        return {"sent": claim.request["draft_id"]}

    async def reconcile(self, claim: Claim) -> dict[str, Any] | None:
        if self.cannot_tell:
            raise OutcomeUnknown("It shows nothing.")
        if self.lookup_fails:
            raise self.lookup_fails.pop(0)
        if (self.path / claim.key).exists():
            return {"sent": claim.request["draft_id"], "found": True}
        return None

    @property
    def done(self) -> int:
        return len(list(self.path.iterdir()))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(folder)


@pytest.fixture
def opened(tmp_path: Path, desk: Desk) -> Callable[..., EffectJournal]:
    def make(business: str = "lakeside", deadline_s: float = 60) -> EffectJournal:
        send = Procedure(name="send", perform=desk.perform, reconcile=desk.reconcile)
        path = tmp_path / "effects.db"
        return EffectJournal(path, business=business, procedures=[send], deadline_s=deadline_s)

    return make


async def send(journal: EffectJournal, operation: Operation = SEND) -> Any:
    return await journal.effect(operation, "send", {"draft_id": "7"})


async def test_a_repeat_gets_the_first_result(opened: Any, desk: Desk) -> None:
    async with opened() as journal:
        assert await journal.earlier(SEND) is None
        first = await send(journal)
        again = await send(journal)
        earlier = await journal.earlier(SEND)
    assert (first.result, first.is_replay) == ({"sent": "7"}, False)
    assert (again.result, again.is_replay) == ({"sent": "7"}, True)
    assert earlier == again
    assert desk.asked == 1


async def test_a_key_with_other_arguments_is_refused(opened: Any, desk: Desk) -> None:
    other = Operation.of("mail_send", {"draft_id": "8"}, SEND.key)
    async with opened() as journal:
        await send(journal)
        with pytest.raises(Conflict) as refused:
            await send(journal, other)
    assert refused.value.code == "operation_key_reused"
    assert desk.done == 1


async def test_without_a_key_every_call_is_a_new_effect(opened: Any, desk: Desk) -> None:
    keyless = Operation.of("mail_send", {"draft_id": "7"})
    async with opened() as journal:
        await send(journal, keyless)
        await send(journal, keyless)
        assert await journal.earlier(keyless) is None
    assert desk.done == 2


async def test_what_certainly_failed_may_be_repeated_under_a_new_vendor_key(
    opened: Any, desk: Desk
) -> None:
    """Stripe, for one, gives a failure again to whoever repeats its key."""
    desk.fails.append(lambda: InvalidInput("no"))
    async with opened() as journal:
        with pytest.raises(InvalidInput):
            await send(journal)
        assert await journal.earlier(SEND) is None
        assert (await send(journal)).is_replay is False
    first, second = desk.claims
    assert (first.generation, second.generation) == (0, 1)
    assert first.key != second.key
    assert desk.done == 1


async def test_a_spent_key_is_followed_by_another(tmp_path: Path) -> None:
    """What was taken back leaves its key behind in some systems, for ever."""
    keys: list[str] = []

    async def perform(claim: Claim) -> dict[str, Any]:
        keys.append(claim.key)
        if len(keys) > 1:
            return {"sent": "7"}
        await claim.spend(undo=1)
        raise OutcomeUnknown("cut")

    async def reconcile(claim: Claim) -> dict[str, Any] | None:
        assert claim.notes["undo"] == 1
        return None

    def journal() -> EffectJournal:
        send = Procedure(name="send", perform=perform, reconcile=reconcile)
        return EffectJournal(tmp_path / "effects.db", business="lakeside", procedures=[send])

    async with journal() as one:
        with pytest.raises(OutcomeUnknown):
            await send(one)
        assert await one.earlier(SEND) is None
    async with journal() as two:
        assert (await send(two)).is_replay is False
    assert len(set(keys)) == len(keys) == 2


async def test_a_lost_answer_is_looked_up_at_once(opened: Any, desk: Desk) -> None:
    desk.fails_after.append(lambda: OutcomeUnknown("cut"))
    async with opened() as journal:
        assert (await send(journal)).result == {"sent": "7", "found": True}
        assert (await send(journal)).is_replay
    assert (desk.asked, desk.done) == (1, 1)


async def test_a_lost_request_is_unknown_and_done_under_the_same_key(
    opened: Any, desk: Desk
) -> None:
    """It is not there when it is looked up, and may still be on its way: nobody can promise."""
    desk.fails.append(lambda: OutcomeUnknown("cut"))
    async with opened() as journal:
        with pytest.raises(OutcomeUnknown):
            await send(journal)
        assert (await send(journal)).is_replay is False
    first, second = desk.claims
    assert first.key == second.key, "so that the other system takes both for one"
    assert desk.done == 1


async def test_what_cannot_be_looked_up_is_never_sent_again(opened: Any, desk: Desk) -> None:
    desk.fails_after.append(lambda: OutcomeUnknown("cut"))
    desk.cannot_tell = True
    async with opened() as journal:
        for _ in range(3):
            with pytest.raises(OutcomeUnknown):
                await send(journal)
        with pytest.raises(OutcomeUnknown):
            await journal.earlier(SEND)
        desk.cannot_tell = False
        assert (await send(journal)).is_replay
    assert (desk.asked, desk.done) == (1, 1)


async def test_where_looking_up_fails_it_stays_unknown(opened: Any, desk: Desk) -> None:
    """A vendor that is down says nothing about what it did before."""
    desk.fails_after.append(lambda: OutcomeUnknown("cut"))
    desk.lookup_fails = [BackendUnavailable("down", retry_after_s=7), InvalidInput("odd")]
    async with opened() as journal:
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                await send(journal)
        assert (await send(journal)).is_replay
    assert (desk.asked, desk.done) == (1, 1)


async def test_an_unexpected_crash_counts_as_unknown(opened: Any, desk: Desk) -> None:
    desk.fails_after.append(lambda: ZeroDivisionError())
    async with opened() as journal:
        with pytest.raises(ZeroDivisionError):
            await send(journal)
    async with opened() as journal:
        assert (await send(journal)).result == {"sent": "7", "found": True}
    assert (desk.asked, desk.done) == (1, 1)


async def test_leaving_in_the_middle_is_looked_up_by_the_next(
    opened: Any, desk: Desk, tmp_path: Path
) -> None:
    async def never_ends(claim: Claim) -> dict[str, Any]:
        (desk.path / claim.key).write_text("sent")
        scope.cancel()
        await anyio.sleep_forever()
        return {}

    slow = Procedure(name="send", perform=never_ends, reconcile=desk.reconcile)
    left = EffectJournal(tmp_path / "effects.db", business="lakeside", procedures=[slow])
    async with left, opened() as journal:
        with anyio.CancelScope() as scope:
            await send(left)
        assert (await send(journal)).result == {"sent": "7", "found": True}
    assert desk.done == 1


async def test_the_deadline_ends_it_as_unknown(tmp_path: Path, desk: Desk) -> None:
    async def never_answers(_: Claim) -> dict[str, Any]:
        await anyio.sleep_forever()
        return {}

    desk.cannot_tell = True
    slow = Procedure(name="send", perform=never_answers, reconcile=desk.reconcile)
    path = tmp_path / "effects.db"
    journal = EffectJournal(path, business="lakeside", procedures=[slow], deadline_s=0.05)
    async with journal:
        with pytest.raises(OutcomeUnknown):
            await send(journal)


async def test_many_at_once_are_one(opened: Any, desk: Desk) -> None:
    results = []

    async def one(journal: EffectJournal) -> None:
        results.append(await send(journal))

    async with opened() as journal, anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(one, journal)
    assert [result.is_replay for result in results].count(False) == 1
    assert desk.done == 1


async def test_notes_and_request_survive(tmp_path: Path, desk: Desk) -> None:
    seen: list[Claim] = []

    async def perform(claim: Claim) -> dict[str, Any]:
        await claim.note(draft="d1")
        await claim.note(step=2)
        raise OutcomeUnknown("cut")

    async def reconcile(claim: Claim) -> dict[str, Any] | None:
        seen.append(claim)
        raise OutcomeUnknown("cut")

    half = Procedure(name="send", perform=perform, reconcile=reconcile)
    path = tmp_path / "effects.db"
    async with EffectJournal(path, business="lakeside", procedures=[half]) as journal:
        with pytest.raises(OutcomeUnknown):
            await send(journal)
    async with EffectJournal(path, business="lakeside", procedures=[half]) as journal:
        with pytest.raises(OutcomeUnknown):
            await journal.earlier(SEND)
    assert seen[1].notes == {"draft": "d1", "step": 2}
    assert seen[1].request == {"draft_id": "7"}
    assert seen[1].key == seen[0].key


def give_up_at_once(journal: EffectJournal) -> None:
    """The real wait for a file that is held is five seconds; nobody learns more from it."""
    writer = journal._store._writer
    assert writer is not None
    writer.execute("PRAGMA busy_timeout = 1")


async def test_a_note_that_cannot_be_kept_leaves_it_unknown(tmp_path: Path, desk: Desk) -> None:
    """The file may be held by another program just after the vendor acted."""
    path = tmp_path / "effects.db"
    holder = sqlite3.connect(path, isolation_level=None)

    async def perform(claim: Claim) -> dict[str, Any]:
        result = await desk.perform(claim)
        holder.execute("BEGIN IMMEDIATE")
        try:
            await claim.note(step=2)
        finally:
            holder.execute("ROLLBACK")
        return result

    half = Procedure(name="send", perform=perform, reconcile=desk.reconcile)
    async with EffectJournal(path, business="lakeside", procedures=[half]) as journal:
        give_up_at_once(journal)
        assert (await send(journal)).result["found"]
        assert (await send(journal)).is_replay
    holder.close()
    assert (desk.asked, desk.done) == (1, 1)


async def test_a_result_that_cannot_be_kept_leaves_it_unknown(tmp_path: Path, desk: Desk) -> None:
    path = tmp_path / "effects.db"
    holder = sqlite3.connect(path, isolation_level=None)

    async def perform(claim: Claim) -> dict[str, Any]:
        result = await desk.perform(claim)
        holder.execute("BEGIN IMMEDIATE")
        return result

    whole = Procedure(name="send", perform=perform, reconcile=desk.reconcile)
    async with EffectJournal(path, business="lakeside", procedures=[whole]) as journal:
        give_up_at_once(journal)
        with pytest.raises(OutcomeUnknown):
            await send(journal)
        holder.execute("ROLLBACK")
        assert (await send(journal)).result["found"]
    holder.close()
    assert (desk.asked, desk.done) == (1, 1)


async def test_of_two_who_look_it_up_one_does_it(tmp_path: Path, desk: Desk) -> None:
    """A slow answer "not there" must not undo what the faster one has done since."""
    path = tmp_path / "effects.db"
    asked, fast_is_done = anyio.Event(), anyio.Event()

    async def crash(_: Claim) -> dict[str, Any]:
        raise ZeroDivisionError

    async def slowly(claim: Claim) -> dict[str, Any] | None:
        found = await desk.reconcile(claim)
        asked.set()
        await fast_is_done.wait()
        return found

    def journal(perform: Any, reconcile: Any) -> EffectJournal:
        procedure = Procedure(name="send", perform=perform, reconcile=reconcile)
        return EffectJournal(path, business="lakeside", procedures=[procedure])

    outcomes: list[Any] = []

    async def one(opened: EffectJournal) -> None:
        try:
            outcomes.append(await send(opened))
        except OutcomeUnknown as error:
            outcomes.append(error.code)

    async with (
        journal(crash, desk.reconcile) as dead,
        journal(desk.perform, slowly) as slow,
        journal(desk.perform, desk.reconcile) as fast,
    ):
        with pytest.raises(ZeroDivisionError):
            await send(dead)
        async with anyio.create_task_group() as group:
            group.start_soon(one, slow)
            await asked.wait()
            await one(fast)
            fast_is_done.set()
    assert outcomes[0] == "in_progress"
    assert desk.done == 1


async def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path, desk: Desk) -> None:
    path = tmp_path / "effects.db"
    path.with_name("effects.db-owners").write_text("no folder")
    send_it = Procedure(name="send", perform=desk.perform, reconcile=desk.reconcile)
    with pytest.raises(BackendConfigError):
        async with EffectJournal(path, business="lakeside", procedures=[send_it]):
            pass


async def test_strange_things_among_the_owners_are_left_alone(opened: Any, tmp_path: Path) -> None:
    folder = tmp_path / "effects.db-owners"
    (folder / "old").mkdir(parents=True)
    (folder / "dead").write_text("")
    async with opened() as journal:
        await send(journal)
    assert [path.name for path in folder.iterdir()] == ["old"]


async def test_businesses_do_not_share_keys(opened: Any, desk: Desk) -> None:
    async with opened("lakeside") as ours, opened("hillside") as theirs:
        await send(ours)
        assert await theirs.earlier(SEND) is None
        assert (await send(theirs)).is_replay is False
    assert desk.done == 2


async def test_a_refusal_of_staff_is_no_unknown(opened: Any, desk: Desk) -> None:
    desk.fails.append(lambda: NotAllowed("no"))
    async with opened() as journal:
        with pytest.raises(NotAllowed):
            await send(journal)
        assert await journal.earlier(SEND) is None


@pytest.mark.parametrize(("how", "found"), [("before", False), ("after", True)])
async def test_killed_in_the_middle_and_asked_again_it_is_one(
    opened: Any, desk: Desk, tmp_path: Path, how: str, found: bool
) -> None:
    path = tmp_path / "effects.db"
    command = [sys.executable, str(CHILD), str(path), str(desk.path), how]
    child = await anyio.run_process(command, check=False)
    assert child.returncode == -9
    async with opened() as journal:
        effect = await send(journal)
    assert (effect.is_replay, effect.result.get("found", False)) == (found, found)
    assert (desk.asked, desk.done) == (0 if found else 1, 1)


async def test_another_living_process_is_waited_for_and_not_overtaken(
    opened: Any, desk: Desk, tmp_path: Path
) -> None:
    path = tmp_path / "effects.db"
    command = [sys.executable, str(CHILD), str(path), str(desk.path), "wait"]
    async with await anyio.open_process(command) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        await child.stdout.receive()
        async with opened() as journal:
            with pytest.raises(OutcomeUnknown) as busy:
                await send(journal)
            assert (busy.value.code, busy.value.retry_after_s) == ("in_progress", 1.0)
            await child.stdin.send(b"go on\n")
            await child.wait()
            assert (await send(journal)).result == {"by": "child"}
    assert desk.asked == 0
