"""From the events of a conversation to what was said in it, as entries of the memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aicore.log.events import Event, MessageReceived, ReplySent
from aicore.memory.neighbours import REACH, context_at
from aicore.memory.port import Entry, Source
from aicore.records import ConversationId, DataClass, Principal
from aicore.trust.special import data_class_of

__all__ = [
    "Utterance",
    "class_at",
    "entry_id",
    "episode_id",
    "episodes_of",
    "subject_of",
    "utterances",
]

_PIECE_CHARS = 4_000
_PIECES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One thing that was said: a message, or the reply of a turn.

    `subject` is the principal of the turn, as text: whose memory it belongs to. `said_by` is the
    kind of the principal, or "assistant".
    """

    seq: int
    at_ms: int
    subject: str
    said_by: str
    text: str

    def source(self, conversation: ConversationId) -> Source:
        """Where it can be read in the log."""
        return Source(said_by=self.said_by, conversation=conversation, seq=self.seq)

    def id_in(self, conversation: ConversationId) -> str:
        """The id of its first piece, under which all of it is forgotten."""
        return episode_id(conversation, self.seq, self.at_ms)


def subject_of(principal: Principal) -> str | None:
    """Whose memory a principal's is; None for one without an id, who could be anybody.

    None as well for an id that has no UTF-8 form, under which no store can keep anything.
    """
    try:
        principal.id.encode()
    except UnicodeEncodeError:
        return None
    return str(principal) if principal.id else None


def utterances(events: Sequence[Event]) -> Iterator[Utterance]:
    """What was said in these events, in order. A reply whose message is not there is left out."""
    subjects: dict[int, str | None] = {}
    for event in events:
        body = event.body
        if isinstance(body, MessageReceived):
            subjects[event.turn] = subject_of(body.principal)
            said_by: str = body.principal.kind
        elif isinstance(body, ReplySent):
            said_by = "assistant"
        else:
            continue
        subject = subjects.get(event.turn)
        if subject is not None and body.text.strip():
            yield Utterance(
                seq=event.seq,
                at_ms=event.at_ms,
                subject=subject,
                said_by=said_by,
                text=body.text,
            )


def entry_id(letter: str, conversation: ConversationId, said: Utterance, what: str) -> str:
    """An id that is always the same for the same thing said, and sorts by when it was.

    The time of the event tells a conversation from an erased one that had its id. What was said
    is no part of it: an id outlives what was forgotten.
    """
    return _id(letter, conversation, said.seq, said.at_ms, what)


def episode_id(conversation: ConversationId, seq: int, at_ms: int, number: int = 0) -> str:
    """The id of a piece of what was said, counted from 0; that of the first names it all."""
    return _id("e", conversation, seq, at_ms, f"piece {number}")


def _id(letter: str, conversation: ConversationId, seq: int, at_ms: int, what: str) -> str:
    identity = f"{len(conversation)} {conversation} {seq} {at_ms} {what}"
    digest = hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()
    return f"{letter}{max(at_ms, 0):011x}-{digest[:12]}"


def class_at(thread: Sequence[Utterance], place: int) -> DataClass:
    """The class of one utterance among those of its subject: that of what came before it as well.

    An answer to a special question, and a reply to the answer, need no word that says so.
    """
    near = thread[max(place - REACH, 0) : place + 1]
    return "special" if any(_is_special(one.text) for one in near) else "personal"


def _is_special(text: str) -> bool:
    return data_class_of(text) == "special"


def episodes_of(
    conversation: ConversationId, thread: Sequence[Utterance], place: int
) -> list[Entry]:
    """The entries of one utterance among those of its subject in a conversation.

    A long text becomes several entries.
    """
    said = thread[place]
    data_class = class_at(thread, place)
    first = max(place - REACH, 0)
    window = [one.text for one in thread[first : place + REACH + 1]]
    context = _storable(context_at(window, place - first, data_class))
    return [
        Entry(
            id=episode_id(conversation, said.seq, said.at_ms, number),
            kind="episode",
            text=piece,
            source=said.source(conversation),
            at_ms=said.at_ms,
            data_class=data_class,
            context=context,
            valid_from_ms=said.at_ms,
        )
        for number, piece in enumerate(_pieces(_storable(said.text)))
    ]


def _storable(text: str) -> str:
    """Without what has no UTF-8 form or what some databases refuse."""
    return text.encode(errors="replace").decode().replace("\x00", " ")


def _pieces(text: str) -> list[str]:
    """Cut a text where words end, into as many pieces as are worth searching."""
    pieces: list[str] = []
    rest = text.strip()
    while rest and len(pieces) < _PIECES:
        end = len(rest)
        if end > _PIECE_CHARS:
            space = rest.rfind(" ", _PIECE_CHARS // 2, _PIECE_CHARS)
            end = space if space > 0 else _PIECE_CHARS
        pieces.append(rest[:end].strip())
        rest = rest[end:].lstrip()
    return [piece for piece in pieces if piece]
