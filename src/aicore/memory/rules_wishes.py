"""Rules for how somebody wants to be served: when, by whom, how to pay, where to leave things."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from aicore.memory.candidates import Candidate
from aicore.memory.rules_people import is_of_others
from aicore.memory.rules_refusals import is_no_wish
from aicore.memory.rules_values import DATE, WEEKDAYS
from aicore.memory.rules_words import words_in
from aicore.memory.sentences import Sentence
from aicore.memory.stems import stem

__all__ = ["wished"]

_WORD = re.compile(r"[^\W_]+")
_I = re.IGNORECASE
_NEAR = 7

_PREFER = words_in(
    """
    prefer rather bevorzuge lieber liebsten préfère préférerais plutôt prefiero preferiría mejor
    """
)
_ME = words_in("i me my we us our ich mich mir wir uns mein meine je j me moi nous yo mi mí nos")
# Verbs that say "I" by their form.
_ME_IN_ONE = words_in("puedo prefiero pago pagaré quiero kontaktieren contactez contácteme zahle")
_SERVED = words_in(
    """
    best better besten mieux book can do free available suit suits work works come give visit passt
    passen kann frei zeit komme
    kommen convient conviennent disponible libre peux viens venez venir viene vienen puedo
    """
)
_ONLY = words_in(
    """
    only best better now onwards nur noch jetzt besten besser seulement uniquement mieux
    maintenant désormais dorénavant solo sólo ahora mejor
    """
)
_ALWAYS = _ONLY | words_in("always immer künftig toujours siempre partir partir")
_ONCE = words_in(
    """
    this tomorrow yesterday good heute morgen gestern guten gute ce cet demain hier bonne esta hoy
    ayer buenas más plus one einen
    """
)

_DAYTIMES: Mapping[str, str] = {
    **dict.fromkeys(
        [
            "morning",
            "mornings",
            "vormittag",
            "vormittags",
            "morgens",
            "matin",
            "matins",
            "matinée",
        ],
        "mornings",
    ),
    **dict.fromkeys(["afternoon", "afternoons", "nachmittag", "nachmittags", "midi"], "afternoons"),
    **dict.fromkeys(["tarde", "tardes"], "afternoons"),
    **dict.fromkeys(["mañana", "mañanas"], "mornings"),
    **dict.fromkeys(
        [
            "evening",
            "evenings",
            "abends",
            "abend",
            "soir",
            "soirs",
            "noche",
            "noches",
        ],
        "evenings",
    ),
}
_DAYS = words_in(
    """
    mondays tuesdays wednesdays thursdays fridays saturdays sundays montags dienstags mittwochs
    donnerstags freitags samstags sonntags
    """
)
_DAYS_WITH_ARTICLE: Mapping[str, str] = {
    **dict.fromkeys(
        [
            "lundi",
            "mardi",
            "mercredi",
            "jeudi",
            "vendredi",
            "samedi",
            "dimanche",
        ],
        "le les",
    ),
    **dict.fromkeys(
        [
            "lunes",
            "martes",
            "miércoles",
            "jueves",
            "viernes",
            "sábados",
            "domingos",
        ],
        "los",
    ),
}
_METHODS: Mapping[str, str] = {
    **dict.fromkeys(["card", "karte", "kreditkarte", "carte", "tarjeta"], "by card"),
    **dict.fromkeys(["cash", "bar", "espèces", "liquide", "efectivo", "metálico"], "in cash"),
    **dict.fromkeys(["invoice", "rechnung", "facture", "factura"], "by invoice"),
    **dict.fromkeys(["transfer", "überweisung", "virement", "transferencia"], "by bank transfer"),
    **dict.fromkeys(["debit", "lastschrift", "prélèvement", "domiciliación"], "by direct debit"),
    "paypal": "by PayPal",
}
_PAY = words_in(
    """
    pay paying zahle bezahle zahlen bezahlen payer régler paie paye paierai payerai règle pago pagar
    pagaré
    """
)
_CHANNELS: Mapping[str, str] = {
    **dict.fromkeys(["phone", "telefon", "telefonisch", "téléphone", "teléfono"], "by phone"),
    **dict.fromkeys(["mail", "email", "mails", "emails", "courriel", "correo"], "by e-mail"),
    **dict.fromkeys(["sms", "texto", "text"], "by text message"),
    **dict.fromkeys(["letter", "post", "brief", "courrier", "carta"], "by letter"),
    "whatsapp": "by WhatsApp",
}
_REACH = words_in(
    """
    contact contacted envoyez reach write kontaktieren erreichen erreichbar schreiben schreib melden
    contacter contactez contactée contacté joindre écrivez écrire contacten contáctenme contactarme
    escríbame escriban escribirme avisen
    """
)
_NAMED = (
    r"(?P<staff>(?:(?:Frau|Herrn?|Mrs?|Ms|Dr|Madame|Mme|Monsieur|se[ñn]ora?)\.? )?"
    r"[A-ZÀ-Þ][a-zß-ÿ'-]+(?: [A-ZÀ-Þ][a-zß-ÿ'-]+)?)(?![\w-])"
)
_STAFF = re.compile(
    r"\b(?:(?:to see|see|be|stay|go|come|book|went) with|to see|see|"
    r"(?:\w+ed|cut|done|seen|hair done) by|bei|komme(?: \w+){0,2} zu|gehe(?: \w+){0,2} zu|"
    r"(?:möchte|will)(?: \w+){0,2} zu|(?:mit|von)(?= (?:Frau|Herrn?|Dr) )|(?:aller|continuer|être) "
    r"(?:avec|chez)|toujours (?:avec|chez)|\w+ée?s? par|(?:ir|seguir|siempre) con|(?:me )?atienda) "
    + _NAMED
)
_NO_STAFF = words_in(
    """
    hause fuß ihnen dir euch mir uns regen hitze bedarf fragen problemen weihnachten ostern ihm ihr
    licht whatsapp paypal google amazon english german french spanish deutsch englisch
    """
)
_CLAUSE = r"(?:^|[,;:.!] ?|\b(?:and|und|et|y|oder|or) )"
_LEAVE = re.compile(
    _CLAUSE + r"(?:(?:please|just|always|you can|bitte|merci de|por favor|einfach|immer),? )*(?:"
    r"(?:leave|drop|place) (?:it|them|parcels|packages|deliveries|(?:the|my|our|any) \w+) "
    r"(?:off )?(?P<en>(?:with|at|in|by|behind|under|on|next to|outside) [^\n.,;!?]{3,60})"
    r"|(?:stellen|legen|geben|lassen) sie (?:es|sie|(?:das|die|den|mein\w*|alle) \w+)(?: bitte|"
    r" einfach| immer)* (?P<de>(?:bei|beim|vor|in|im|an|am|hinter|unter|neben) [^\n.,;!?]{3,60}?)"
    r"(?: ab)?(?=$|[.,;!?])"
    r"|(?:das |die |mein |alle )?(?:paket|päckchen|lieferung|sendung)\w*(?: bitte| immer)* "
    r"(?P<abgeben>(?:bei|beim|vor|in|im|an|am|hinter|unter|neben) [^\n.,;!?]{3,60}?) (?:abgeben|"
    r"abstellen|ablegen|hinterlegen|lassen|stellen|legen)"
    r"|(?:laissez|déposez|posez|mettez|laisser|déposer)(?:-l[ea]s?| l[ea]s? \w+| mes \w+| mon \w+) "
    r"(?P<fr>(?:chez|devant|derrière|dans|à|au|sur|sous) [^\n.,;!?]{3,60})"
    r"|(?:d[eé]j[ea]n?(?:l[oa]s?)?|ponga(?:lo)?)(?: (?:el|la|los|las|mi|mis) (?:paquete|pedido|"
    r"env[ií]o|caja)s?)? (?P<es>(?:con|en|delante|detrás|junto|debajo) [^\n.,;!?]{3,60}))",
    _I,
)
_WHEN = (
    rf"(?P<when>(?:(?:next |nächsten? |kommenden? )?{WEEKDAYS}|tomorrow|morgen|demain|"
    rf"mañana|{DATE.replace('?P<date>', '?:')})[^\n;!?]{{0,60}})"
)
_MOVE = re.compile(
    r"\b(?:(?:please|need to|have to|must|want to|like to|got to)\b.{0,12}?\b(?:move|reschedule|"
    r"postpone|shift|"
    r"rebook|change|push)\b|(?:bitte|muss|müsste|möchte|will)\b(?=.{0,120}(?:verschieb|verleg|"
    r"umbuch))|(?:dois|voudrais|souhaite|merci de|veuillez|faut)\b.{0,12}?\b(?:reporter|déplacer|"
    r"décaler|changer)|passons|(?:tengo que|quiero|necesito|quisiera|por favor,?)\b.{0,12}?\b"
    r"(?:cambiar|cambi|mover|mueva|aplazar|aplace|posponer|pasar|pase)\w*|cambi[ea](?:me)? (?:mi|"
    r"la) cita)"
    r".{0,60}?(?:\bto|\bauf|\bau|\bà|\bal|\ba|\bpara|\bfor|\bplutôt|\bmejor|\blieber|:)\s+"
    r"(?:(?:the|le|el|den|dem|on|plutôt|mejor|lieber) )*" + _WHEN,
    _I,
)
_MEETING = (
    r"(?:appointment|booking|reservation|termin|buchung|rendez-vous|rdv|réservation|cita|reserva)"
)
_CANCEL = re.compile(
    r"\b(?:(?:please|need to|have to|must|want to|like to|i'm|i am) (?:cancel|cancelling)(?: my| "
    r"the| our)|"
    r"(?:merci d'|veuillez |dois |voudrais |souhaite |je veux |^)annul(?:er|ez) (?:mon|le|notre|"
    r"la)|"
    r"(?:quiero|tengo que|necesito|quisiera) (?:cancelar|anular) (?:mi|la|nuestra)|"
    r"(?:cancele|anule)n? (?:mi|la|nuestra)|(?:bitte (?:sagen sie|stornieren sie)|(?:ich )?muss|"
    r"möchte)(?=.*\b(?:ab|absagen|stornieren)\b)(?: \w+)?? (?:meinen|den|unseren|meine|die)) "
    + _MEETING
    + r"\b ?(?P<when>[^\n.;!?]{0,60})",
    _I,
)
_CUT = re.compile(
    r"\.?\s+(?:ab|absagen|stornieren|please|bitte|por favor|s'il|verschieben|verlegen|umbuchen|"
    r"leider|instead|because|weil|car|porque|thanks|danke|merci|gracias|if|and|und|et|y)\b.*$"
    r"|[.,]?\s*$|(?<!\d)\.\s.*$",
    _I | re.DOTALL,
)


def wished(sentence: Sentence) -> Iterator[Candidate]:
    """What a sentence wishes for good: times, days, staff, ways to pay and be reached, places."""
    if sentence.is_denial:
        return
    text, words = sentence.text, sentence.words
    if not words.isdisjoint(_LEAVE_WORDS) and (match := _LEAVE.search(text)):
        place = next(filter(None, (match[n] for n in ("en", "de", "abgeben", "fr", "es"))))
        yield Candidate(topic="preference: delivery", value=place.strip())
    is_wish = not words.isdisjoint(_PREFER) or not words.isdisjoint(_ALWAYS)
    is_move = not words.isdisjoint(_CANCEL_WORDS) or not words.isdisjoint(_MOVE_WORDS)
    if not (is_wish or is_move) or is_of_others(text, words, has_titles=True):
        return
    if is_move:
        yield from _moved(text, words)
    if is_wish:
        yield from _preferred(text, words)


def _preferred(text: str, words: frozenset[str]) -> Iterator[Candidate]:
    listed = _WORD.findall(text.lower())
    is_mine = not words.isdisjoint(_ME) or not words.isdisjoint(_ME_IN_ONE)
    wishes = [at for at, word in enumerate(listed) if word in _PREFER]
    limits = [at for at, word in enumerate(listed) if word in _ALWAYS] if is_mine else []
    if not wishes and not limits:
        return
    onlys = [at for at in limits if listed[at] in _ONLY]
    if not is_no_wish(text):
        yield from _timed(listed, wishes, onlys if not words.isdisjoint(_SERVED) else [])
    if not words.isdisjoint(_PAY):
        pays = [at for at, word in enumerate(listed) if word in _PAY]
        if value := _nearest(listed, pays, _METHODS.get):
            yield Candidate(topic="preference: payment", value=value)
    elif not words.isdisjoint(_REACH) or (wishes and "am" in words and "liebsten" in words):
        best = [at for at in limits if listed[at] in ("best", "only", "nur")]
        if value := _nearest(listed, wishes + best, _CHANNELS.get):
            yield Candidate(topic="preference: contact", value=value)
    if match := _STAFF.search(text):
        name = match["staff"]
        last = name.rpartition(" ")[2].lower()
        if last not in _NO_STAFF and not stem(last).startswith(("day", "month")):
            yield Candidate(topic="preference: staff", value=name)


def _timed(listed: list[str], wishes: list[int], served: list[int]) -> Iterator[Candidate]:
    once = {at for at, word in enumerate(listed) if at and listed[at - 1] in _ONCE}
    if value := _nearest(listed, wishes + served, _DAYTIMES.get, once):
        yield Candidate(topic="preference: time of day", value=value)
    if value := _nearest(listed, wishes + served, _day_at(listed), once):
        yield Candidate(topic="preference: day", value=value)


def _day_at(listed: list[str]) -> Callable[[str], str | None]:
    has_number = any(word.isdigit() for word in listed)

    def day(word: str) -> str | None:
        if word in _DAYS:
            return word.title()
        if not has_number and (articles := _DAYS_WITH_ARTICLE.get(word)):
            at = listed.index(word)
            return word if at and listed[at - 1] in articles.split() else None
        return None

    return day


def _nearest(
    listed: list[str],
    to: list[int],
    value_of: Callable[[str], str | None],
    without: set[int] = frozenset(),  # type: ignore[assignment]
) -> str | None:
    """The value named nearest to one of some places; what comes after is nearer."""
    found = [
        (at - place if at > place else place - at + 0.5, value)
        for at, word in enumerate(listed)
        if at not in without and (value := value_of(word)) is not None
        for place in to
    ]
    distance, value = min(found, default=(_NEAR + 1, ""))
    return value if distance <= _NEAR else None


def _moved(text: str, words: frozenset[str]) -> Iterator[Candidate]:
    if not words.isdisjoint(_CANCEL_WORDS) and (match := _CANCEL.search(text)):
        when = _CUT.sub("", match["when"]).strip(" ,")
        value = f"none (cancelled: {when})" if when else "none (cancelled)"
        yield Candidate(topic="appointment wanted", value=value)
    elif not words.isdisjoint(_MOVE_WORDS) and (match := _MOVE.search(text)):
        yield Candidate(topic="appointment wanted", value=_CUT.sub("", match["when"]).strip(" ,"))


_LEAVE_WORDS = words_in(
    """
    leave drop place stellen legen geben lassen paket pakete päckchen lieferung sendung laissez
    déposez posez mettez laisser déposer deje dejen deja déjelo déjenlo déjalo ponga póngalo
    """
)
_CANCEL_WORDS = words_in(
    """
    cancel cancelling annuler annulez cancelar anular cancele cancelen anule anulen ab absagen
    stornieren
    """
)
_MOVE_WORDS = words_in(
    """
    move reschedule postpone shift rebook change push verschieben verlegen umbuchen reporter
    déplacer décaler changer passons cambiar cambiarla cambiarlo cambie cambia cambieme mover mueva
    aplazar aplace posponer pasar pase
    """
)
