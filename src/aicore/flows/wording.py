"""What the engine says of its own accord, in English and German, and how it writes times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

__all__ = ["Wording", "day_name", "full", "full_day", "strftime"]

_DAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
}
_MONTHS = {
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    "de": [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
}

_EN = {
    "and": "and",
    "or": "or",
    "from_source": "(from: {source})",
    "hello_again": "Hello! How can I help?",
    "hello_open": "Hello!",
    "menu": "I can help with these. A number is enough:",
    "menu_person": "Talk to a person",
    "menu_question": "You can also just ask me something, for example about {topics}.",
    "thanks": "You're welcome!",
    "thanks_more": "You're welcome! Is there anything else I can do for you?",
    "bye": "Goodbye, and thank you for writing to {business}.",
    "nothing_running": "There is nothing running that I could stop. What can I do for you?",
    "stopped": "All right, I have stopped. Nothing was booked or sent.",
    "stopped_after": "All right, I have stopped here. What was already done stays as it is.",
    "more": "Is there anything else I can do for you?",
    "anger": "I am sorry that I am not of more help.",
    "needed": "I am afraid I cannot go on without it.",
    "nice_to_meet": "Nice to meet you, {name}.",
    "noted": "Thank you, I have noted that.",
    "stopped_short": "All right, I have left that.",
    "resume": "Shall we go on with: {title}?",
    "resume_no": "All right, we leave it there. Is there anything else I can do for you?",
    "switch": "Of course, let us do that first.",
    "later": "One after the other; then: {titles}.",
    "changed": "All right, I have changed that.",
    "changed_to": "All right: {value}.",
    "too_late": "That part is already done, so I cannot change it here. "
    'Write "person" and a colleague will see to it.',
    "fallback_1": "Sorry, I did not understand that.",
    "fallback_2": "I am still not sure what you mean.",
    "fallback_3": "I am sorry, I cannot make sense of that.",
    "unknown_question": "Sorry, I do not know the answer to that.",
    "ask_person": 'A colleague can help: just write "person".',
    "which": "What would you like to do?",
    "reword": "Could you put it differently?",
    "offer_person": 'You can also write "person" to reach a colleague, or "stop" to leave this.',
    "empty": "I received an empty message.",
    "help_open": 'Just answer the question. "stop" leaves it, "person" brings a colleague.',
    "pick": "Please choose one: the number is enough.",
    "pick_time": "The number is enough. If none suits you, name another day or time.",
    "more_times": "These are free as well:",
    "no_more_times": "That is all I can see for then. Which other day or time would suit you?",
    "which_day": "Which day would suit you?",
    "which_day_at": "Which day, at {time}?",
    "which_time": "What time on {day}?",
    "which_date": "Just to be sure, which date do you mean?",
    "none_suits": "No problem. Which other day or time would suit you?",
    "past": "{when} is already past.",
    "unreal": "There is no such date.",
    "too_far": "I can only look about a year ahead.",
    "closed": "We are closed on {day}.",
    "closed_time": "We are not open then; on {day} we are open {hours}.",
    "which_other_day": "Which other day would suit you?",
    "which_other_time": "Which time would suit you?",
    "bad_email": "That does not look like a complete e-mail address. "
    "Could you check it? For example: ann@example.com",
    "bad_phone": "That does not look like a complete phone number. "
    "Could you check it, with the area code?",
    "bad_contact": "That does not look complete. Please give me a phone number with the area code, "
    "or an e-mail address.",
    "hint_contact": "A phone number or an e-mail address is enough.",
    "bad_number": "Please give me a number.",
    "number_low": "It must be at least {least}.",
    "number_high": "It can be at most {most}.",
    "hint_name": "Your name is enough, for example: Ann Lee.",
    "hint_email": "I need an e-mail address, for example: ann@example.com",
    "hint_phone": "I need a phone number, with the area code.",
    "hint_when": "You can write for example: Tuesday at 3 pm, tomorrow morning, or next week.",
    "hint_yes_no": "A yes or a no is enough.",
    "hint_text": "Just write it in your own words.",
    "confirm_hint": "Please answer yes or no, or tell me what should be different.",
    "unsure": "Take your time.",
    "unclear_change": "No problem, nothing is done yet. What should be different? "
    'Just tell me, or write "stop".',
    "waiting": "A colleague is still looking at that. You will hear from us here.",
    "follow_up": "I can only help with simple things at the moment. A colleague will read this "
    "and follow up.",
    "restart": "Sorry, something changed on our side and I have to begin again.",
    "handed": "I have left a note for a colleague, who will get back to you.",
    "handoff_plain": "Please contact us directly.",
    "no_model": "I cannot advise you on that myself.",
    "trouble": "Sorry, something went wrong on our side.",
    "day_window": "{day} {window}",
    "window_from": "from {start}",
    "window_to": "before {end}",
    "window": "between {start} and {end}",
    "at": "{day} at {time}",
    "days": "{first} to {last}",
    "any": "the next days",
    "yes": "yes",
    "no": "no",
    "none": "none",
}

_DE = {
    "and": "und",
    "or": "oder",
    "from_source": "(Quelle: {source})",
    "hello_again": "Hallo! Wie kann ich helfen?",
    "hello_open": "Hallo!",
    "menu": "Dabei kann ich helfen. Eine Zahl genügt:",
    "menu_person": "Mit einem Menschen sprechen",
    "menu_question": "Sie können mich auch einfach etwas fragen, zum Beispiel zu {topics}.",
    "thanks": "Gern geschehen!",
    "thanks_more": "Gern geschehen! Kann ich sonst noch etwas für Sie tun?",
    "bye": "Auf Wiedersehen, und danke für Ihre Nachricht an {business}.",
    "nothing_running": "Es läuft gerade nichts, das ich abbrechen könnte. Was kann ich tun?",
    "stopped": "In Ordnung, ich habe abgebrochen. Es wurde nichts gebucht oder verschickt.",
    "stopped_after": "In Ordnung, ich höre hier auf. Was schon erledigt ist, bleibt so.",
    "more": "Kann ich sonst noch etwas für Sie tun?",
    "anger": "Es tut mir leid, dass ich nicht besser helfen kann.",
    "needed": "Ohne das kann ich leider nicht weitermachen.",
    "nice_to_meet": "Freut mich, {name}.",
    "noted": "Danke, das habe ich notiert.",
    "stopped_short": "In Ordnung, das lassen wir.",
    "resume": "Machen wir weiter mit: {title}?",
    "resume_no": "In Ordnung, wir lassen es dabei. Kann ich sonst noch etwas für Sie tun?",
    "switch": "Gern, machen wir das zuerst.",
    "later": "Eins nach dem anderen; danach: {titles}.",
    "changed": "In Ordnung, ich habe das geändert.",
    "changed_to": "In Ordnung: {value}.",
    "too_late": "Das ist schon erledigt, ich kann es hier nicht mehr ändern. "
    "Schreiben Sie „Mensch“, dann kümmert sich jemand aus dem Team darum.",
    "fallback_1": "Entschuldigung, das habe ich nicht verstanden.",
    "fallback_2": "Ich bin noch nicht sicher, was Sie meinen.",
    "fallback_3": "Es tut mir leid, damit kann ich nichts anfangen.",
    "unknown_question": "Das weiß ich leider nicht.",
    "ask_person": "Jemand aus dem Team kann helfen: Schreiben Sie einfach „Mensch“.",
    "which": "Was möchten Sie tun?",
    "reword": "Können Sie es anders sagen?",
    "offer_person": "Mit „Mensch“ erreichen Sie jemanden aus dem Team, mit „Stopp“ brechen Sie ab.",
    "empty": "Ihre Nachricht war leer.",
    "help_open": "Antworten Sie einfach auf die Frage. „Stopp“ bricht ab, „Mensch“ holt jemanden "
    "aus dem Team.",
    "pick": "Bitte wählen Sie eines aus: die Zahl genügt.",
    "pick_time": "Die Zahl genügt. Passt nichts, nennen Sie einen anderen Tag oder eine "
    "andere Uhrzeit.",
    "more_times": "Auch diese sind frei:",
    "no_more_times": "Mehr sehe ich für dann nicht. Welcher andere Tag oder welche Uhrzeit passt?",
    "which_day": "Welcher Tag passt Ihnen?",
    "which_day_at": "An welchem Tag, um {time} Uhr?",
    "which_time": "Um wie viel Uhr am {day}?",
    "which_date": "Nur zur Sicherheit: Welches Datum meinen Sie?",
    "none_suits": "Kein Problem. Welcher andere Tag oder welche Uhrzeit passt Ihnen?",
    "past": "{when} ist schon vorbei.",
    "unreal": "Dieses Datum gibt es nicht.",
    "too_far": "Ich kann nur etwa ein Jahr vorausschauen.",
    "closed": "Am {day} haben wir geschlossen.",
    "closed_time": "Dann haben wir nicht geöffnet; am {day} sind wir {hours} da.",
    "which_other_day": "Welcher andere Tag passt Ihnen?",
    "which_other_time": "Welche Uhrzeit passt Ihnen?",
    "bad_email": "Das sieht nicht wie eine vollständige E-Mail-Adresse aus. "
    "Zum Beispiel: anna@example.com",
    "bad_phone": "Das sieht nicht wie eine vollständige Telefonnummer aus. "
    "Bitte mit Vorwahl schreiben.",
    "bad_contact": "Das sieht nicht vollständig aus. Bitte nennen Sie mir eine Telefonnummer mit "
    "Vorwahl oder eine E-Mail-Adresse.",
    "hint_contact": "Eine Telefonnummer oder eine E-Mail-Adresse genügt.",
    "bad_number": "Bitte nennen Sie mir eine Zahl.",
    "number_low": "Es müssen mindestens {least} sein.",
    "number_high": "Es können höchstens {most} sein.",
    "hint_name": "Ihr Name genügt, zum Beispiel: Anna Lee.",
    "hint_email": "Ich brauche eine E-Mail-Adresse, zum Beispiel: anna@example.com",
    "hint_phone": "Ich brauche eine Telefonnummer mit Vorwahl.",
    "hint_when": "Zum Beispiel: Dienstag um 15 Uhr, morgen Vormittag oder nächste Woche.",
    "hint_yes_no": "Ein Ja oder ein Nein genügt.",
    "hint_text": "Schreiben Sie es einfach in Ihren Worten.",
    "confirm_hint": "Bitte antworten Sie mit Ja oder Nein, oder sagen Sie, was anders sein soll.",
    "unsure": "Lassen Sie sich Zeit.",
    "unclear_change": "Kein Problem, noch ist nichts passiert. Was soll anders sein? "
    "Sagen Sie es einfach, oder schreiben Sie „Stopp“.",
    "waiting": "Das sieht sich gerade jemand aus dem Team an. Sie hören hier von uns.",
    "follow_up": "Ich kann im Moment nur mit einfachen Dingen helfen. Jemand aus dem Team liest "
    "das und meldet sich bei Ihnen.",
    "restart": "Entschuldigung, bei uns hat sich etwas geändert, ich muss neu beginnen.",
    "handed": "Ich habe dem Team eine Notiz hinterlassen, jemand meldet sich bei Ihnen.",
    "handoff_plain": "Bitte melden Sie sich direkt bei uns.",
    "no_model": "Dazu kann ich Sie selbst nicht beraten.",
    "trouble": "Entschuldigung, bei uns ist etwas schiefgegangen.",
    "day_window": "{day} {window}",
    "window_from": "ab {start}",
    "window_to": "vor {end}",
    "window": "zwischen {start} und {end}",
    "at": "{day} um {time}",
    "days": "{first} bis {last}",
    "any": "die nächsten Tage",
    "yes": "ja",
    "no": "nein",
    "none": "keine",
}

_TEXTS = {"en": _EN, "de": _DE}


class Wording:
    """The engine's own sentences in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.texts = _TEXTS[language]

    def say(self, key: str, **values: object) -> str:
        """Give a sentence, filled in."""
        return self.texts[key].format(**values)

    def join(self, items: Sequence[str]) -> str:
        """Write a list as in speech: a, b or c."""
        if len(items) < 2:
            return "".join(items)
        return f"{', '.join(items[:-1])} {self.texts['or']} {items[-1]}"


def day_name(day: date, language: str) -> str:
    """Give the weekday, e.g. `Tuesday`."""
    return _DAYS[language][day.weekday()]


def full_day(day: date, language: str, *, year: bool = False) -> str:
    """Write a date with its weekday: `Tuesday 24 November`, with the year if asked."""
    dot, comma = (".", ",") if language == "de" else ("", "")
    text = f"{day_name(day, language)}{comma} {day.day}{dot} {_MONTHS[language][day.month - 1]}"
    return f"{text} {day.year}" if year else text


def full(moment: datetime, language: str) -> str:
    """Write weekday, day, month, year and time: nothing is left to guess."""
    between = " um " if language == "de" else " at "
    return f"{full_day(moment, language, year=True)}{between}{moment:%H:%M}"


def strftime(moment: datetime, spec: str, language: str) -> str:
    """Do what strftime does, with names in `language` and not in the machine's."""
    day, month = _DAYS[language][moment.weekday()], _MONTHS[language][moment.month - 1]
    short = 3 if language == "en" else 2
    names = {"%A": day, "%a": day[:short], "%B": month, "%b": month[:3]}
    for code, name in names.items():
        spec = spec.replace(code, name)
    return moment.strftime(spec)
