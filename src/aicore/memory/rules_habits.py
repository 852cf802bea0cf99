"""Rules for what somebody eats, takes, drives, and whom they live with, in four languages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aicore.memory.candidates import Candidate, simplified
from aicore.memory.rules_words import words_in
from aicore.memory.sentences import Sentence

__all__ = ["habits"]

_I = re.IGNORECASE
_FOOD = r"(?P<{0}>[^\W\d_]{{3,20}}(?: [^\W\d_]{{3,20}})?)(?![\w-])"


def _eaten(name: str) -> str:
    return _FOOD.format(name)


# What is not borne, the denial being part of it.
_NOT_BORNE = re.compile(
    rf"\b(?:i (?:can't|cannot|can not) (?:eat|have|tolerate|digest|drink)|i (?:don't|do not) "
    rf"tolerate)"
    rf" (?:any )?{_eaten('en')}"
    rf"|\bich (?:vertrage|darf) (?:leider )?kein\w* {_eaten('de')}"
    rf"|\bich vertrage (?:leider )?{_eaten('nicht')} nicht"
    rf"|\bje ne (?:supporte|tolère|digère) (?:pas|plus) (?:les |le |la |l')?{_eaten('fr')}"
    rf"|\bno (?:tolero|puedo (?:comer|tomar|beber)|digiero) (?:el |la |los |las )?{_eaten('es')}",
    _I,
)
_NO_FOOD = words_in(
    """
    before after until till here today tomorrow now much anything this that these those there such
    so well properly more because when with without yet right and but both either many any all
    noise heat stress people waiting smells cold the one him her them you
    kritik lärm hitze stress das dies etwas alles warten kälte mehr sonne termine
    bruit chaleur stress attente attendre froid gens cela ça
    mentiras ruido calor estrés nada mucho más esto eso antes después hoy mañana
    """
)
_NOT_EATEN = re.compile(
    rf"\b(?:i|we) (?:don't|do not|never) eat (?:any )?{_eaten('en')}"
    rf"|\b(?:ich esse|wir essen) kein\w* {_eaten('de')}"
    rf"|\b(?:je ne mange|nous ne mangeons) (?:pas|jamais) (?:de |d'){_eaten('fr')}"
    rf"|(?:^|[,;] )(?:yo )?(?:no como|nunca como|no comemos) {_eaten('es')}",
    _I,
)
_NO_MORE = re.compile(r"\s+(?:mehr|any ?more|plus|más|at all|anyway|please|bitte|sorry)\b.*$", _I)
_EATS = re.compile(
    r"\b(?:(?:i|we) (?:only |always |now )*eat|(?:i|we)(?:'ve| have) (?:gone|become)|i(?:'ve| "
    r"have) "
    r"turned|ich (?:esse|lebe|ernähre mich)|wir (?:essen|leben)|je mange|nous mangeons|"
    r"je suis deven(?:ue?)|je me nourris|(?:solo |sólo )?(?:como|comemos)|me he hecho|me hice)"
    r"(?: only| now| jetzt| nur| noch| nun| maintenant| désormais| uniquement| seulement| ahora| "
    r"solo"
    r"| a| eine?| completely| strictly| inzwischen)* "
    r"(?:(?P<vegan>vegan(?:er(?:in)?|[oa])?|végane?|végétalien(?:ne)?)"
    r"|(?P<vegetarian>vegetarian[oa]?|vegetarisch|vegetarier(?:in)?|végétarien(?:ne)?)"
    r"|(?P<halal>halal)|(?P<kosher>kosher|koscher|casher|kosher))(?![\w-])",
    _I,
)
_MEDICINE = (
    r"(?P<medicine>blood thinners?|insulin|metformin|ibuprofen|aspirin|warfarin|antidepressants?|"
    r"beta ?blockers?|cortisone|steroids|antibiotics|the pill|statins|penicillin|thyroxine?|"
    r"blutverdünner|marcumar|cortison|kortison|betablocker|antibiotika|antidepressiva|"
    r"die pille|schilddrüsentabletten|blutdrucktabletten|anticoagulants?|insuline|ibuprofène|"
    r"aspirine|antidépresseurs?|bêtabloquants?|antibiotiques|la pilule|anticoagulantes?|insulina|"
    r"ibuprofeno|aspirina|antidepresivos|antibióticos|cortisona|la píldora|metformina)(?!\w)"
)
_TAKES = re.compile(
    r"\b(?P<lead>i(?:'m| am) (?:now |currently |no longer )?(?:on|taking)|i (?:have to |now |"
    r"daily |no "
    r"longer )?take|i(?:'ve)? stopped taking|ich (?:nehme|bekomme|spritze)|je (?:ne )?prends|"
    r"(?:ya no )?(?:tomo|estoy tomando|me pincho)) (?P<not>(?:kein\w* |plus (?:de |d'))?)"
    r"(?:(?:my|daily|täglich|jetzt|regelmäßig|des|du|de l'|de la|un|mis) ?)*"
    + _MEDICINE
    + r"(?P<mehr>.{0,12})",
    _I,
)
_STOPS = re.compile(r"no longer|stopped|kein|plus|ya no", _I)
_CAR = r"(?P<{0}>(?:(?!(?:of|in|to|von|de|que|which|and|und|et|y)\b)[\w-]+(?: |(?![\w-]))){{1,4}})"


def _car(name: str) -> str:
    return _CAR.format(name)


_DRIVES = re.compile(
    rf"\b(?:i (?:now |currently )?drive (?:now )?an? {_car('en')}|(?:my|our) (?:new )?(?:car|"
    rf"van) is"
    rf"(?: now)? an? {_car('en_is')}"
    rf"|(?:^|[,;] |\b(?:und|aber) )ich fahre (?:jetzt |nun |inzwischen )?(?:einen?|ein) "
    rf"{_car('de')}|mein "
    rf"(?:neues )?auto ist (?:jetzt )?eine? {_car('de_is')}|mein (?:neuer )?wagen ist (?:jetzt "
    rf")?ein "
    rf"{_car('wagen')}"
    rf"|\bje conduis (?:maintenant )?une? {_car('fr')}|\bje roule (?:maintenant |désormais )?en "
    rf"{_car('en_fr')}|\bma (?:nouvelle )?voiture est (?:maintenant )?une? {_car('fr_is')}"
    rf"|\b(?:ahora )?conduzco (?:ahora )?una? {_car('es')}|\bmi (?:nuevo )?coche es (?:ahora "
    rf")?una? "
    rf"{_car('es_is')})",
    _I,
)
_NO_CAR = words_in(
    """
    lot bit long while taxi bus lorry truck week day few umweg stück bisschen kilometer peu taxi
    camion autobús poco rato voiture ville problem mess wreck nightmare schrott
    """
)
_CAR_ENDS = re.compile(
    r"\s+(?:now|these|with|mit|since|seit|depuis|desde|but|aber|mais|pero|for|für|pour|para|jetzt|"
    r"maintenant|ahora|nowadays|instead|as)\b.*$",
    _I,
)
_PET_WORDS = (
    r"dog|cat|puppy|kitten|rabbit|hamster|horse|parrot|spaniel|poodle|labrador|terrier|beagle|"
    r"dachshund|collie|retriever|bulldog|shepherd|hund|hündin|katze|kater|kaninchen|pferd|dackel|"
    r"pudel|schäferhund|welpe|mops|boxer|chien|chienne|chat|chatte|lapin|cheval|caniche|teckel|"
    r"berger|bouledogue|perr[oa]|gat[oa]|conejo|caballo|galgo|mastín"
)
_APPOSED = re.compile(
    r"\b(?i:my|our|meine?n?|unsere?n?|unser|mon|ma|notre|mi|nuestr[oa]) "
    rf"(?:(?i:(?P<pet>{_PET_WORDS}))|(?i:(?P<child>son|daughter|sohn|tochter|fils|fille|hij[oa])))"
    r",? (?P<name>[A-ZÀ-Þ][a-zß-ÿ'-]{1,20})(?![\w-])"
)
_GOT = re.compile(
    r"\b(?:we|i)(?:'ve| have)(?: got)? (?:a new|an?) (?P<en>dog|cat|puppy|kitten|rabbit|spaniel|"
    r"poodle)"
    r" (?:called|named) (?P<n_en>(?-i:[A-Z])\w+)"
    r"|\b(?:wir haben|ich habe) (?:jetzt )?eine?n? (?:neuen? )?(?P<de>hund|katze|kater|welpen|"
    r"dackel)"
    r" namens (?P<n_de>(?-i:[A-ZÄÖÜ])\w+)"
    r"|\b(?:nous avons|j'ai) une? (?:nouveau |nouvelle )?(?P<fr>chien|chienne|chat|chatte|chiot) "
    r"(?:nommée?|appelée?|qui s'appelle) (?P<n_fr>(?-i:[A-ZÀ-Þ])\w+)"
    r"|\b(?:tenemos|tengo) una? (?:nuev[oa] )?(?P<es>perr[oa]|gat[oa]) (?:llamad[oa]|que se llama) "
    r"(?P<n_es>(?-i:[A-ZÀ-Þ])\w+)",
    _I,
)
_NO_NAME = words_in(
    """
    hund katze geburtstag schule termin arzt auto montag dienstag mittwoch donnerstag freitag
    samstag sonntag i ich
    """
)

_EATING = words_in(
    """
    eat have tolerate digest drink vertrage darf supporte tolère digère tolero comer tomar beber
    digiero esse essen mange mangeons como comemos gone become turned lebe leben ernähre devenu
    devenue nourris hecho hice
    """
)
_TAKING = words_in("on take taking nehme bekomme spritze prends tomo tomando pincho")
_DRIVING = words_in("drive car van fahre auto wagen conduis roule voiture conduzco coche")
_OWNING = words_in(
    """
    my our mein meine meinen unser unsere unseren mon ma notre mi nuestro nuestra have ve habe haben
    avons ai tenemos tengo
    """
)


def habits(sentence: Sentence) -> Iterator[Candidate]:
    """What a sentence says that its writer eats, takes, drives, or whom they live with."""
    text, words = sentence.text, sentence.words
    if not words.isdisjoint(_EATING):
        yield from _food(text, is_denial=sentence.is_denial)
    if not words.isdisjoint(_TAKING) and (match := _TAKES.search(text)):
        is_end = _STOPS.search(match["lead"] + match["not"]) is not None
        if is_end or not sentence.is_denial:
            value = match["medicine"]
            topic = f"medication: {simplified(value)}"
            yield Candidate(topic=topic, value=value, data_class="special", is_end=is_end)
    if sentence.is_denial:
        return
    if not words.isdisjoint(_DRIVING) and (match := _DRIVES.search(text)):
        car = _CAR_ENDS.sub("", next(filter(None, match.groups()))).strip()
        if car and _NO_CAR.isdisjoint(car.lower().split()):
            yield Candidate(topic="vehicle", value=car)
    if not words.isdisjoint(_OWNING):
        yield from _housemates(text)


def _food(text: str, *, is_denial: bool) -> Iterator[Candidate]:
    if match := _NOT_BORNE.search(text):
        if what := _food_in(match):
            topic = f"intolerance: {simplified(what)}"
            yield Candidate(topic=topic, value=what, data_class="special")
    elif match := _NOT_EATEN.search(text):
        if what := _food_in(match):
            no = {"de": "kein ", "fr": "pas de "}.get(match.lastgroup or "", "no ")
            yield Candidate(topic=f"diet: {simplified(what)}", value=f"{no}{what}")
    elif not is_denial and (match := _EATS.search(text)):
        kind = match.lastgroup or ""
        if kind in ("vegan", "vegetarian"):
            yield Candidate(topic="diet", value=kind)
        else:
            # It tells of faith.
            yield Candidate(topic=f"diet: {kind}", value=kind, data_class="special")


def _food_in(match: re.Match[str]) -> str | None:
    what = _NO_MORE.sub("", match[match.lastgroup or 0])
    first, *others = what.split()
    if first.lower() in _NO_FOOD:
        return None
    is_one = others and (others[0].lower() in _NO_FOOD or others[0].lower() in _JOINS)
    return first if is_one else what


_JOINS = words_in("or for trinken essen oder und et ni que para pour für im in at as wie since due")


def _housemates(text: str) -> Iterator[Candidate]:
    for match in _APPOSED.finditer(text):
        name = match["name"]
        if name.lower() in _NO_NAME:
            continue
        kind = "pet" if match["pet"] else "child"
        word = (match["pet"] or match["child"]).lower()
        yield Candidate(topic=f"{kind}: {simplified(name)}", value=f"{name} ({word})")
    for match in _GOT.finditer(text):
        word, name = (part for part in match.groups() if part)
        yield Candidate(topic=f"pet: {simplified(name)}", value=f"{name} ({word.lower()})")
