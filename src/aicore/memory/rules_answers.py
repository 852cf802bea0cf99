"""Rules for answers: a name, a number or an address alone, right after it was asked for.

Nothing in such an answer says whose it is: the question has to, and plainly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aicore.memory.candidates import Candidate
from aicore.memory.rules_contact import name_in
from aicore.memory.rules_people import OTHERS
from aicore.memory.rules_values import EMAIL, PHONE, phone_of
from aicore.memory.rules_words import words_in

__all__ = ["contacts_answered"]

_ANSWER_CHARS = 200
_NAME_WORDS = 3
_AROUND = " \t\n.,;:!'\"<>-"
_LEAD = r"(?:(?:it'?s|it is|sure|yes|ja|oui|sí|das ist|c'est|es)[ ,:.!]{0,3})?"
_MAIL_ONLY = re.compile(_LEAD + EMAIL, re.IGNORECASE)
_PHONE_ONLY = re.compile(_LEAD + PHONE, re.IGNORECASE)
_NAME_LEAD = re.compile(
    r"(?:it'?s|it is|i'?m|i am|this is|das ist|ich bin|c'est|je suis|soy|es)\s+", re.IGNORECASE
)
# "Ihre" is yours, "ihre" is hers: what is German has its capitals.
_KINDS = (
    r"(?:(?:current|new|best|private|work|full|first|last|own|direct|daytime|contact|aktuelle\w?|"
    r"vollständige\w?|neue\w?) )*"
)
_YOUR = rf"(?:(?i:your)|Ihr(?:e[nr]?)?|[Dd]ein(?:e[nr]?)?) {_KINDS}"
_YOUR_ROMANCE = r"(?i:\b(?:votre|ton|su|tu)) "
_OWN_MAIL = re.compile(
    rf"\b{_YOUR}(?i:e-?mail|mail)(?!\w*['\u2019])|{_YOUR_ROMANCE}(?i:(?:adresse |dirección de )?"
    r"(?:e-?mail|mail|courriel|électronique|correo))"
)
_OWN_PHONE = re.compile(
    rf"\b{_YOUR}(?i:(?:mobile |cell ?|tele)?phone|mobile|cell|whatsapp|(?:telefon|handy|mobil|"
    r"festnetz|ruf)nummer|telefon)(?i: number)?\b"
    r"|(?i:\bnumber\b.{0,30}\b(?:reach|call|ring) you\b)"
    r"|[Nn]ummer\b.{0,30}\b(?:Sie|dich)\b.{0,20}\b(?:erreich|anruf)"
    rf"|{_YOUR_ROMANCE}(?i:(?:numéro de |número de )?(?:téléphone|portable|mobile|teléfono|"
    r"móvil|celular))"
    r"|(?i:\bnuméro\b.{0,30}\bvous (?:joindre|appeler)\b)"
)
_OWN_NAME = re.compile(
    rf"\b{_YOUR}[Nn]amen?\b|\bhei(?:ß|ss)en Sie\b|\bhei(?:ß|ss)t du\b"
    rf"|{_YOUR_ROMANCE}(?i:nom|nombre)\b|(?i:\b(?:cómo se llama|te llamas)\b)"
)
_NOT_OWN = re.compile(
    r"\b(?:emergency|voucher|gift|plumber|notfall|gutschein|geschenk|urgence|cadeau|emergencia|"
    r"regalo|pet|dog|cat|hund|katze|chien|perro)\w*"
    r"|(?<!what)(?<!which)['\u2019]s (?:\w+ )?(?:name|number|phone)",
    re.IGNORECASE,
)
_NO_ANSWERS = words_in(
    """
    yes yep yeah no nope nah sure maybe perhaps ok okay hello hi hey bye why what who how which
    where stop cancel help spam never mind nothing none nobody noone anonymous guess human agent
    person robot bot operator staff wrong number pizza margherita refuse skip next back nevermind
    whatever idk hm hmm ah oh uh well good great fine perfect cool wow true false really sorry
    welcome test private secret unknown customer guest admin owner manager menu order price prices
    booking appointment table me i we he she they do don't will won't can can't is are was dunno
    monday tuesday wednesday thursday friday saturday sunday tonight soon always quit exit start
    ja nein doch nee vielleicht keine kein keiner ahnung egal warum wieso weshalb wer wie was wo
    hallo tschüss abbrechen hilfe mensch mitarbeiter gast kunde kundin niemand geheim anonym weiß
    sicher gerne genau klar stimmt quatsch moment gut guten tag ich wir er sie termin preis rezept
    montag dienstag mittwoch donnerstag freitag samstag sonntag vergiss vergessen weiter
    oui non peut-être pourquoi comment qui quoi bonjour salut aide annuler arrêtez personne rien
    aucune aucun idée client cliente humain secret jamais bien sûr d'accord je il elle nous
    lundi mardi mercredi jeudi vendredi samedi dimanche rendez-vous
    sí si quizás quizá qué quién cómo hola adiós ayuda cancelar nadie nada ninguno ninguna idea
    nunca bueno vale claro humano anónimo yo él ella nosotros lunes martes miércoles jueves
    viernes sábado domingo cita
    """
)


def contacts_answered(text: str, asked: str) -> Iterator[Candidate]:
    """What a message of nothing but a contact detail gives, if it was `asked` for just before.

    Only the customer's own, asked for as theirs: "your phone number?", not "the order number?".
    """
    question = asked[asked.rstrip().rfind(".", 0, -1) + 1 :] if asked.rstrip().endswith("?") else ""
    if not question or len(text) > _ANSWER_CHARS or question.count("?") > 1:
        return
    alone = text.strip(_AROUND)
    if "@" in alone:
        match = _MAIL_ONLY.fullmatch(alone)
        if match and _is_asked(_OWN_MAIL, question):
            yield Candidate(topic="email", value=match["email"].lower())
    elif match := _PHONE_ONLY.fullmatch(alone):
        number = phone_of(match["phone"]) if _is_asked(_OWN_PHONE, question) else None
        if number:
            yield Candidate(topic="phone", value=number)
    elif (name := _name_alone(text)) and _is_asked(_OWN_NAME, question):
        yield Candidate(topic="name", value=name)


def _is_asked(own: re.Pattern[str], question: str) -> bool:
    """Whether it asks for the customer's own, and names nobody else."""
    match = own.search(question)
    if match is None or _NOT_OWN.search(question):
        return False
    # "Ihre" and "su" are among the words for others.
    return OTHERS.search(question[: match.start()] + question[match.end() :]) is None


def _name_alone(text: str) -> str | None:
    """The name that a message is, None where it may be any other word."""
    plain = _NAME_LEAD.sub("", text.strip(" .!"), count=1)
    words = plain.split()
    lower = [word.strip(".,!").lower() for word in words]
    if not 0 < len(words) <= _NAME_WORDS or not _NO_ANSWERS.isdisjoint(lower):
        return None
    if len(words) == 1 and len(plain) <= 2:
        return None
    name = name_in(plain, is_strict=True)
    return name if name and len(name.split()) == len(words) and not _has_marks(name) else None


def _has_marks(name: str) -> bool:
    return any(not (char.isalpha() or char in " .'\u2019-") for char in name)
