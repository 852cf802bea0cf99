"""Short replies: yes, no, stop, thanks, a number out of a list."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aicore.flows.words import content_words, nearest, similar, words

__all__ = [
    "Courtesy",
    "chosen",
    "courtesy",
    "is_abort",
    "is_change",
    "is_goodbye",
    "is_help",
    "is_more",
    "is_none_of_these",
    "is_other_time",
    "is_question",
    "is_refusal",
    "is_skip",
    "is_unsure",
    "wants_call",
    "wants_person",
    "yes_or_no",
]

Courtesy = str
"""`hello`, `thanks`, `bye` or `anger`."""

_YES = re.compile(
    r"\A(?:(?:oh|well|hmm?|um|uh|ah|and)[,. ]+)*"
    r"(?:y|ya|ye+s+|yea+h?|yep+|yup|yess?ir|aye|sure(?: thing)?|ok(?:ay|ey|i)?|k+|alright|"
    r"all right|"
    r"absolutely|definitely|certainly|of course|correct|right|exactly|indeed|perfect|great|"
    r"good|fine|"
    r"wonderful|lovely|cool|super|please do|please|go ahead|go for it|do it|do that|book it|"
    r"confirm(?:ed)?|agreed?|deal|sounds? (?:good|great|fine|perfect|right)|looks? (?:good|"
    r"great|fine|right)|"
    r"that(?:'s| is)? (?:right|fine|good|great|perfect|correct|it|works?|ok(?:ay)?)|that works|"
    r"works|"
    r"it is|it does|i do|i am|i would|i'd (?:love|like) (?:to|that)|let'?s (?:do|go)(?: (?:it|"
    r"that|for it|on))?|"
    r"why not|no problem|go on|continue|proceed|it'?s (?:right|fine|correct|good|ok(?:ay)?)|"
    r"all good|"
    r"send it|make it so|happy with that|you got it|"
    r"j|ja+|jo+|jup|jep|jawohl|klar|gerne?|genau|richtig|stimmt|korrekt|passt|perfekt|gut|"
    r"einverstanden|"
    r"in ordnung|auf jeden fall|natürlich|sicher|mach(?:en sie)?(?: das| es)?|buchen|weiter|"
    r"alles klar|"
    r"das passt|super|prima|si|sí|oui)(?![\w'])"
)
_NO = re.compile(
    r"\A(?:(?:oh|well|hmm?|um|uh|ah|and|actually|sorry)[,. ]+)*"
    r"(?:n|no+|nope|nah|na|not? (?:really|quite|yet|that|correct|right|now|today|ok(?:ay)?|"
    r"good|at all)|"
    r"never|negative|incorrect|wrong|rather not|i'?d rather not|don'?t|do not|please don'?t|"
    r"that(?:'s| is)? (?:not|wrong|incorrect)\b.*|isn'?t|it'?s (?:not|wrong)\b.*|"
    r"it isn'?t|doesn'?t|not for me|i don'?t think so|no thanks?|no thank you|"
    r"nein|ne+|nö+|nicht|nee+|lieber nicht|falsch|stimmt nicht|passt nicht|auf keinen fall|"
    r"keinesfalls)"
    r"(?![\w'])"
)
_NO_WINS = re.compile(
    r"\b(?:stimmt|passt|gut|richtig) (?:so )?nicht\b|\bdon'?t book\b|\bnicht buchen\b"
)
_NO_IS_YES = re.compile(r"\A(?:no|kein) (?:problem|worries|probs|objections?|thema)\b")
_THUMBS = {
    "👍": True,
    "✅": True,
    "👌": True,
    "🙏": True,
    "😊": True,
    "👎": False,
    "❌": False,
    "🚫": False,
}
_SIGNS = {"👋": "hello", "❤": "thanks", "🙏": "thanks", "😊": "thanks", "😀": "thanks"}

_ABORT = re.compile(
    r"\A(?:(?:oh|well|hmm?|um|ah|no|ok(?:ay)?|please|sorry|actually|sry|nein|ach|bitte)[,. ]+)*"
    r"(?:cancel|stop|abort|quit|exit|end|leave it|forget (?:it|that|about it|everything|"
    r"the whole thing)|"
    r"never ?mind|nvm|drop it|scrap (?:it|that)|don'?t bother|no need|i give up|enough|"
    r"(?:i(?:'ve| have)? )?changed my mind|"
    r"i don'?t want (?:to(?! (?:give|tell|say|share))|it|this|that|"
    r"any(?:thing|more)?)\b.*|"
    r"(?:i'?d )?rather not|not any ?more|not interested|i'?m not interested|start over|restart|"
    r"let'?s (?:stop|leave it|forget it|not)|maybe (?:later|another time|some other time)|"
    r"another time|"
    r"some other time|not (?:now|today)|i'?ll (?:think about it|come back|call|do it later|"
    r"get back to you)"
    r"|"
    r"cancel (?:it|that|this|everything|all|the whole thing|please|(?:the|this) (?:booking|"
    r"process|request))|"
    r"stop (?:it|that|this|please|now|the booking|booking)|"
    r"abbrechen|abbruch|stopp?|vergiss es|vergessen sie(?: es| das)?|schon gut|"
    r"lass(?:en sie)?(?: es| das)?(?: sein)?|"
    r"doch nicht|lieber nicht|(?:ich )?(?:will|möchte) (?:doch )?nicht(?: mehr)?\b.*|ein andermal|"
    r"(?:vielleicht )?später|hat sich erledigt|nicht mehr nötig|beenden)"
    r"(?:[,. ]+(?:please|bitte|thanks?|thank you|danke|then|now|sorry|it|that|already|doch|"
    r"booking|all))*[.! ]*\Z"
)
_SKIP = re.compile(
    r"\A(?:skip(?: it| this| that)?|none|nothing|no one|pass|n/?a|-+|no (?:e-?mail|mail|phone|"
    r"number)|"
    r"i (?:don'?t|do not) (?:have (?:one|an?|any)|want to (?:give|tell|say|share))\b.*|"
    r"i'?d rather not(?: say)?|"
    r"rather not(?: say)?|without|"
    r"prefer not to(?: say)?|not necessary|no need|don'?t have (?:one|any|an?)\b.*|"
    r"no,? (?:thanks?|thank you|skip)|überspringen|keine?|ohne|habe ich nicht|hab ich nicht|"
    r"weglassen)[.! ]*\Z"
)
_PERSON = re.compile(
    r"\b(?:(?:talk|speak|chat|connect|transfer|put|pass|reach|contact)\b.{0,25}\b"
    r"(?:persons?|humans?|someone|somebody|staff|receptionist|agent|operator|representative|"
    r"colleague|manager|reception|real one|team member|doctor|dentist)|"
    r"someone to (?:talk|speak|chat) (?:to|with)|"
    r"(?:want|need|get(?: me)?|give me|like|prefer) (?:a |an |the |to (?:see|have) (?:a |an )?)?"
    r"(?:real |live |actual )?(?:person|human|agent|operator|representative|receptionist)|"
    r"(?:real|actual|live|human) (?:person|human|being|agent|someone|people)|"
    r"(?:person|human|agent|operator|representative|staff|receptionist) please|"
    r"(?:mit|an|einen?|einem) (?:echten |richtigen )?(?:menschen?|mitarbeiter(?:in)?|person|"
    r"kolleg(?:en|in))"
    r"(?: .{0,20})?(?:sprechen|reden|verbinden|schreiben)|"
    r"(?:echte[rn]?|richtige[rn]?) (?:mensch|person|mitarbeiter))\b"
)
_CALL = re.compile(
    r"\b(?:call me(?: back)?(?! \w)|(?:can|could) (?:someone|somebody|you) (?:please )?"
    r"(?:call|ring|phone) me|(?:call|ring|phone) me back|rückruf|rufen sie mich|ruft mich)\b"
)
_PERSON_ALONE = re.compile(
    r"(?:a |an |the |real |live )*(?:person|human|agent|operator|staff|someone|somebody|"
    r"receptionist|"
    r"representative|colleague|mensch|mitarbeiter(?:in)?|kollege|kollegin|handoff|"
    r"rep)s?[.!? ]*(?:please|bitte|now)?[.! ]*"
)
_NOT_PERSON = re.compile(
    r"\b(?:don'?t|do not|no need to|nicht|keinen?)\b.{0,15}\b(?:talk|speak|person|mensch)|"
    r"\b(?:are|r) (?:you|u)\b|\bis (?:this|it|that) an?\b|\bam i (?:talking|speaking|chatting|"
    r"writing)\b|"
    r"\b(?:bist du|sind sie) ein"
)
_HELP = re.compile(
    r"\A(?:help(?: me)?|menu|options|start|commands|info|what can (?:you|i) (?:do|ask|"
    r"say)(?: here)?(?: for me)?|"
    r"what do you do|how does (?:this|it) work|how do(?:es)? (?:i|this|you) (?:use|work)(?: this)?|"
    r"what are (?:my|the) options|what (?:can|could) you help(?: me)?(?: with)?|what now|and now|"
    r"can you help(?: me)?|i need help|hilfe|menü|hilf mir|was kannst du|"
    r"was können sie(?: für mich tun)?|"
    r"wie funktioniert (?:das|es)|\?+)[.!? ]*\Z"
)
_HELLO = re.compile(
    r"\A(?:hi+|hello+|hey+|hiya|howdy|yo|good (?:morning|afternoon|evening|day)|greetings|hallo|"
    r"guten (?:morgen|tag|abend)|moin|servus|grüß gott|grüezi|hola|bonjour|how are you(?: doing)?|"
    r"how'?s it going|what'?s up|sup|wie geht'?s?(?: (?:dir|ihnen))?|(?:is )?any(?:one|"
    r"body) (?:there|here))"
    r"(?: (?:there|again|back|all|everyone|team|guys|sir|madam|dear|zusammen))*\W*"
)
_THANKS = re.compile(
    r"\A(?:ok(?:ay)?|great|perfect|super|cool|good|nice|awesome|lovely|wonderful|brilliant|"
    r"alright|prima|[,. !]|)*"
    r"(?:thanks?|thank you|thx|ty|cheers|many thanks|much appreciated|appreciate it|danke|"
    r"vielen dank|"
    r"merci|danke ?schön|besten dank)\b"
    r"(?:[,.! ]+(?:so much|very much|a lot|a million|again|for (?:your|the|all)\b.*|"
    r"that'?s (?:all|it)|you|bye|"
    r"have a\b.*|mate|everything|sehr|ihnen|dir|schön))*\W*\Z"
)
_LEAVING = (
    r"bye+(?: ?bye)?|goodbye|good ?night|see (?:you|ya)(?: (?:later|soon|then|there|around))?|cya|"
    r"have a (?:nice|good|great|lovely) (?:day|one|evening|weekend)|take care|tschü(?:ss?|ß)|"
    r"tschau|ciao|"
    r"auf wiedersehen|bis (?:dann|bald|später)|schönen (?:tag|abend)(?: noch)?|"
    r"(?:i )?(?:gotta|have to|got to|must) (?:go|run|leave)(?: now)?|go away"
)
_BEFORE_BYE = (
    r"\A(?:(?:ok(?:ay)?|great|perfect|alright|sorry|no|nein|thanks?|thank you|danke|thx|"
    r"vielen dank|cheers)(?: (?:again|so much|very much|a lot|you|schön|sehr))?[,.! ]+"
    r"(?:and |und )?)*"
)
_GOODBYE = re.compile(
    rf"{_BEFORE_BYE}(?:(?:{_LEAVING})[,.! ]*(?:(?:and |und )?(?:thanks?|thank you|danke))?)+\W*\Z"
)
_BYE = re.compile(
    rf"{_BEFORE_BYE}(?:{_LEAVING}|see (?:you|ya)(?: \w+)*|that'?s all(?: for now)?|"
    r"that'?s it|nothing(?: else)?|no,? (?:that'?s (?:all|it)|nothing(?: else)?|i'?m good|"
    r"all good)|das war'?s|das ist alles)\W*\Z"
)
_ANGER = re.compile(
    r"\b(?:useless|stupid|idiot|moron|dumb|hate (?:you|this)|fuck\w*|shit\w*|asshole|arsehole|wtf|"
    r"rubbish|"
    r"you suck|annoying|(?:terrible|worst|bad) (?:bot|robot|service)|scheiß\w*|blöd\w*|"
    r"nutzlos|idiotisch)\b"
)
_QUESTION = re.compile(
    r"\A(?:(?:hi|hello|hey|ok(?:ay)?|and|but|so|well|wait|sorry|quick question|also|first|btw|"
    r"by the way|"
    r"one (?:more )?question|just wondering|hallo|und|aber)[,:.! -]+)*"
    r"(?:how|what|what's|whats|when|where|who|why|which|is|are|am i|do|does|did|can|could|will|"
    r"would|"
    r"should|may i|have you|has|any idea|tell me|i wonder|i'?d like to know|i want to know|"
    r"wie|was|wann|wo|wer|warum|wieso|welche[rsn]?|ist|sind|gibt|haben|hat|kann|können|darf|muss|"
    r"kostet|nehmen|akzeptieren|bieten)\b"
)
_UNSURE = re.compile(
    r"\A(?:(?:hmm+|um+|er+|well|oh|so)[,. ]+)*(?:(?:i'?m |i am )?not sure(?: yet)?|maybe|"
    r"perhaps|possibly|(?:i )?don'?t know(?: yet)?|"
    r"(?:i )?do not know|idk|dunno|no idea|(?:(?:can|could) i|let me|i(?:'ll| will| need to|"
    r" want to| have to| must)) think\b.*|hm+|umm*|uh+m*|er+m*|let me (?:see|check|think|ask)\b.*|"
    r"wait|one (?:moment|sec(?:ond)?)|"
    r"hold on|hang on|just a (?:moment|second|sec|minute)|vielleicht|weiß (?:ich )?nicht|"
    r"keine ahnung|moment(?: bitte)?|mal sehen)[.!? ]*\Z"
)
_CHANGE = re.compile(
    r"\b(?:actually|instead|make (?:it|that)|change|correct(?:ion)?|rather|better|prefer|"
    r"i meant?|meant|"
    r"sorry|wait|oops|"
    r"wrong|different|update|switch|move it|not .{1,20}\bbut|should (?:be|have been)|"
    r"doch|stattdessen|lieber|statt|ändern?|korrektur|meinte|sondern)\b|\A(?:no|nein|nope)[,. ]+\w"
)
_MORE = re.compile(
    r"\b(?:more|other|others|else|later|earlier|further|additional|another|different)\b.{0,20}"
    r"\b(?:times?|slots?|options?|ones?|appointments?|dates?|available|free)\b|"
    r"\A(?:more|others?|later|earlier|next|show (?:me )?more|something else|anything else|"
    r"another(?: time)?|else|"
    r"(?:is there |do you have |have you got )?(?:anything|something) (?:later|earlier|else|"
    r"different|other)|"
    r"(?:a bit |bit )?(?:later|earlier)(?: please)?|what else|mehr|weitere|später|früher|"
    r"andere(?: zeit(?:en)?)?|"
    r"gibt es (?:noch )?(?:andere|weitere).*)\W*\Z"
)
_NONE_OF_THESE = re.compile(
    r"\b(?:none (?:of (?:these|them|those))?|neither|nothing (?:fits|suits|works)|"
    r"(?:these|those|they|that|it|this) (?:don'?t|doesn'?t|do not|won'?t|does not|"
    r"all don'?t) (?:work|suit|fit)|"
    r"can'?t (?:make|do|come)|cannot (?:make|do|come)|not (?:possible|convenient|good|suitable)|"
    r"(?:an)?other (?:day|date|week|time)|(?:a )?different (?:day|date|week|time)|some other day|"
    r"keine[rs]?(?: davon)?|nichts davon|passt (?:mir )?(?:alles )?nicht|andere[rn]? tag|"
    r"geht nicht)\b"
)
_OTHER_TIME = re.compile(
    r"\b(?:change|move|switch|another|other|different|ändern|verschieben|andere[nrs]?)\b.{0,20}"
    r"\b(?:times?|days?|dates?|hour|zeit|uhrzeit|tag|termin)\b"
)
_ORDINALS = (
    ("first", "1st", "erste", "ersten", "erster", "erstes", "former", "top"),
    ("second", "2nd", "zweite", "zweiten", "zweiter", "zweites"),
    ("third", "3rd", "dritte", "dritten", "dritter", "drittes"),
    ("fourth", "4th", "vierte", "vierten", "vierter", "viertes"),
    ("fifth", "5th", "fünfte", "fünften", "fünfter", "fünftes"),
    ("sixth", "6th", "sechste", "sechsten"),
    ("seventh", "7th", "siebte", "siebten"),
    ("eighth", "8th", "achte", "achten"),
)
_LAST = ("last", "letzte", "letzten", "letzter", "letztes", "latter", "bottom", "latest")
_NUMBERED = re.compile(
    r"\A(?:(?:number|no\.?|nr\.?|option|nummer|#|the|i(?:'d| would)? (?:like|take|want|choose|"
    r"pick)|i'?ll (?:take|have)|"
    r"take|choose|pick|ok(?:ay)?|yes|ja|please|die|let'?s (?:do|take|go with)|go with)[,: ]*)*"
    r"#?(?P<number>\d{1,2}|one|two|three|four|five|six|seven|eight|eins|zwei|drei|vier|fünf|sechs)"
    r"(?:[.)!]|\s*(?:please|bitte|is (?:fine|good|ok(?:ay)?|great|perfect)|works|thanks|then|"
    r"passt|looks good))*\s*\Z"
)
_SPELT = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
          "eins": 1, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6}  # fmt: skip


def _low(text: str) -> str:
    return text.lower().replace("\u2019", "'").strip()


def yes_or_no(text: str) -> bool | None:
    """Read a yes or a no, in many wordings; None where it is neither, or both."""
    low = _low(text)
    for sign, meaning in _THUMBS.items():
        if low.startswith(sign):
            return meaning
    if _NO_IS_YES.match(low):
        return True
    if _NO.match(low) or _NO_WINS.search(low):
        return False
    if is_unsure(low) or (low.endswith("?") and len(words(low)) > 2):
        return None
    return True if _YES.match(low) else None


def is_refusal(text: str) -> bool:
    """Say whether a text begins with a no."""
    return yes_or_no(text) is False


def is_abort(text: str) -> bool:
    """Say whether somebody wants to leave what is going on."""
    return bool(_ABORT.match(_low(text)))


def is_skip(text: str) -> bool:
    """Say whether an optional question is passed over."""
    low = _low(text)
    return bool(_SKIP.match(low)) or low in ("no", "nope", "nein", "no.")


def wants_person(text: str, keywords: Sequence[str]) -> bool:
    """Say whether somebody asks for a person; `keywords` are the business's own."""
    low = _low(text)
    if _NOT_PERSON.search(low):
        return False
    if _PERSON_ALONE.fullmatch(low) or _PERSON.search(low):
        return True
    said = words(low)
    return any(
        all(any(similar(word, other) for other in said) for word in words(phrase))
        for phrase in keywords
        if words(phrase)
    )


def wants_call(text: str) -> bool:
    """Say whether somebody asks to be called back."""
    return bool(_CALL.search(_low(text)))


def is_help(text: str) -> bool:
    """Say whether somebody asks what is possible."""
    return bool(_HELP.match(_low(text)))


def courtesy(text: str) -> Courtesy | None:
    """Read a greeting, thanks, a goodbye or plain anger that is nothing else."""
    low = _low(text)
    if _BYE.match(low) or _GOODBYE.match(low):
        return "bye"
    if _THANKS.match(low):
        return "thanks"
    if _ANGER.search(low) and len(words(low)) < 8:
        return "anger"
    if low[:1] in _SIGNS:
        return _SIGNS[low[:1]]
    match = _HELLO.match(low)
    return "hello" if match and match.end() == len(low) else None


def is_goodbye(text: str) -> bool:
    """Say whether somebody is leaving, whatever is going on."""
    return bool(_GOODBYE.match(_low(text)))


def is_question(text: str) -> bool:
    """Say whether a text has the form of a question."""
    low = _low(text)
    return "?" in low or bool(_QUESTION.match(low))


def is_unsure(text: str) -> bool:
    """Say whether somebody hesitates."""
    return bool(_UNSURE.match(_low(text)))


def is_change(text: str) -> bool:
    """Say whether a text sounds like taking something back."""
    return bool(_CHANGE.search(_low(text)))


def is_more(text: str) -> bool:
    """Say whether somebody wants to see more choices."""
    return bool(_MORE.search(_low(text)))


def is_other_time(text: str) -> bool:
    """Say whether somebody wants what is arranged to be at another time."""
    return bool(_OTHER_TIME.search(_low(text)))


def is_none_of_these(text: str) -> bool:
    """Say whether no choice suits."""
    return bool(_NONE_OF_THESE.search(_low(text)))


def chosen(text: str, names: Sequence[str], also: Sequence[Sequence[str]] = ()) -> list[int]:
    """Read a choice: by number, by ordinal, by (a part of) its name, with typing errors.

    Gives the positions that fit: one is a choice, several are to be asked about.
    """
    low = _low(text)
    match = _NUMBERED.match(low)
    if match:
        number = _SPELT.get(match["number"]) or int(match["number"])
        if 1 <= number <= len(names):
            return [number - 1]
    by_name = _by_name(low, names, also)
    return by_name or _by_ordinal(low, len(names))


def _by_ordinal(low: str, count: int) -> list[int]:
    said = words(low)
    if len(said) > 8:
        return []
    if any(word in _LAST for word in said):
        return [count - 1]
    for at, names in enumerate(_ORDINALS[:count]):
        if any(word in names for word in said):
            return [at]
    return []


def _by_name(low: str, names: Sequence[str], also: Sequence[Sequence[str]]) -> list[int]:
    said = content_words(low) or words(low)
    every = [[name, *(also[at] if at < len(also) else ())] for at, name in enumerate(names)]
    exact = nearest(low, names, least=86)
    if len(exact) == 1:
        return exact
    scores = [max(_named(said, name) for name in forms) for forms in every]
    best = max(scores, default=0.0)
    return [at for at, score in enumerate(scores) if score == best] if best > 0 else []


def _named(said: Sequence[str], name: str) -> float:
    """How much of a name was said: 1 for all of its words, less for a part, else 0."""
    joined = "".join(words(name))
    if any(similar(joined, other) for other in said):
        return 1.0
    wanted = content_words(name) or words(name)
    wanted = [word for word in wanted if not word.isdigit()] or wanted
    hit = sum(1 for word in wanted if any(similar(word, other) for other in said))
    return hit / len(wanted) if wanted else 0.0
