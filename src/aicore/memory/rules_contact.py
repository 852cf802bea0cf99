"""Rules for how somebody can be reached and wants to be called, in four languages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

from aicore.memory.candidates import Candidate
from aicore.memory.rules_people import is_of_others
from aicore.memory.rules_refusals import is_for_now, is_no_call
from aicore.memory.rules_values import EMAIL, PHONE, WEEKDAYS, phone_of
from aicore.memory.rules_words import words_in
from aicore.memory.sentences import Sentence

__all__ = ["contacts_stated", "name_in"]

_MINE = (
    r"(?:my|meine|mein|mon|ma|mi)(?:\s+(?:new|current|private|neue|neuer|nouveau|nouvelle|nuevo|"
    r"nueva|e))?"
)
_MAIL_WORD = (
    r"(?:e-?mail|mail|adresse (?:e-?)?mail|adresse électronique|courriel|correo(?: electrónico)?)"
    r"(?:[- ]?(?:address|adresse|id))?(?:\s+(?:now|jetzt))?"
)
_PHONE_WORD = (
    r"(?:(?:mobile|cell|cell ?phone|phone|telephone|contact|handy|telefon|mobil|whatsapp)?[- ]?"
    r"(?:number|nummer|no\.?)|phone|mobile|cell|handy|telefon|rufnummer|"
    r"numéro(?: de (?:téléphone|portable|mobile))?|téléphone|portable|"
    r"número(?: de (?:teléfono|móvil|celular))?|teléfono|móvil|celular)"
)
_IS = (
    r"(?:\s+(?:is|ist|lautet|est|es)(?:\s+(?:now|jetzt|maintenant|ahora))?|'s|\s*:|"
    r"\s*=)\s*:?\s*(?:the |die |le |el )?"
)
_REACH = (
    r"(?:(?:you can |please |best |to )?(?:reach|call|contact|ring|phone|text|e-?mail|"
    r"write(?: to)?)"
    r" me (?:at|on|under|via|by \w+ at)|(?:ihr|sie|du) (?:können|kannst|könnt) mich (?:unter|auf)|"
    r"(?:sie|du) erreich(?:en|st) mich (?:unter|auf|über)|(?:bin|ich bin)(?: \w+)? (?:unter|auf)|"
    r"(?:vous pouvez )?me (?:joindre|contacter|appeler) (?:au|à|sur)|"
    r"(?:puede[ns]? |puedes )?(?:contactarme|llamarme|escribirme|localizarme) (?:al|en|a))"
    r"(?:\s+(?:this|my|meiner?|der|mon|mi|el)\s+(?:\w+\s+)?(?:number|nummer|numéro|"
    r"número))?\s*:?\s*"
)
_MAIL_LEAD = rf"(?:\b{_MINE}\s+{_MAIL_WORD}{_IS}|\b{_REACH})"
_PHONE_LEAD = rf"(?:\b{_MINE}\s+{_PHONE_WORD}{_IS}|\b{_REACH})"
_MAIL_STATED = re.compile(_MAIL_LEAD + EMAIL, re.IGNORECASE)
_PHONE_STATED = re.compile(_PHONE_LEAD + PHONE, re.IGNORECASE)
_END = re.compile(
    r"no longer|any ?more|not .*\bvalid|doesn't work|nicht mehr|keine .* mehr|n'est plus|ne .* plus"
    r"|ya no|dejó de",
    re.IGNORECASE,
)
_MY_PHONE = re.compile(rf"\b(?:{_MINE}|my old)\s+{_PHONE_WORD}", re.IGNORECASE)
_MY_MAIL = re.compile(rf"\b(?:{_MINE}|my old)\s+{_MAIL_WORD}", re.IGNORECASE)
_PART = re.compile(r"[,;]\s")
_ANY_EMAIL = re.compile(EMAIL)
_ANY_PHONE = re.compile(PHONE)
_LETTERS = r"[^\W\d_](?:[^\W\d_]|['.-](?=[^\W\d_]))*"
_NAME_WORD = rf"(?:(?:Dr|Prof|Mr|Mrs|Ms)\.|{_LETTERS})"
_NAME = rf"(?P<name>{_NAME_WORD}(?:\s+{_NAME_WORD}){{0,4}})"
_NAME_STATED = re.compile(
    r"\b(?:my (?:full |real |last |new |family )?(?:name|surname)(?: is|'s)(?: now)?|mein "
    r"(?:voller |"
    r"neuer )?(?:nach|familien)?name (?:ist|lautet)(?: jetzt| nun)?|"
    r"ich hei(?:ß|ss)e(?: jetzt| nun)?|hei(?:ß|ss)e ich (?:jetzt|nun)|hei(?:ß|ss)e (?:jetzt|nun)|"
    r"je m'appelle(?: désormais|"
    r" maintenant)?|je me nomme|mon nom(?: de famille)? est(?: maintenant| désormais)?|"
    r"me llamo(?: ahora)?|mi (?:nombre|apellido)(?: ahora)? es(?: ahora)?)\s*:?\s*" + _NAME,
    re.IGNORECASE,
)
_CALL_ME = re.compile(
    r"\b(?:(?:please )?(?:call|address) me(?: as)?|i go by|nennen sie mich|nenn mich|"
    r"sprechen sie mich (?:bitte )?"
    r"mit|appelez-moi|appelle-moi|ll[áa]meme|llámame|díganme)\s+(?:bitte |please )?(?!"
    + WEEKDAYS
    + r"\b)"
    + _NAME,
    re.IGNORECASE,
)
_TITLES = {"ms", "mr", "mrs", "miss", "mx", "dr", "doctor", "prof", "professor", "herr", "frau"}
_TITLES |= {"madame", "monsieur", "mme", "m", "señor", "señora", "sr", "sra", "don", "doña"}
_PARTICLES = {
    "van",
    "von",
    "de",
    "der",
    "den",
    "la",
    "le",
    "du",
    "da",
    "di",
    "del",
    "zu",
    "bin",
    "al",
}
_NO_NAME_WORDS = """
not on in under the a an misspelled misspelt wrong spelled spelt correct right still also at and
but or for from of to with please here back later tomorrow today now when if any anytime after
before as soon asap by my your it this that about again is was nicht falsch auf im in und aber
richtig bitte morgen heute später zurück an ab unter dem der die das mit so wie nur pas sur et
mais demain plus tard quand dès ce cet cette y pero mañana luego cuando en el lo con no ne thanks
danke merci gracias ein eine une un una anders different private known used
sie euch dich uns willkommen à a nouveau reviens nobody nadie niemand personne maybe crazy loco loca
verrückt spinner fou folle
"""
_NO_NAMES = frozenset(_NO_NAME_WORDS.split())
_ADDRESS = re.compile(
    r"\b(?:my (?:new |home |postal |current )*address (?:is|'s)(?: now)?|"
    r"meine (?:neue )?(?:adresse|anschrift)"
    r" (?:ist|lautet)(?: jetzt)?|mon adresse (?:postale )?est|mi dirección es|"
    r"(?:i|we)(?:'ve| have)?(?: just| recently| now)? moved to|(?:i|we)(?: now)? live (?:now )?"
    r"(?:in|at)|i'm living (?:now )?in|(?:ich wohne|wir wohnen)(?: jetzt| nun)? (?:in der|in|an "
    r"der|"
    r"am)|(?:wohne ich|wohnen wir)(?: jetzt| nun)? (?:in der|in|an der|am)|"
    r"(?:ich bin|wir sind) (?:jetzt |gerade |neulich |vor kurzem )?(?:nach) (?=.*(?:gezogen|"
    r"umgezogen))|"
    r"(?:j'habite|nous habitons)(?: maintenant| désormais)?(?: (?:à|au|en)| (?=\d))|"
    r"(?:j'ai|nous avons) déménagé (?:à|au|en)|(?:vivo|vivimos) (?:ahora )?en(?: la(?= calle| "
    r"avenida| plaza))?|"
    r"(?:me (?:he )?|nos (?:hemos )?)mud(?:é|ado|amos) a)\s*:?\s*(?P<address>[^\n;!]{2,120})",
    re.IGNORECASE,
)
_ADDRESS_END = re.compile(
    r"\b(?:(?:i|we) (?:no longer|don't|do not) live (?:in|at) |(?:ich wohne|wir wohnen) nicht "
    r"mehr (?:in|an der|am) |(?:je n'habite|nous n'habitons) plus (?:à|au|en) |ya no viv(?:o|"
    r"imos) en |i(?:'ve| have)? moved away from )"
    r"(?P<address>[^\n,;!.]{2,80})",
    re.IGNORECASE,
)
_CUT = re.compile(
    r"\s*(?:\.(?=\s*$)|\.\s+(?=[A-Z])|,?\s+\b(?:and|und|et|y|but|aber|mais|pero|since|seit|depuis|"
    r"desde|because|weil|now|jetzt|any ?more|umgezogen|gezogen|last|(?:in|en|im) \d{4}|this year|"
    r"in (?:january|"
    r"february|"
    r"march|april|may|june|july|august|september|october|november|december)|with|mit|so|please|"
    r"near)\b).*$",
    re.IGNORECASE,
)
_NO_PLACE = re.compile(
    r"^(?:the|a|an|my|your|another|different|wrong|below|above|next|near|here|there|same|correct|"
    r"fear|"
    r"peace|hope|meiner|meinem|einer|einem|der|dem|falsch|la même|una|un|casa|jeans|babia|gedanken|"
    r"zukunft|angst|plan \w|style|luxury|" + WEEKDAYS + r")\b",
    re.IGNORECASE,
)


_FOR_OTHERS = re.compile(r"^\W*(?:please )?tell (?:my|him|her|them)\b", re.IGNORECASE)
# Most sentences have none of these, which spares the patterns.
_DIGIT = re.compile(r"\d")
_NAMING = words_in(
    "name surname heiße heisse nachname familienname appelle nomme nom llamo nombre apellido"
)
_CALLING = words_in(
    "call address go nennen nenn sprechen appelez appelle llámame llamame llámeme llameme díganme"
)
_LIVING = words_in(
    """
    address adresse anschrift dirección moved live living wohne wohnen nach habite habitons déménagé
    vivo vivimos mudé mudado mudamos
    """
)
_ENDING = words_in("longer more anymore not work mehr plus ya dejó live away")


def contacts_stated(sentence: Sentence) -> Iterator[Candidate]:
    """Contact details, name and address that a sentence states, or says to be past."""
    text, words = sentence.text, sentence.words
    if sentence.is_denial:
        if not words.isdisjoint(_ENDING):
            yield from _ends(text, words)
        return
    if not is_of_others(text, words):
        yield from _reached(text)
        is_named = not words.isdisjoint(_NAMING)
        if is_named and (match := _NAME_STATED.search(text)) and (name := name_in(match["name"])):
            yield Candidate(topic="name", value=name)
    if not words.isdisjoint(_CALLING):
        yield from _addressed(text)
    if words.isdisjoint(_LIVING) or _FOR_OTHERS.search(text):
        return
    if match := _ADDRESS.search(text):
        yield from _placed(match["address"])


def name_in(words: str, *, is_strict: bool = False) -> str | None:
    """The name at the start of some words, None if there is none.

    With capitals it goes as far as they do; without, two words. `is_strict`: capitals or a title.
    """
    kept: list[str] = []
    has_capitals = words[:1].isupper()
    for word in words.split():
        plain = word.lower().strip(".")
        if not kept and word in _PARTICLES:
            break
        if plain in _NO_NAMES and not (kept and plain in _PARTICLES):
            break
        if has_capitals and not word[0].isupper() and plain not in _PARTICLES:
            break
        kept.append(word)
    while kept and kept[-1].lower() in _PARTICLES:
        kept.pop()
    is_titled = bool(kept) and kept[0].lower().strip(".") in _TITLES and len(kept) > 1
    if not kept or (not has_capitals and (len(kept) > 2 or (is_strict and not is_titled))):
        return None
    name = " ".join(kept).rstrip(".")
    return name if has_capitals else name.title()


def _addressed(text: str) -> Iterator[Candidate]:
    match = _CALL_ME.search(text)
    name = name_in(match["name"], is_strict=True) if match else None
    if match and name and not is_no_call(text[match.start("name") + len(name) :]):
        yield Candidate(topic="preference: form of address", value=name)


def _reached(text: str) -> Iterator[Candidate]:
    if "@" in text and (match := _MAIL_STATED.search(text)):
        yield Candidate(topic="email", value=match["email"].lower())
    if _DIGIT.search(text) and (match := _PHONE_STATED.search(text)):
        yield from _numbered(match["phone"])


def _placed(written: str) -> Iterator[Candidate]:
    if is_for_now(written):
        return
    place = _CUT.sub("", written.strip()).strip(" ,.")
    has_capital = re.search(r"(?:^|\s)[A-ZÀ-ÞŁŚŻ]", place) is not None
    if place and has_capital and not _NO_PLACE.match(place) and len(place.split()) <= 14:
        yield Candidate(topic="address", value=place)


def _ends(text: str, words: Set[str]) -> Iterator[Candidate]:
    if match := _ADDRESS_END.search(text):
        place = _CUT.sub("", match["address"]).strip(" ,.")
        if place:
            yield Candidate(topic="address", value=place, is_end=True)
    if is_of_others(text, words) or not _END.search(text):
        return
    for part in _PART.split(text):
        if not _END.search(part):
            continue
        if _MY_MAIL.search(part) or "my e" in part.lower():
            if match := _ANY_EMAIL.search(part):
                yield Candidate(topic="email", value=match["email"].lower(), is_end=True)
        elif _MY_PHONE.search(part) and (match := _ANY_PHONE.search(part)):
            yield from _numbered(match["phone"], is_end=True)


def _numbered(written: str, *, is_end: bool = False) -> Iterator[Candidate]:
    if number := phone_of(written):
        yield Candidate(topic="phone", value=number, is_end=is_end)
