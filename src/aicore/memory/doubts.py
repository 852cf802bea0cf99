"""What a message makes doubtful where no rule says what it changes to.

A fact that may have changed is not told as one that holds. A word of change beside a word of the
topic, or beside a value of its kind, is enough: a doubt takes nothing away, it only warns. What
somebody must not be given (allergies, illnesses) is never doubted: it holds until it plainly ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from aicore.memory.candidates import Candidate
from aicore.memory.rules_people import OTHERS
from aicore.memory.rules_values import DATE, EMAIL, PHONE, WEEKDAYS
from aicore.memory.rules_words import CHANGED, words_in
from aicore.memory.sentences import is_supposed, said_sentences
from aicore.trust.special import data_class_of

__all__ = ["doubted"]

_WORD = re.compile(r"[^\W_]+")
_CLAUSE = re.compile(r"([,;:\u2013\u2014])\s")
_FAR = 6
_NEAR = 2
_QUOTED_CHARS = 160

_NEW = words_in(
    "new neu neue neuen neuer neues nouveau nouvel nouvelle nuevo nueva andere different"
)
_NO_MORE = re.compile(
    r"\b(?:no longer|any ?more|nicht mehr|kein\w* mehr|ne [^.!?]{1,20} plus|n'[^.!?]{1,20} plus|"
    r"ya no|gilt nicht|won't work|doesn't work|can't make|schaffe es nicht|stimmt nicht)\b",
    re.IGNORECASE,
)
_TOPICS: Mapping[str, frozenset[str]] = {
    "phone": words_in(
        "number numbers nummer telefonnummer handynummer mobilnummer rufnummer numéro número móvil"
    ),
    "email": words_in("email mail mailadresse emailadresse courriel correo"),
    "address": words_in(
        """
        address adresse anschrift dirección domicilio domicile house home flat apartment street
        umgezogen umzug wohnung haus déménagé déménagement déménageons appartement mudé mudado
        mudamos mudanza piso casa
        """
    ),
    "name": words_in("surname nachname nachnamen namen apellido nom maiden geheiratet verheiratet"),
    "plate": words_in("plate plates kennzeichen nummernschild immatriculation plaque matrícula"),
    "vehicle": words_in("car vehicle van auto wagen fahrzeug voiture véhicule coche drive fahre"),
    "size": words_in("size größe kleidergröße taille talla pointure"),
    "membership": words_in("membership mitgliedsnummer kundennummer adhérent socio"),
    "insurance": words_in(
        "insurance insurer policy versicherung krankenkasse assurance mutuelle seguro aseguradora"
    ),
    "diet": words_in("vegan vegetarian vegetarisch vegetarier végétarien végane vegano diet diät"),
    "work": words_in("job work shift arbeit beruf travail poste trabajo empleo"),
    "preference: time of day": words_in(
        "mornings afternoons evenings vormittags nachmittags abends matin soir tardes noches shift"
    ),
    "preference: day": words_in(
        """
        mondays tuesdays wednesdays thursdays fridays montags dienstags mittwochs donnerstags
        freitags samstags lundi mardi mercredi jeudi vendredi samedi lunes martes miércoles jueves
        viernes
        """
    ),
    "preference: contact": words_in("letter letters whatsapp sms brief briefe telefonisch anrufe"),
    "preference: payment": words_in(
        "pay cash invoice zahle bezahle rechnung bar payer paie virement espèces pago tarjeta"
    ),
    "preference: delivery": words_in("deliver delivery parcel paket lieferung livraison entrega"),
    "appointment": words_in(
        "appointment booking reservation termin buchung rendez rdv réservation cita reserva"
    ),
}
_MOVES = words_in(
    """
    move moved reschedule rescheduled postpone postponed rebook cancel cancelled verschieben
    verlegen umbuchen absagen verschoben stornieren reporter reporté déplacer décaler annuler
    annule cambiar cambiarla cambiarlo aplazar mover cancelar anular posponer passons
    """
)
# The day of an appointment is no wish for all days; an e-mail address is no house.
_NEARER: Mapping[str, frozenset[str]] = {
    "preference: time of day": frozenset({"appointment", "appointment wanted"}),
    "preference: day": frozenset({"appointment", "appointment wanted"}),
    "address": frozenset({"email"}),
}
_MOVES_ALONE = words_in("umgezogen déménagé mudé mudado mudamos")
_VALUES: Mapping[str, re.Pattern[str]] = {
    "phone": re.compile(PHONE),
    "email": re.compile(EMAIL),
    "appointment": re.compile(rf"\b(?:{WEEKDAYS}|{DATE})\b", re.IGNORECASE),
}
_TIME = re.compile(r"\d{1,2}(?::\d\d| ?(?:uhr|h\b|am\b|pm\b))", re.IGNORECASE)
_CHANGING = (
    CHANGED
    | _MOVES
    | words_in(
        "longer anymore more mehr plus ya gilt won doesn can schaffe stimmt different andere"
    )
)
_LOOKED_AT_CHARS = 20_000


def doubted(
    text: str, stated: Sequence[Candidate], said_before: Sequence[str] = ()
) -> list[Candidate]:
    """What a message makes doubtful, apart from what it plainly `stated`.

    A topic such as "appointment" stands for all that begin so.
    """
    if _CHANGING.isdisjoint(_WORD.findall(text[:_LOOKED_AT_CHARS].lower())):
        return []
    known = {_kind(one.topic) for one in stated}
    found: dict[str, Candidate] = {}
    for sentence in said_sentences(text, tuple(said_before)):
        own = _own_part(sentence)
        for topic in _changed(own) if own else ():
            if topic not in known:
                quoted = " ".join(sentence.split())[:_QUOTED_CHARS]
                found[topic] = Candidate(
                    topic=topic, value=quoted, data_class=data_class_of(quoted), is_doubt=True
                )
    met = found.keys() | known
    for topic, nearer in _NEARER.items():
        if not met.isdisjoint(nearer):
            found.pop(topic, None)
    return list(found.values())


def _kind(topic: str) -> str:
    return topic if topic.startswith("preference: ") else topic.partition(": ")[0]


def _own_part(sentence: str) -> str:
    """A sentence without what begins with another person, up to a colon."""
    if OTHERS.search(sentence) is None:
        return sentence
    kept: list[str] = []
    is_own = True
    for part in _CLAUSE.split(sentence):
        if part == ":":
            is_own = True
        elif OTHERS.search(part):
            is_own = False
        if is_own:
            kept.append(part)
    return " ".join(kept)


def _changed(text: str) -> Iterator[str]:
    listed = _WORD.findall(text.lower())
    words = frozenset(listed)
    if _CHANGING.isdisjoint(words) or is_supposed(text, words):
        return
    is_over = _NO_MORE.search(text) is not None
    changes = [at for at, word in enumerate(listed) if word in CHANGED]
    # Who asks for something new speaks of what the business has.
    is_asked = text.endswith("?") and words.isdisjoint(_MINE)
    for topic, names in _TOPICS.items():
        if is_asked or words.isdisjoint(names):
            continue
        places = [at for at, word in enumerate(listed) if word in names]
        if is_over or any(_is_beside(listed, one, at) for at in places for one in changes):
            yield topic
    if not words.isdisjoint(_MOVES_ALONE):
        yield "address"
    for topic in ("phone", "email"):
        if (changes or is_over) and _VALUES[topic].search(text):
            yield topic
    is_moved = is_over or not words.isdisjoint(_MOVES)
    if is_moved and (_VALUES["appointment"].search(text) or not words.isdisjoint(_MEETINGS)):
        yield "appointment"


_MINE = words_in("i my our ich mein meine meinen unsere je mon ma notre yo mi mis nuestra")
_MEETINGS = _TOPICS["appointment"]


def _is_beside(listed: list[str], change: int, named: int) -> bool:
    """Whether a word of change speaks of the thing: "new" stands right before it."""
    if change == named:
        return listed[change] in _MOVES_ALONE
    if listed[change] in _NEW:
        return 0 < named - change <= _NEAR or 0 < change - named == 1
    return abs(named - change) <= _FAR
