"""What a sentence is no statement by: fiction, hearsay, doubt and figures of speech.

A fact that is missed can be told again; a wrong one is believed.
"""

from __future__ import annotations

import re
from collections.abc import Set

from aicore.memory.rules_values import WEEKDAYS
from aicore.memory.rules_words import words_in

__all__ = [
    "has_not",
    "is_for_now",
    "is_invented",
    "is_no_call",
    "is_no_meeting",
    "is_no_substance",
    "is_no_wish",
    "is_no_work",
    "is_not",
]

_INVENTING = words_in(
    """
    doubt doubts assume assuming presume lie lies rubbish nonsense film movie novel novela roman
    dream dreams dreamt dreamed lyrics song fiction role goes like test about facts tell
    vermutet vermute vermuten bezweifle bezweifelt zweifle traum träume geträumt gedanken lüge
    rollenspiel lied erfunden weiß
    paraît parait rêve rêves doute soupçonne mensonge rôle chanson rumeur
    dicen parece sueño sueños soñé dudo película supongo sospecho sospecha mentira canción rumores
    """
)
_INVENTED = re.compile(
    r"\b(?:he|she|they|i) goes?\s*[:,]|(?:\babout|\büber|\bsur|\bsobre) (?-i:[A-ZÀ-Þ])[\w ]{0,30}:|"
    r"\b(?:(?:doubts?|assum(?:e|es|ing)|presume) (?:that |if |whether )?(?:i|i'm|we|we're|my)|"
    r"(?:a|the) lie|rubbish|nonsense|(?:the|a|my|this) (?:film|movie|novel)|"
    r"in (?:a|my|the) dreams?|dreamt|dreamed|lyrics|song|fiction|role ?-?play\w*|"
    r"(?:he|she|they|was|were) (?:was |were |is )?like\b(?! to)|"
    r"test\W+test|"
    r"vermute[nt]?|bezweifl?elt|bezweifle|zweifle|traum|träumen?|geträumt|gedanken|lüge|"
    r"rollenspiel|(?:dem|im|ein|einem|der) (?:film|roman|lied)|erfunden|weiß von nichts|"
    r"il para[iî]t|rêves?|doute|soupçonne|mensonge|jeu de rôle|chanson|"
    r"(?:le|du|un) (?:film|roman)|rumeur|"
    r"dicen|parece que|sueños?|soñé|dudo|película|novela|supongo|sospech[oa]|(?:es )?mentira|"
    r"canción|rumores|juego de rol)\b",
    re.IGNORECASE,
)

_MEDICINES = (
    r"medications?|medicines?|pills?|tablets?|inhalers?|drugs|meds|kits?|strips|monitors?|books?|"
    r"leaflets?|patients?|clients?|customers?|tests?|tabletten|medikamente?|comprimés|pastillas"
)
_RELATED = (
    r"in (?:the|my|our|his|her) (?:immediate |close |whole )?family|in (?:der|meiner|unserer) "
    r"familie|dans (?:la|ma|notre) famille|en (?:la|mi|nuestra) familia|for sale|zu verkaufen|"
    r"à vendre|en venta|from my|on my (?:mother|father|mum|mom|dad)\w*"
)
# After an illness: what is had is something else, or by somebody else.
_HAS_NOT = re.compile(
    rf"\s+(?:{_MEDICINES}|{_RELATED}|nie|niemals|never|jamais|nunca|no|nicht|pas)\b", re.IGNORECASE
)
# After what somebody says to be: not quite, not always, or something else.
_IS_NOT = re.compile(
    r"\s+(?:restaurant|food|dish|dishes|menu|chef|caf[eé]|shop|owner|recipes?|curious|friendly|"
    r"options?|at heart|only on|on \w+days?|nur|sometimes|manchmal|parfois|a veces|solo|sólo|"
    r"seulement|only in|until|unless)\b"
    r"|\s+with (?:\w+ )?(?:anticipation|ideas?|meaning|hope|expectation|excitement)"
    r"|\s+d[e'] ?(?:ideas|esperanza|sens|idées)|[\w -]{0,30}\b(?:for sale)\b",
    re.IGNORECASE,
)

_NO_CALL = re.compile(
    r"\s+(?:is|was|ist|war|est|es|au téléphone|am telefon|al teléfono|"
    r"on the phone|by phone)\b",
    re.IGNORECASE,
)
# With somebody whom the business is not, or one that is off.
_NO_MEETING = re.compile(
    r"\b(?:with (?:my|our|a|an|the|another)|beim|(?:bei|mit) (?:dem|der|einem|einer|mein\w+)|"
    r"vor gericht|(?:chez|avec) (?:le|la|un|une|mon|ma|mes)|(?:chez|avec) l'\w|"
    r"con (?:el|la|un|una|mi)|en el (?:ayuntamiento|juzgado)|"
    r"ausgefallen|fällt aus|abgesagt|verschoben|cancel+ed|called off|postponed|annulée?|reportée?|"
    r"cancelad[oa]|anulad[oa]|aplazad[oa])\b|,? (?:oder|right|correct|non|no|n'est-ce pas)\W*$",
    re.IGNORECASE,
)
_NO_WISH = re.compile(
    r"\b(?:mornings?|afternoons?|evenings?) to be\b(?! honest)|"
    r"\b(?:noche|tarde|mañana)s? de (?:los|las)\b|"
    r"\b(?:soir|matin)s? (?:des|d'été|d'hiver)\b|\b(?:you|sie|vous|usted) (?:choose|decide|"
    r"entscheiden|choisissez|decide)\b",
    re.IGNORECASE,
)

_WEEKDAY = re.compile(WEEKDAYS, re.IGNORECASE)
# The last word says what it is: "work gloves" are gloves.
_NO_SUBSTANCES = words_in(
    """
    price prices pricing service attitude mood moods people men women children kids crowds crowd
    questions question stress rudeness nonsense stupidity idiots drama meetings meeting mornings
    morning evenings weekends weekend winter summer lateness waiting delays lies liars noise change
    changes commitment taxes bills emails spam ads fools politics politicians boredom work homework
    love marriage bureaucracy
    preise preis service laune launen leute menschen männer frauen kinder fragen frage unsinn
    dummheit stau termine meetings lärm morgen abende winter sommer lügen bürokratie arbeit ausreden
    verspätung verspätungen unpünktlichkeit kritik werbung politik
    """
)
# The first one does.
_NO_SUBSTANCES_ROMANCE = words_in(
    """
    prix bêtise bêtises connerie conneries gens hommes femmes enfants questions stress retards
    retard mensonges travail matin matins hiver bureaucratie impôts politique publicité
    precios precio tontería tonterías gente hombres mujeres niños preguntas mentiras trabajo
    mañanas madrugar invierno estupidez burocracia impuestos política retrasos
    """
)
_NO_WORK = re.compile(
    rf"(?:rule|team player|result|matter of|favou?r|if|well|usual|always|une?|una?|{WEEKDAYS}|"
    r"noche|día|tarde|mañana|sol a sol|nuevo|lo que|nunca|siempre|verrückte[rs]?|besessene[rs]?|"
    r"pferd|tier|toujours|d'habitude|avant|ça|cela|prévu|nine|\d+)\b|(?:slave|dog|horse|beast|mule|"
    r"ox)\s*$",
    re.IGNORECASE,
)
_FOR_NOW = re.compile(
    r"\b(?:until|till|bis|jusqu|hasta|next week|for now|vorübergehend|temporarily|temporairement|"
    r"temporalmente)\b",
    re.IGNORECASE,
)


def has_not(text: str, end: int) -> bool:
    """Whether what follows an illness that somebody "has" makes it none of theirs."""
    return _HAS_NOT.match(text, end) is not None


def is_not(text: str, end: int) -> bool:
    """Whether what follows "I am ..." takes it back, or makes it a part of something else."""
    return _IS_NOT.match(text, end) is not None


def is_invented(text: str, words: Set[str]) -> bool:
    """Whether a sentence of these words tells of what is made up, said by others or in doubt."""
    return not words.isdisjoint(_INVENTING) and _INVENTED.search(text) is not None


def is_no_call(rest: str) -> bool:
    """Whether what follows "call me ..." makes it an idiom, a title or a telephone call."""
    return _NO_CALL.match(rest) is not None


def is_for_now(place: str) -> bool:
    """Whether an address is one only for a while."""
    return _FOR_NOW.search(place) is not None


def is_no_meeting(text: str) -> bool:
    """Whether an appointment is one with somebody else, or is off."""
    return _NO_MEETING.search(text) is not None


def is_no_wish(text: str) -> bool:
    """Whether a time of day that is preferred is not one to be served at."""
    return _NO_WISH.search(text) is not None


def is_no_substance(what: str) -> bool:
    """Whether nobody is allergic to it but in jest: days, people, prices, moods."""
    words = what.lower().split()
    return (
        words[-1] in _NO_SUBSTANCES
        or words[0] in _NO_SUBSTANCES_ROMANCE
        or any(_WEEKDAY.fullmatch(one) for one in words)
    )


def is_no_work(work: str) -> bool:
    """Whether "I work as ..." goes on to say how or when, not what."""
    return _NO_WORK.match(work) is not None
