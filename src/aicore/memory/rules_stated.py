"""Rules for what people tell of themselves: preferences, health, family, dates; four languages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from aicore.memory.candidates import Candidate, simplified
from aicore.memory.rules_people import OTHERS
from aicore.memory.rules_refusals import (
    has_not,
    is_no_meeting,
    is_no_substance,
    is_no_wish,
    is_no_work,
    is_not,
)
from aicore.memory.rules_values import DATE, WEEKDAYS
from aicore.memory.rules_words import words_in
from aicore.memory.sentences import Sentence, is_denial
from aicore.trust.special import data_class_of

__all__ = ["appointment_told", "stated"]

_I = re.IGNORECASE
_ALLERGY = re.compile(
    r"\b(?:i(?:'m| am)|ich bin|je (?:ne )?suis|soy)\s+(?P<not>[\w' ]{0,24}?)\s*(?:allergic to|"
    r"allergisch "
    r"(?:gegen|auf)|allergique (?:à la |à l'|à|aux|au)|al[ée]rgic[oa] (?:a la |a los |a las |al |"
    r"a))"
    r"\s*(?P<what>[^\n.;!()]{2,80})"
    r"|\bi (?:have|suffer from) (?:an? )?(?:\w+ly |severe |strong |"
    r"bad )?(?:allergy to (?P<to>[^\n.;!()]{2,80})"
    r"|(?P<kind>[\w-]{3,20}(?: [\w-]{3,12})?) allergy)"
    r"|\bich habe eine (?:\w+e )?(?P<allergie>[\w]{3,24}?)-?allergie\b"
    r"|\b(?:tengo alergia|j'ai une allergie) a(?:l| la| los| las|u|ux)? "
    r"(?P<alergia>[^\n.;!()]{2,80})",
    _I,
)
_NO_LONGER = re.compile(
    r"\b(?:i(?:'m| am) no longer|i(?:'m| am) not(?=.*\bany ?more)|ich bin nicht mehr|"
    r"ich bin kein\w*(?=.*\bmehr)|je ne suis plus|ya no (?:soy|estoy))\s+"
    r"(?:an? |eine? |une? |una? )?",
    _I,
)
_JOINED = (" and", " und", " et", " y")
_AND_ME = re.compile(OTHERS.pattern + r"\s+(?:and|und|et|y)\s*$", _I)
_FEARED = re.compile(
    r"\b(?:afraid (?:that )?i(?:'m| am)\b|i fear|ich fürchte|ich befürchte|je crains|j'ai peur|"
    r"me temo)\b",
    _I,
)
_AND = re.compile(r"\s*(?:,|/|\band\b|\bund\b|\bet\b|\by\b|\boder\b|\bor\b|&)\s*", _I)
_ALSO = re.compile(r"(.*?\s(?:and|und|et|y|or|oder|ou|o)\s[^,]*).*", _I)
_CLAUSE = re.compile(
    r"(?:i|i'm|i've|my|we|it|it's|you|please|thanks|thank|can|could|call|is|are|do|does|"
    r"ich|mein|meine|wir|bitte|danke|kann|können|je|j'ai|mon|ma|nous|merci|yo|mi|gracias)\b",
    _I,
)
_ARTICLE = re.compile(
    r"^(?:the|any|some|all|all kinds of|all types of|la|le|les|l'|los|las|el|die|der|das|den)\s+",
    _I,
)
_TRAILING = re.compile(
    r"\s+\b(?:so|but|since|which|that|because|and i|please|too|as well|also|aber|also|und ich|"
    r"bitte|"
    r"donc|mais|s'il|pero|así que|por favor|for|when|though|by the way|unfortunately|leider|"
    r"anymore|"
    r"any more|mehr)\b.*$",
    _I,
)
_VAGUE = re.compile(
    r"^(?:(?:no|any|kein\w*|aucun\w*|ningun\w*)\b.*|it|this|that|them|these|those|something|"
    r"anything|nothing|everything|dagegen|etwas|nichts|"
    r"ça|cela|rien|eso|esto|nada|work|early mornings|mondays|bullshit|stupidity)$",
    _I,
)
_AM = (
    r"\b(?:i(?:'m| am)|ich bin|je suis|soy|estoy|bin)\s+(?:now |also |a |an |eine? |jetzt |auch |"
    r"im \w+ monat |(?:\w+ )?(?:weeks?|months?) |"
    r"une? |ahora |aussi )*"
)
_HAVE = (
    r"\b(?:i (?:have|suffer from|was diagnosed with)|ich (?:habe|leide an|leide unter)|j'ai|"
    r"je souffre d[e'] ?|tengo|sufro de)\s+(?:an? |eine?n? |du |de la |l'|la |el )*"
)
_DIETS: Mapping[str, str] = {
    "vegetarian": r"vegetarian|vegetarier(?:in)?|vegetarisch|végétarien(?:ne)?|vegetarian[oa]",
    "vegan": r"vegan(?:er(?:in)?)?|végan(?:e)?|végétalien(?:ne)?|vegan[oa]",
    "pescatarian": r"pescatarian|pescetarian|pescetarier(?:in)?|pescétarien(?:ne)?|pescetarian[oa]",
}
_HEALTH_AM: Mapping[str, str] = {
    "pregnant": r"pregnant|schwanger|enceinte|embarazada",
    "diabetic": r"diabetic|diabetiker(?:in)?|diabétique|diabétic[oa]|zuckerkrank",
    "asthmatic": r"asthmatic|asthmatiker(?:in)?|asthmatique|asmátic[oa]",
    "epileptic": r"epileptic|epileptiker(?:in)?|épileptique|epiléptic[oa]",
    "lactose intolerant": (
        r"lactose[- ]intolerant|laktoseintolerant|intolérante? au lactose|"
        r"intolerante a la lactosa"
    ),
    "coeliac": r"co?eliac|celiac|gluten[- ]intolerant|cœliaque|celíac[oa]|intolerante al gluten",
    "in a wheelchair": (
        r"in a wheelchair|auf einen rollstuhl angewiesen|en fauteuil roulant|en silla de ruedas"
    ),
}
_HEALTH_HAVE: Mapping[str, str] = {
    "diabetic": r"(?:type [12] )?diabetes|diabète|diabetes",
    "asthmatic": r"asthma|asthme|asma",
    "epileptic": r"epilepsy|epilepsie|épilepsie|epilepsia",
    "high blood pressure": (
        r"high blood pressure|hypertension|bluthochdruck|hohen blutdruck|hypertension|"
        r"hipertensión|tensión alta"
    ),
    "pacemaker": r"pacemaker|herzschrittmacher|pacemaker|marcapasos",
    "lactose intolerant": (
        r"lactose intolerance|laktoseintoleranz|intolérance au lactose|intolerancia a la lactosa"
    ),
    "coeliac": r"co?eliac disease|zöliakie|maladie cœliaque|celiaquía",
}
_DAYTIMES: Mapping[str, str] = {
    "mornings": (
        r"mornings?|in the morning|morgens|vormittags?|am vormittag|am morgen|le matin|"
        r"les matins|matinée|(?:por )?la mañana|las mañanas|mornings only"
    ),
    "afternoons": (
        r"afternoons?|in the afternoon|nachmittags?|am nachmittag|l'après-midi|les après-midis|"
        r"(?:por )?la tarde|las tardes"
    ),
    "evenings": (
        r"evenings?|in the evening|abends|am abend|le soir|les soirs|(?:por )?la noche|las noches"
    ),
}
_CONTACTS: Mapping[str, str] = {
    "by phone": (
        r"(?:a )?(?:phone|phone calls?|calls?|by phone|telefon(?:isch)?|anrufe?|téléphone|"
        r"teléfono|llamadas?)"
    ),
    "by e-mail": (
        r"(?:an )?e-?mails?|per e-?mail|courriel|par (?:e-?)?mail|"
        r"(?:por )?correo(?: electrónico)?"
    ),
    "by text message": r"(?:a )?(?:text messages?|texts?|sms)|mensajes? de texto",
    "by WhatsApp": r"whats ?app",
}
_LANGUAGES: Mapping[str, str] = {
    "English": r"english|englisch|(?:l')?anglais|inglés",
    "German": r"german|deutsch|(?:l')?allemand|alemán",
    "French": r"french|französisch|(?:le )?français|francés",
    "Spanish": r"spanish|spanisch|(?:l')?espagnol|español",
}
_PREFER = (
    r"(?:\bi(?:'d)?(?: would| always| usually| generally| really| also| do| much|"
    r" strongly)* (?:prefer|rather have|like .{0,20} best)|"
    r"\bich (?:\w+ )?(?:bevorzuge|ziehe|hätte am liebsten|hätte gern|möchte am liebsten)|"
    r"\bmir (?:passt|passen|ist) es? ?(?:am besten|besser|lieber)?|"
    r"\bam liebsten(?: ist mir| sind mir)?|\bje préf[éè]re(?:rais)?|\bprefiero|\bpreferiría)"
)
_WITH = (
    r"\s+(?:\w+\s+){0,3}?(?:to be (?:contacted|called|reached)\s+|contact\s+)?(?:by |per |via |"
    r"par |por |on |in |am |en |le |los |las )?"
)
_TO_ME = (
    r"\b(?:please (?:write|speak|answer|reply|talk)(?: to me)?(?: only)? in|"
    r"bitte (?:schreiben sie|sprechen sie|"
    r"antworten sie|antworte|schreib|sprich)?(?: mir| mit mir)?(?: nur)? ?(?:auf)?|"
    r"(?:veuillez )?(?:m'écrire|écrivez-moi|répondez(?:-moi)?|parlez(?:-moi)?) en|"
    r"(?:por favor )?(?:escríbame|respóndame|hábleme|responda|escriba) en|i only speak|"
    r"ich spreche nur|je ne parle que|solo hablo)\s+"
)
_NOT_WANTED = re.compile(
    r"\s+(?:on the (?:invoice|bill|label)|letters|when|if|am meer|at the (?:sea|beach))\b", _I
)
_BIRTHDAY = re.compile(
    r"\b(?:my birthday is(?: on)?(?: the)?|i was born on(?: the)?|my date of birth is|"
    r"mein geburtstag ist(?: am| der)?|"
    r"mein geburtsdatum ist(?: der)?|ich bin am|ich wurde am|ich habe am|mon anniversaire (?:est|"
    r"c'est) le|je suis née? le|"
    r"mi cumpleaños es(?: el)?|nací el|"
    rf"mi fecha de nacimiento es(?: el)?)\s*:?\s*{DATE}(?P<rest>.*)",
    _I,
)
_NAME = r"(?P<name>(?-i:[A-ZÀ-Þ])[\w'-]{1,24})"
_PETS = (
    r"(?P<pet>dog|cat|puppy|kitten|rabbit|hamster|horse|parrot|hund|hündin|katze|kater|kaninchen|"
    r"pferd|chien|chienne|chat|chatte|lapin|cheval|perr[oa]|gat[oa]|conejo|caballo)"
)
_CHILDREN = r"(?P<child>son|daughter|sohn|tochter|fils|fille|hij[oa])"
_PARTNER = r"(?P<partner>husband|wife|mann|frau|ehemann|ehefrau|mari|femme|marido|esposo|esposa)"
_ONE = rf"(?:{_PETS}|{_CHILDREN}|{_PARTNER})"
_CALLED = re.compile(
    rf"\b(?:my|our|meine?|unsere?|mon|ma|notre|mi|nuestr[oa])\s+(?:\w+\s+)?{_ONE}(?:'s name is|"
    rf" is called| is named|\s+hei(?:ß|ss)t|\s+s'appelle|\s+se llama)\s+{_NAME}(?![\w'-]| by\b)"
    r"|\b(?:i have|we have|ich habe|wir haben|j'ai|tengo)\s+(?:an?|eine?n?|"
    rf"une?)\s+(?:\w+\s+)?{_ONE.replace('?P<', '?P<has_')}\s+(?:called|named|namens|nommée?|"
    rf"appelée?|llamad[oa]|que se llama)\s+{_NAME.replace('?P<', '?P<has_')}(?! by\b)",
    _I,
)
_KINDS = {"pet": "pet", "child": "child", "partner": "partner"}
_WORK = re.compile(
    r"\b(?:i work as an?|i'm working as an?|ich arbeite als|je travaille comme|trabajo (?:como|"
    r"de))\s+(?P<work>[^\n.,;!]{3,50})",
    _I,
)
_WHEN = (
    r"(?P<when>(?:on |am |le |el |for |für |the |den |pour |para |at |um |à |a )*"
    r"(?:(?:next |nächsten? |this |diesen? )?(?:mon|tues|wednes|thurs|fri|satur|sun)days?|"
    r"(?:nächsten? |kommenden? )?(?:montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag)"
    r"|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miércoles|jueves|"
    rf"viernes|sábado|domingo|tomorrow|morgen|demain|mañana|{DATE.replace('?P<date>', '?:')})"
    r"(?:[^\n.;!]|(?<=\d)\.){0,60})"
)
_MINE_IS = re.compile(
    r"\b(?:(?:my|our|mein|mon|ma|mi)(?: next| nächster| prochain| prochaine|"
    r" próxima)? (?:appointment|booking|reservation|termin|rendez-vous|cita|reserva) (?:is|ist|"
    r"est|es)|"
    r"i(?:'ve| have)(?: got)?(?: already)?(?: booked)? (?:an|my) (?:appointment|booking)|"
    r"ich habe(?: schon| bereits)? (?:einen|meinen) termin|j'ai (?:un |mon )?rendez-vous|"
    r"tengo (?:una |mi )?cita)"
    r"(?: already| with [\w. ]{2,30}?| bei [\w. ]{2,30}?| avec [\w. ]{2,30}?|"
    r" con [\w. ]{2,30}?)?\s+" + _WHEN,
    _I,
)
_YOURS_IS = re.compile(
    r"\b(?:your|ihr|dein|votre|ton|su|tu)(?: next| nächster| prochain| próxima)? (?:appointment|"
    r"booking|reservation|termin|rendez-vous|cita|reserva) "
    r"(?:is|ist|est|es)(?: now| confirmed| booked| bestätigt| confirmé| confirmada)*\s+" + _WHEN,
    _I,
)

# Most sentences have none of these, which spares the many patterns.
_CONDITIONS = words_in(
    """
    veget végét vegan végan pesca pesce pescé pregn schwa encei embar diabe diabé zucke asthm asmát
    asma epile épile lacto lakto intol coeli celia celía cœlia zölia wheel rolls faute silla high
    blutd bluth hyper hohen hiper tensi pacem herzs marca glute
    """
)
_WISHING = words_in(
    """
    prefer rather like bevorzuge ziehe hätte möchte mir liebsten préfère prefere préfere préférerais
    prefiero preferiría speak write answer reply talk schreiben sprechen antworten antworte schreib
    sprich bitte écrire écrivez répondez parlez escríbame respóndame hábleme responda escriba
    spreche parle hablo
    """
)
_CALLING = words_in(
    """
    name called named heißt heisst appelle llama namens nommé nommée appelé appelée llamado llamada
    """
)
_BEING_BORN = words_in(
    """
    birthday born birth geburtstag geburtsdatum geboren anniversaire né née cumpleaños nací
    nacimiento
    """
)
_WORKING = words_in("work working arbeite travaille trabajo")
_TIME_LINKS = words_in(
    """
    on at in to from until till and of the by around about for am um von bis und den der gegen für
    le à a de du la vers au pour et el las los del hasta y desde para
    """
)
_TIME_WORDS = _TIME_LINKS | words_in(
    """
    one two three four five six seven eight nine ten eleven twelve a.m p.m
    eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf
    deux trois quatre cinq sept huit neuf dix onze
    dos tres cuatro cinco seis siete ocho nueve diez once doce
    this next coming tomorrow noon midday midnight o'clock half past quarter pm h sharp morning
    afternoon evening january february march april may june july august september october november
    december jan feb mar apr jun jul aug sep sept oct nov dec
    diesen nächsten kommenden nächster morgen heute uhr halb viertel vor nach früh vormittag mittag
    nachmittag abend januar februar märz mai juni juli oktober dezember
    prochain demain midi matin soir après-midi heures heure et demie quart janvier février mars
    avril juin juillet août septembre octobre novembre décembre
    próximo mañana mediodía tarde noche media cuarto por enero febrero marzo abril mayo junio julio
    agosto septiembre octubre noviembre diciembre
    """
)
_DAY = re.compile(WEEKDAYS, _I)
_PASSED_ON = re.compile(
    r"^\W*(?:please |bitte )?(?:tell|remind|let|sag\w*|dites?|dis|dile|dígale)\b[^:]{0,40}:", _I
)
_MEETING = words_in("appointment booking reservation termin rendez cita reserva")
_OF_ME = re.compile(rf"{_AM}|{_HAVE}", _I)
_WANTED = re.compile(rf"{_PREFER}|{_TO_ME}", _I)


def stated(sentence: Sentence) -> Iterator[Candidate]:
    """What a sentence states of its writer, or says to be past."""
    text, words = sentence.text, sentence.words
    if any("lerg" in word or "lérg" in word for word in words):
        yield from _allergies(text)
    if any(word[:5] in _CONDITIONS for word in words):
        yield from _conditions(text)
    if sentence.is_denial:
        return
    if not words.isdisjoint(_WISHING):
        yield from _preferences(text)
    if not words.isdisjoint(_CALLING):
        yield from _family(text)
    if not words.isdisjoint(_BEING_BORN):
        yield from _birthday(text)
    if not words.isdisjoint(_WORKING):
        yield from _working(text)
    if not words.isdisjoint(_MEETING):
        yield from _met(_MINE_IS, text)


def appointment_told(sentence: Sentence) -> Iterator[Candidate]:
    """An appointment of the customer's that staff name: "your appointment is on ..."."""
    if not sentence.is_denial and not _PASSED_ON.search(sentence.text):
        yield from _met(_YOURS_IS, sentence.text)


def _working(text: str) -> Iterator[Candidate]:
    match = _WORK.search(text)
    work = _TRAILING.sub("", match["work"]).strip() if match else ""
    if work and not is_no_work(work):
        yield Candidate(topic="work", value=work, data_class=data_class_of(work))


def _met(pattern: re.Pattern[str], text: str) -> Iterator[Candidate]:
    match = pattern.search(text)
    if match and (pattern is _YOURS_IS or not is_no_meeting(text)):
        yield _appointment(match["when"], text)


def _appointment(when: str, text: str) -> Candidate:
    """When it is, without what it is for; how careful to be goes by the whole sentence."""
    kept: list[str] = []
    for word in when.split():
        plain = word.lower().strip(".,")
        if not (plain[:1].isdigit() or plain in _TIME_WORDS or _DAY.fullmatch(plain)):
            break
        kept.append(word)
    while kept and kept[-1].lower().strip(".,") in _TIME_LINKS:
        kept.pop()
    value = " ".join(kept).strip(" ,.")
    return Candidate(
        topic=f"appointment: {simplified(value)}", value=value, data_class=data_class_of(text)
    )


def _birthday(text: str) -> Iterator[Candidate]:
    if (match := _BIRTHDAY.search(text)) and _is_birthday(match):
        yield Candidate(topic="birthday", value=match["date"].strip(" ."))


def _is_birthday(match: re.Match[str]) -> bool:
    lead = match[0].lower()
    needed = {"ich habe am": "geburtstag", "ich bin am": "geboren", "ich wurde am": "geboren"}
    return all(
        word in match["rest"].lower() for start, word in needed.items() if lead.startswith(start)
    )


def _allergies(text: str) -> Iterator[Candidate]:
    match = _ALLERGY.search(text)
    if match is None or is_denial(text[: match.start()].replace("ya no", "")):
        return
    before = text[: match.start()].lower().rstrip()
    if before.endswith(_JOINED) and _AND_ME.search(before):
        return
    is_end = is_denial(match["not"] or "") or text[: match.start()].lower().endswith("ya no ")
    listed = next(filter(None, (match[n] for n in ("what", "to", "kind", "allergie", "alergia"))))
    listed = _TRAILING.sub("", listed)
    # A comma goes on with the list only where an "and" ends it.
    is_list = "," in listed and _ALSO.match(listed) is not None
    for one in _AND.split(_ALSO.sub(r"\1", listed) if is_list else listed.partition(",")[0]):
        what = _ARTICLE.sub("", one.strip()).strip()
        is_short = len(what.split()) <= (2 if is_list else 4)
        is_other = _VAGUE.match(what) or _CLAUSE.match(what) or is_no_substance(what)
        if 2 < len(what) <= 40 and is_short and not is_other:
            yield Candidate(
                topic=f"allergy: {simplified(what)}",
                value=what,
                data_class="special",
                is_end=is_end,
            )


def _conditions(text: str) -> Iterator[Candidate]:
    is_end = _NO_LONGER.search(text) is not None
    if (not is_end and not _OF_ME.search(text)) or _FEARED.search(text):
        return
    lead = _NO_LONGER.pattern if is_end else _AM

    def states(before: str, pattern: str, is_other: Callable[[str, int], bool] = is_not) -> bool:
        match = re.search(rf"{before}(?:{pattern})(?![\w-])", text, _I)
        if match is None or is_other(text, match.end()):
            return False
        return is_end or not is_denial(text[: match.end()])

    for value, pattern in _DIETS.items():
        if states(lead, pattern):
            yield Candidate(topic="diet", value=value, is_end=is_end)
    for values, before, is_other in ((_HEALTH_AM, lead, is_not), (_HEALTH_HAVE, _HAVE, has_not)):
        for value, pattern in values.items():
            if states(before, pattern, is_other) and not (is_end and values is _HEALTH_HAVE):
                yield Candidate(
                    topic=f"health: {value}", value=value, data_class="special", is_end=is_end
                )


def _preferences(text: str) -> Iterator[Candidate]:
    if not _WANTED.search(text) or is_no_wish(text):
        return
    kinds = (
        ("time of day", _DAYTIMES, f"{_PREFER}{_WITH}"),
        ("contact", _CONTACTS, f"{_PREFER}{_WITH}"),
        ("language", _LANGUAGES, f"(?:{_TO_ME}|{_PREFER}{_WITH})"),
    )
    for topic, values, before in kinds:
        found = {
            match.end(): value
            for value, pattern in values.items()
            if (match := re.search(rf"{before}(?:{pattern})(?![\w-])", text, _I))
            and not _NOT_WANTED.match(text, match.end())
        }
        if found:
            # What comes first is preferred over what comes after it.
            yield Candidate(topic=f"preference: {topic}", value=found[min(found)])


def _family(text: str) -> Iterator[Candidate]:
    for match in _CALLED.finditer(text):
        for kind in _KINDS:
            for prefix in ("", "has_"):
                if word := match[f"{prefix}{kind}"]:
                    name = match[f"{prefix}name"]
                    topic = kind if kind == "partner" else f"{kind}: {simplified(name)}"
                    yield Candidate(topic=topic, value=f"{name} ({word.lower()})")
