"""Rules for what has a shape: numbers, addresses, codes, sizes, beside the name of what they are.

A value counts where all words before it, back to the name of the thing, are plain ones: with a
"sister", an "old" or a "not" among them nothing is stated of the writer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aicore.memory.candidates import Candidate
from aicore.memory.rules_refusals import is_for_now
from aicore.memory.rules_values import DATE, EMAIL, PHONE, phone_of
from aicore.memory.rules_words import DENIED, PLAIN, words_in
from aicore.memory.sentences import Sentence

__all__ = ["shaped"]

_WORD = re.compile(r"[^\W_]+")
# A colon goes on: "new number: ...".
_BREAK = re.compile(r"[,;.!?()\u2013\u2014]|\b(?:and|but|und|aber|sondern|et|mais|y|pero|sino)\b")
_BEHIND = 60

_MINE = words_in(
    "my our mein meine meinen meiner meines unser unsere mon ma mes notre mi mis nuestro nuestra"
)
_NEW = words_in(
    """
    new now changed change changing neu neue neuen neuer neues jetzt geändert gewechselt nouveau
    nouvel nouvelle maintenant changé change désormais nuevo nueva ahora cambié cambiado cambiamos
    """
)
_I = words_in("i ich je yo")
_ME = words_in("me m us mich uns mir moi nous nos")
_REACH = words_in(
    """
    reach reachable call ring text dial contact write mail email e schreib schreiben schreibt
    erreichen erreichst erreichbar anrufen ruf rufen joindre appeler appelez contacter écrire
    écrivez
    joignable llamar llame llamen llamarme llámame llámeme escríbame escribirme escriban contactarme
    localizarme
    """
)
_TO_ME_IN_ONE = words_in(
    "llamarme llámame llámeme escríbame escribirme contactarme localizarme erreichbar joignable"
)
_PHONES = words_in(
    """
    number phone mobile cell cellphone telephone landline whatsapp tel nummer telefonnummer
    handynummer mobilnummer festnetznummer telefon handy rufnummer numéro téléphone portable tél
    número teléfono móvil celular
    """
)
_MAILS = words_in(
    """
    email e mail mails emails mailadresse emailadresse address adresse courriel mél électronique
    correo electrónico dirección
    """
)
_INVOICES = words_in(
    "invoice invoices bill bills rechnung rechnungen facture factures facturez factura facturas"
)
_PLACES = words_in("address adresse anschrift dirección domicilio domicile postadresse wohnadresse")
_NOT_PLACES = words_in("e mail email ip web site internet")
_PLATES = words_in(
    """
    plate plates registration reg licence license number autos kennzeichen nummernschild
    autokennzeichen
    immatriculation plaque matrícula placa car auto voiture coche
    """
)
_MEMBERS = words_in(
    """
    membership member customer client loyalty card mitgliedsnummer mitglieds kundennummer kunden
    mitgliedsnr adhérent adhérente abonné fidélité cliente socio socia number nummer nr numéro
    número
    carte karte kundenkarte tarjeta
    """
)
_MEMBERS_NAMED = _MEMBERS - words_in("card number nummer nr numéro número carte karte tarjeta")
_SIZES = words_in(
    """
    size sizes größe kleidergröße konfektionsgröße schuhgröße hosengröße taille pointure talla
    brauche shoe shoes dress shirt ring trage porte chausse fais wear uso llevo calzo schuhe
    """
)
_SHOES = words_in("shoe shoes schuhgröße pointure chausse calzo schuhe zapato")
_INSURERS = words_in(
    """
    insurance insurer insured versicherung krankenkasse krankenversicherung versichert assurance
    assureur mutuelle assuré assurée seguro aseguradora asegurado asegurada with bei chez con
    """
)
_INSURERS_NAMED = _INSURERS - words_in("with bei chez con")
_BIRTHS = words_in(
    """
    birthday birth date born geburtstag geburtsdatum geboren anniversaire naissance né née
    cumpleaños nacimiento nací
    """
)
_BIRTHS_NAMED = _BIRTHS - {"date"}

_BY_FORM = words_in(
    """
    wear trage brauche porte chausse fais uso llevo calzo né née nací geboren assuré assurée
    asegurado asegurada insured
    """
)

_MAIL = re.compile(EMAIL)
_NUMBER = re.compile(PHONE)
_PLATE = re.compile(
    r"(?<![\w-])(?:[A-ZÄÖÜ]{1,3}[- ][A-Z]{1,2} ?\d{1,4}|[A-Z]{2}\d{2} ?[A-Z]{3}"
    r"|[A-Z]{2}-\d{3}-[A-Z]{2}|\d{4} ?[A-Z]{3})(?![\w-])"
)
_CODE = re.compile(r"(?<![\w-])(?:[A-Z]{1,4}[- ]?)?\d[\d -]{1,14}\d(?![\w-])")
_SIZE = re.compile(
    r"(?<![\w.,])(?:X{0,3}S|M|X{0,3}L|\d{2}(?:[.,]5)?|[2-9](?:[.,]5)?)(?!\w|[.,]\d|\s?(?:(?:m|cm|"
    r"kg)\b|[%€£]))"
)
_INSURER = re.compile(r"(?<!\w)[A-ZÄÖÜÉ][\w&]+(?: [A-ZÄÖÜÉ][\w&]+){0,3}")
_INSURED = re.compile(
    r"\b[Bb]in (?:jetzt |nun )?bei (?:der |dem )?([A-ZÄÖÜ][\w&]+(?: [A-ZÄÖÜ][\w&]+){0,3}) "
    r"versichert"
)
_BIRTH = re.compile(DATE, re.IGNORECASE)
_PLACE = re.compile(
    r"(?:\d{1,4}[ ,]|[A-ZÀ-Þ]|(?:rue|avenue|place|boulevard|bd|chemin|impasse|allée|calle|plaza|"
    r"avenida|paseo|am|an der|im|in der|zur|zum) )[^\n;!?()]{1,118}"
)
_PLACE_ENDS = re.compile(
    r"\.\s*$|\.\s+(?=[A-ZÀ-Þ])|,?\s+\b(?:and|und|et|y|but|aber|mais|pero|since|seit|depuis|desde|"
    r"because|weil|please|bitte|not|nicht|instead|statt|from|ab|à partir|a partir|now|jetzt|"
    r"maintenant|ahora|désormais|pas)\b|,\s+(?:the|my|i|die|das|ich|mein|meine|je|j'|le|la|el|mi)\b"
    r"|\s[\u2013\u2014]\s"
)
_IS = words_in("is s ist lautet est es jetzt now maintenant ahora changed geändert becomes")
_DIGIT = re.compile(r"\d")


def shaped(sentence: Sentence) -> Iterator[Candidate]:
    """What a sentence says of its writer that has a shape, whatever it says besides."""
    text, words = sentence.text, sentence.words
    if "@" in text:
        yield from _mails(text)
    has_digit = _DIGIT.search(text) is not None
    if has_digit and not words.isdisjoint(_PHONES | _REACH):
        for value in _led(text, _NUMBER, _PHONES | _REACH):
            if number := phone_of(value):
                yield Candidate(topic="phone", value=number)
                break
    if not words.isdisjoint(_PLACES):
        yield from _placed(text)
    yield from _coded(text, words)
    if not words.isdisjoint(_INSURERS_NAMED):
        for value in _led(text, _INSURER, _INSURERS, _INSURERS_NAMED):
            yield Candidate(topic="insurance", value=value)
        if match := _INSURED.search(text):
            yield Candidate(topic="insurance", value=match[1])


def _mails(text: str) -> Iterator[Candidate]:
    for match in _MAIL.finditer(text):
        heads = _head_words(text, match, _MAILS | _REACH | _INVOICES)
        if heads is None:
            continue
        value = match["email"].lower()
        if not heads.isdisjoint(_INVOICES):
            yield Candidate(topic="email: invoices", value=value)
        elif _is_mine(heads):
            yield Candidate(topic="email", value=value)


def _coded(text: str, words: frozenset[str]) -> Iterator[Candidate]:
    if not words.isdisjoint(_PLATES):
        for value in _led(text, _PLATE, _PLATES):
            yield Candidate(topic="plate", value=value)
    if not words.isdisjoint(_MEMBERS_NAMED):
        for value in _led(text, _CODE, _MEMBERS, _MEMBERS_NAMED):
            yield Candidate(topic="membership", value=value)
    if not words.isdisjoint(_SIZES):
        for value in _led(text, _SIZE, _SIZES, mine=_I):
            topic = "size" if words.isdisjoint(_SHOES) else "size: shoes"
            yield Candidate(topic=topic, value=value)
    if not words.isdisjoint(_BIRTHS_NAMED):
        for value in _led(text, _BIRTH, _BIRTHS, _BIRTHS_NAMED):
            yield Candidate(topic="birthday", value=value.strip(" ."))


def _led(
    text: str,
    value: re.Pattern[str],
    heads: frozenset[str],
    named: frozenset[str] | None = None,
    mine: frozenset[str] = frozenset(),
) -> Iterator[str]:
    """The first value that is led to by one of these words, of which one must be of `named`.

    They must speak of the writer's own; of `mine` is enough.
    """
    for match in value.finditer(text):
        led = _head_words(text, match, heads)
        is_named = led is not None and (named is None or not led.isdisjoint(named))
        if led is not None and is_named and (_is_mine(led) or not led.isdisjoint(mine)):
            yield match[0]
            return


def _head_words(text: str, match: re.Match[str], heads: frozenset[str]) -> frozenset[str] | None:
    """The words that lead to a value, from the name of the thing on; None where nothing does.

    All of them are plain, and nothing behind the value takes it back.
    """
    behind = _BREAK.split(text[match.end() : match.end() + _BEHIND].lower(), maxsplit=1)[0]
    if not DENIED.isdisjoint(_WORD.findall(behind)):
        return None
    led: list[str] = []
    for clause in reversed(_BREAK.split(text[: match.start()].lower())):
        words = _WORD.findall(clause)
        if not all(word in PLAIN or word in heads or _is_small(word) for word in words):
            return None
        led += words
        if not heads.isdisjoint(words):
            return frozenset(led)
    return None


def _is_small(word: str) -> bool:
    return len(word) <= 2 and word.isdigit()


def _is_mine(led: frozenset[str]) -> bool:
    """Whether words speak of the writer's own, or ask to be reached."""
    if not led.isdisjoint(_MINE) or not led.isdisjoint(_NEW) or not led.isdisjoint(_BY_FORM):
        return True
    return not led.isdisjoint(_REACH) and not led.isdisjoint(_ME | _TO_ME_IN_ONE)


def _placed(text: str) -> Iterator[Candidate]:
    if "@" in text:
        return
    for word in _WORD.finditer(text):
        if word[0].lower() not in _PLACES:
            continue
        start = word.end()
        for following in _WORD.finditer(text, start):
            if following[0].lower() not in PLAIN or following[0].lower() in ("am", "im"):
                start = following.start()
                break
        else:
            return
        said = text[word.end() : start].lower()
        if ":" not in said and _IS.isdisjoint(_WORD.findall(said)):
            return
        place = _PLACE.match(text, start)
        if place is None or is_for_now(place[0]):
            return
        led = _head_words(text, place, _PLACES)
        value = _PLACE_ENDS.split(place[0], maxsplit=1)[0].strip(" ,.")
        if led and _is_mine(led) and led.isdisjoint(_NOT_PLACES) and len(value) > 2:
            yield Candidate(topic="address", value=value)
        return
