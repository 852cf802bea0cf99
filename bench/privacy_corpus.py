"""Messages with personal values in them, and without, whose values are known: for bench/privacy.py.

The values are Faker's, of the language's own countries, in the forms in which people type them;
the sentences are in bench/privacy_set. They were written before the patterns that look for them.
Every other sentence is held out: nobody tunes by it. The held out ones without values are newer
than the patterns, since the first were looked at. Then a message is roughened: lower case, no full
stop, no accents, letters swapped. Same seed, same messages.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from faker import Faker

LANGUAGES = ("en", "de", "fr", "es")
Half = Literal["tuning", "held-out"]
HALVES: tuple[Half, ...] = ("tuning", "held-out")
KINDS = {
    "name": "NAME", "other": "NAME", "first": "NAME", "last": "NAME",
    "email": "EMAIL", "other_email": "EMAIL", "phone": "PHONE", "other_phone": "PHONE",
    "iban": "IBAN", "card": "CARD", "id": "ID", "birth": "BIRTH", "street": "STREET",
    "town": "TOWN", "ip": "IP", "secret_url": "URL", "plate": "PLATE",
}  # fmt: skip
"""The kind of value of each slot; a slot that is not here holds nothing personal."""

_LOCALES = {"en": ("en_GB", "en_US"), "de": ("de_DE",), "fr": ("fr_FR",), "es": ("es_ES",)}
_FOLDER = Path(__file__).with_name("privacy_set")
_WITHOUT: dict[Half, str] = {"tuning": "_without", "held-out": "_without_held_out"}
_SLOT = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"[^\W\d_]{4,}")
_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre "
    "diciembre",
}
_DATES = {
    "en_GB": ("{d:02}/{m:02}/{y}", "{d}/{m}/{s:02}", "{d} {w} {y}", "{y}-{m:02}-{d:02}"),
    "en_US": ("{m:02}/{d:02}/{y}", "{m}/{d}/{s:02}", "{w} {d}, {y}", "{y}-{m:02}-{d:02}"),
    "de_DE": ("{d:02}.{m:02}.{y}", "{d}.{m}.{s:02}", "{d}. {w} {y}", "{d}.{m}.{y}"),
    "fr_FR": ("{d:02}/{m:02}/{y}", "{d}/{m}/{s:02}", "{d} {w} {y}", "{d:02}.{m:02}.{y}"),
    "es_ES": ("{d:02}/{m:02}/{y}", "{d}-{m}-{y}", "{d} de {w} de {y}", "{d}/{m}/{s:02}"),
}
_PRODUCTS = {"en": "gloves", "de": "Handschuhe", "fr": "gants", "es": "guantes"}
_TOKEN = "0123456789abcdef"


@dataclass(frozen=True)
class Value:
    """A personal value in a message: text[start:end]."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Sample:
    """One message, what is personal in it, and what a CRM has on file of who wrote it."""

    language: str
    half: Half
    text: str
    values: tuple[Value, ...]
    known: tuple[tuple[str, str], ...]


def samples(
    count: int, *, seed: int, language: str, half: Half, has_values: bool = True
) -> Iterator[Sample]:
    """So many messages of one language and half."""
    at = HALVES.index(half)
    name = f"{language}.txt" if has_values else f"{language}{_WITHOUT[half]}.txt"
    templates = _templates(name)[at::2] if has_values else _templates(name)
    chance = random.Random(f"{seed} {name} {half}")
    fakers = {locale: Faker(locale) for locale in _LOCALES[language]}
    for number in range(count):
        locale = chance.choice(_LOCALES[language])
        fakers[locale].seed_instance(chance.getrandbits(32))
        person = _Person(fakers[locale], chance, language, locale)
        yield _sample(templates[number % len(templates)], person, half)


@cache
def _templates(name: str) -> Sequence[str]:
    lines = (_FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


class _Person:
    """Who writes, and whom and what they write of."""

    def __init__(self, faker: Any, chance: random.Random, language: str, locale: str) -> None:
        self.faker, self.chance, self.language, self.locale = faker, chance, language, locale
        self._first, self._last = faker.first_name(), faker.last_name()
        self._email = faker.ascii_email()
        self._phone = faker.phone_number()
        self._street = " ".join(faker.street_address().split())
        code, city = faker.postcode(), faker.city()
        self._town = f"{city} {code}" if language == "en" else f"{code} {city}"
        self._born = faker.date_of_birth(minimum_age=18, maximum_age=90)

    @property
    def known(self) -> tuple[tuple[str, str], ...]:
        """The labelled fields of a CRM: as typed in there, not as in the message."""
        return (
            ("NAME", f"{self._first} {self._last}"),
            ("EMAIL", self._email),
            ("PHONE", self._phone),
            ("STREET", self._street),
            ("TOWN", self._town),
            ("BIRTH", self._born.isoformat()),
        )

    def slot(self, name: str) -> str:
        """A value for a slot, as typed."""
        make: Callable[[], str] = getattr(self, f"_make_{name}")
        return make()

    def _make_name(self) -> str:
        return f"{self._first} {self._last}"

    def _make_first(self) -> str:
        return self._first

    def _make_last(self) -> str:
        return self._last

    def _make_other(self) -> str:
        return f"{self.faker.first_name()} {self.faker.last_name()}"

    def _make_email(self) -> str:
        return self._typed_email(self._email)

    def _make_other_email(self) -> str:
        return self._typed_email(self.faker.ascii_email())

    def _typed_email(self, email: str) -> str:
        if self.chance.random() < 0.04:
            return email.replace("@", "(at)")
        return email.capitalize() if self.chance.random() < 0.1 else email

    def _make_phone(self) -> str:
        return self._typed_phone(self._phone)

    def _make_other_phone(self) -> str:
        return self._typed_phone(self.faker.phone_number())

    def _typed_phone(self, phone: str) -> str:
        how = self.chance.randrange(4)
        digits = re.sub(r"x.*|[^\d+]", "", phone.replace("(0)", ""))
        if how == 0:
            return digits
        if how == 1 and digits.startswith("+"):
            return "00" + digits[1:]
        if how == 2 and len(digits) > 8:
            lead, rest = digits[:-6], digits[-6:]
            mark = self.chance.choice((" ", "-", ".", "/"))
            return f"{lead}{mark}{rest[:2]}{' ' * self.chance.randrange(2)}{rest[2:]}"
        return phone

    def _make_iban(self) -> str:
        iban = self.faker.iban()
        how = self.chance.randrange(3)
        grouped = " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))
        return (iban, grouped, iban.lower())[how]

    def _make_card(self) -> str:
        number = self.faker.credit_card_number()
        mark = self.chance.choice(("", " ", "-"))
        return mark.join(number[at : at + 4] for at in range(0, len(number), 4))

    def _make_id(self) -> str:
        if self.language == "de":
            return _tax_id(self.chance)
        if self.language == "es":
            return str(self.chance.choice((self.faker.nif, self.faker.nie))())
        if self.language == "fr":
            number = self.faker.ssn()
            groups = number[0], number[1:3], number[3:5], number[5:7], number[7:10], number[10:13]
            typed = " ".join((*groups, number[13:]))
            return typed if self.chance.random() < 0.5 else number
        return str(self.faker.ssn())

    def _make_birth(self) -> str:
        return self._typed_date(self._born)

    def _typed_date(self, day: date) -> str:
        word = _MONTHS[self.language].split()[day.month - 1]
        shape = self.chance.choice(_DATES[self.locale])
        return shape.format(d=day.day, m=day.month, y=day.year, s=day.year % 100, w=word)

    def _make_street(self) -> str:
        return self._street

    def _make_town(self) -> str:
        return self._town

    def _make_ip(self) -> str:
        return str(self.faker.ipv6() if self.chance.random() < 0.2 else self.faker.ipv4_public())

    def _make_secret_url(self) -> str:
        token = "".join(self.chance.choices(_TOKEN, k=32))
        name = self.chance.choice(("token", "key", "code"))
        return f"https://{self.faker.domain_name()}/reset?{name}={token}"

    def _make_plate(self) -> str:
        return str(self.faker.license_plate())

    def _make_order(self) -> str:
        number = self.chance.randrange(10_000, 9_999_999)
        return self.chance.choice((f"{number}", f"#{number}", f"ORD-{number}", f"2026-{number}"))

    def _make_price(self) -> str:
        amount = f"{self.chance.randrange(5, 2500)}.{self.chance.choice(('00', '50', '99'))}"
        if self.language == "en":
            return f"{self.chance.choice('$£')}{amount}"
        return amount.replace(".", ",") + self.chance.choice((" €", "€", " EUR", " Euro"))

    def _make_time(self) -> str:
        hour, minute = self.chance.randrange(8, 20), self.chance.choice((0, 15, 30))
        return self.chance.choice((f"{hour}:{minute:02}", f"{hour}h{minute:02}", f"{hour}"))

    def _make_date(self) -> str:
        return self._typed_date(date(2026, self.chance.randint(1, 12), self.chance.randint(1, 28)))

    def _make_expiry(self) -> str:
        return f"{self.chance.randint(1, 12):02}/{self.chance.randint(27, 31)}"

    def _make_n(self) -> str:
        return str(self.chance.randint(2, 40))

    def _make_product(self) -> str:
        return _PRODUCTS[self.language]

    def _make_tracking(self) -> str:
        return self.chance.choice(
            (
                "1Z" + "".join(self.chance.choices("0123456789ABCDEFGHJKLMNPRSTVWXYZ", k=16)),
                "".join(self.chance.choices("0123456789", k=self.chance.choice((12, 14, 20)))),
                "RR" + "".join(self.chance.choices("0123456789", k=9)) + "DE",
            )
        )

    def _make_serial(self) -> str:
        letters = "".join(self.chance.choices("ABCDEFGHKLMNPRSTUVWXYZ", k=3))
        return f"{letters}-{self.chance.randrange(10**5, 10**8)}"


def _tax_id(chance: random.Random) -> str:
    """A German tax number: ten digits, one of them twice, and the check digit of ISO 7064."""
    digits = chance.sample(range(10), 9)
    digits.insert(chance.randint(1, 9), digits[0])
    if digits[0] == 0:
        digits = [digit or 9 for digit in digits]
    rest = 10
    for digit in digits:
        rest = ((digit + rest) % 10 or 10) * 2 % 11
    number = "".join(map(str, (*digits, (11 - rest) % 10)))
    if chance.random() < 0.5:
        return number
    return f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"


def _sample(template: str, person: _Person, half: Half) -> Sample:
    chance = person.chance
    is_lower, is_plain = chance.random() < 0.35, chance.random() < 0.1
    swaps = chance.random() < 0.25
    parts = _SLOT.split(template)
    text, values = "", []
    for number, part in enumerate(parts):
        is_slot = number % 2 == 1
        if is_slot:
            piece = person.slot(part)
        else:
            piece = _swapped(part, chance) if swaps else part
            piece = piece.rstrip(".!") if number == len(parts) - 1 and is_lower else piece
        if is_lower and part != "secret_url":
            piece = piece.lower()
        if is_plain and part not in {"email", "other_email", "secret_url"}:
            piece = _unaccented(piece)
        if is_slot and part in KINDS:
            values.append(Value(KINDS[part], len(text), len(text) + len(piece)))
        text += piece
    return Sample(person.language, half, text, tuple(values), person.known)


def _swapped(text: str, chance: random.Random) -> str:
    """The same with two letters of one word swapped, sometimes."""
    words = list(_WORD.finditer(text))
    if not words or chance.random() < 0.5:
        return text
    at = chance.randrange((word := chance.choice(words)).start() + 1, word.end() - 1)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _unaccented(text: str) -> str:
    marks = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(c for c in marks if not unicodedata.combining(c)))
