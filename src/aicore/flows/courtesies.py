"""Greetings, help, thanks, and what to say when nothing was understood."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aicore.flows.contacts import name_in
from aicore.flows.engine import Engine
from aicore.flows.replies import (
    courtesy,
    is_abort,
    is_change,
    is_help,
    is_question,
    is_skip,
    is_unsure,
    yes_or_no,
)
from aicore.flows.words import words

__all__ = ["Courtesies"]

_HINTS = {
    "name": "hint_name",
    "email": "hint_email",
    "phone": "hint_phone",
    "contact": "hint_contact",
    "number": "bad_number",
    "yes_no": "hint_yes_no",
    "date": "hint_when",
    "datetime": "hint_when",
    "period": "hint_when",
    "text": "hint_text",
    "choice": "pick",
}
_MOST_TOPICS = 3
_NO = re.compile(r"\A(?:no|nope|nein|not?)\b[,. ]*")


class Courtesies:
    """Small talk and second chances; never the same sentence twice in a row."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state = engine.state
        self._model = engine.assistant.model

    def at_rest(self, text: str) -> None:
        """Answer what is no flow and no fact."""
        engine, kind = self._engine, courtesy(text)
        if kind == "hello" or is_help(text):
            self._greet(kind)
        elif kind == "anger":
            engine.said.append(f"{engine.wording.say('anger')} {engine.wording.say('ask_person')}")
        elif kind == "thanks":
            engine.say("thanks_more" if "bye" not in text.lower() else "thanks")
        elif kind == "bye" or is_refusal_alone(text):
            self.goodbye()
        elif is_abort(text):
            engine.say("nothing_running")
            self._menu_again()
        elif yes_or_no(text):
            self.menu([], "which")
        elif is_unsure(text):
            engine.say("unsure")
            self.menu([], "menu")
        elif name_in(text):
            self._state.known["name"] = name_in(text)
            engine.say("nice_to_meet", name=name_in(text))
            self.menu([], "menu")
        else:
            self._lost(text)

    def goodbye(self) -> None:
        """Say goodbye."""
        own = self._model.goodbye
        self._engine.said.append(
            own or self._engine.wording.say("bye", business=self._model.assistant)
        )
        self._state.misses = 0

    def _greet(self, kind: str | None) -> None:
        self._state.misses = 0
        if kind == "hello":
            first = self._model.greeting if not self._state.greeted else ""
            self._engine.said.append(first or self._engine.wording.say("hello_again"))
        self.menu([], "menu")

    def anything_else(self) -> None:
        """After a question was answered while nothing is going on: nothing more is needed."""
        self._state.misses = 0

    def menu(self, flows: Sequence[str], key: str) -> None:
        """Offer flows (default: all that have a trigger) and a person, by number."""
        engine = self._engine
        names = list(flows) or [one.flow for one in self._model.flows if one.triggers]
        names = [name for name in names if name != self._model.person.flow]
        lines = [engine.title(name) for name in names]
        if not flows:
            names.append("person")
            lines.append(engine.wording.say("menu_person"))
        self._state.menu = names
        numbered = [f"{n}. {line}" for n, line in enumerate(lines, 1)]
        engine.said.append("\n".join([engine.wording.say(key), *numbered]))
        topics = engine.assistant.facts.titles[:_MOST_TOPICS]
        if topics and key == "menu":
            said = engine.wording.join([topic.lower() for topic in topics])
            engine.say("menu_question", topics=said)

    def _menu_again(self) -> None:
        self.menu([], "menu")

    def _lost(self, text: str) -> None:
        engine, state = self._engine, self._state
        state.misses += 1
        if is_question(text) and re.search(r"\w", text):
            said = f"{engine.wording.say('unknown_question')} {engine.wording.say('ask_person')}"
            engine.said.append(said)
            if state.misses == 1:
                return
        elif not text:
            engine.say("empty")
        elif state.misses == 1:
            engine.said.append(self._model.fallback or engine.wording.say("fallback_1"))
        elif state.misses % 2:
            said = f"{engine.wording.say('fallback_3')} {engine.wording.say('ask_person')}"
            engine.said.append(f"{said} {self._model.contact}".strip())
            return
        else:
            engine.say("fallback_2")
        self.menu([], "menu" if state.misses == 1 else "which")

    def in_flow(self, text: str) -> bool:
        """Answer small talk in the middle of a flow, then put the open question again."""
        engine, kind = self._engine, courtesy(text)
        if is_help(text):
            engine.said.append(f"{self._hint()} {engine.wording.say('help_open')}")
        elif kind == "hello":
            engine.say("hello_open")
        elif kind == "anger":
            engine.said.append(f"{engine.wording.say('anger')} {engine.wording.say('ask_person')}")
        elif kind == "thanks":
            engine.say("thanks")
        elif is_unsure(text):
            engine.said.append(f"{engine.wording.say('unsure')} {self._hint()}")
        elif (yes_or_no(text) is False or is_skip(text)) and engine.open_slot is not None:
            engine.said.append(
                f"{engine.wording.say('needed')} {engine.wording.say('offer_person')}"
            )
        elif not re.search(r"\w", text):
            return self.missed(text)
        else:
            return False
        engine.said.append(self._state.prompt)
        return True

    def missed(self, text: str) -> bool:
        """Nothing was understood: say so, say what would be, ask again in other words."""
        engine, state = self._engine, self._state
        if engine.said:  # a part of the message was answered
            engine.said.append(state.prompt)
            return True
        state.misses += 1
        if not re.search(r"\w", text) and not text:
            start = engine.wording.say("empty")
        elif is_question(text):
            start = f"{engine.wording.say('unknown_question')} {engine.wording.say('ask_person')}"
        else:
            start = engine.wording.say(f"fallback_{(state.misses - 1) % 3 + 1}")
            start = f"{start} {self._hint()}"
        if state.misses > 1 and not is_question(text):
            start = f"{start} {engine.wording.say('offer_person')}"
        engine.said.append(start)
        engine.said.append(state.prompt)
        return True

    def _hint(self) -> str:
        engine = self._engine
        name = engine.open_slot
        if name is None:
            return engine.wording.say("confirm_hint")
        slot = engine.slot(name)
        if slot.hint:
            return engine.text(slot.hint)
        return engine.wording.say("pick_time" if slot.refines else _HINTS[slot.type])


def is_refusal_alone(text: str) -> bool:
    """Say whether a text is a no to "anything else?", and not the beginning of a second thought."""
    rest = _NO.sub("", text.lower())
    return yes_or_no(text) is False and len(words(text)) < 5 and not is_change(rest)
