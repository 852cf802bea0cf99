"""Personal values by their form: check digits decide, odd forms are read, hostile texts end."""

import time

import pytest

from aicore.trust.marks import Marked, apart
from aicore.trust.patterns import find


def found(text: str) -> list[tuple[str, str]]:
    return [(mark.kind, text[mark.start : mark.end]) for mark in find(text)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("EMAIL", "ann.lee+shop@mail.example.co.uk"),
        ("EMAIL", "ann(at)example.org"),
        ("IBAN", "DE89 3704 0044 0532 0130 00"),
        ("IBAN", "fr1420041010050500013m02606"),
        ("CARD", "4111 1111 1111 1111"),
        ("CARD", "3782-822463-10005"),
        ("ID", "86 095 742 719"),  # Steuer-ID
        ("ID", "2 55 08 14 168 025 38"),  # NIR
        ("ID", "12345678Z"),  # DNI
        ("ID", "x1234567l"),  # NIE
        ("ID", "AB 12 34 56 C"),  # NINO
        ("ID", "123-45-6789"),  # SSN
        ("PHONE", "+49 (0)30 901820"),
        ("PHONE", "0033 1 42 68 53 00"),
        ("PHONE", "(212) 555-0123"),
        ("IP", "203.0.113.9"),
        ("IP", "2001:db8::8a2e:370:7334"),
        ("URL", "https://shop.example/reset?token=a1b2c3d4e5f6"),
        ("BIRTH", "3. März 1984"),
        ("PLATE", "AB-123-CD"),
    ],
)
def test_value_is_found_whole_wherever_it_stands(kind: str, value: str) -> None:
    for text in (value, f"please use {value}, thanks", f"({value})", f"x\n{value}\n"):
        assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "DE88 3704 0044 0532 0130 00",  # IBAN with a wrong check digit
        "4111 1111 1111 1112",  # card with a wrong check digit
        "86 095 742 718",
        "12345678A",
        "the order 1234567 from 03/04/2026 for $1,299.00",
        "version 2.14.3 at 10:30:15 on 127.0.0.1",
        "https://shop.example/help",
        "I am sorry, it is ready. This is great.",
        "Herr und Frau",
        "Die Bestellung 2026-1234567 kostet 1.299,00 Euro",
        "room 204, table 12, 5 minutes",
    ],
)
def test_what_is_no_value_is_left_alone(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("my name is ann quokka", "ann quokka"),
        ("Hi, I'm Ann Quokka and", "Ann Quokka"),
        ("Ich heiße Jörg von der Heide.", "Jörg von der Heide"),
        ("Sehr geehrte Frau Dr. Quokka, danke", "Dr. Quokka"),
        ("je m'appelle Zoé Petit", "Zoé Petit"),
        ("C'est pour ma fille Zoé Quokka", "Zoé Quokka"),
        ("me llamo josé quokka", "josé quokka"),
        ("Un saludo, Ana", "Ana"),
        ("Ann Quokka, born 3 April 1984", "Ann Quokka"),
    ],
)
def test_name_is_found_behind_the_words_for_it(text: str, value: str) -> None:
    assert ("NAME", value) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "12 Quokka Street, Springfield",
        "Quokkastraße 12a",
        "Alte Quokkastr. 12",
        "Am Quokkaberg 3",
        "12 bis rue de la Quokka",
        "calle de la Quokka 12",
        "C/ Quokka 12",
        "10115 Quokkastadt",
        "Quokkaville SW1A 1AA",
        "Quokkaville, NY 10001",
    ],
)
def test_place_is_found_by_street_and_number_or_postcode_and_town(text: str) -> None:
    marks = find(f"we live at {text}")
    start = len("we live at ") + text.index("uokka") - 1
    assert any(mark.start <= start < mark.end for mark in marks)


def test_class_goes_by_the_kind() -> None:
    classes = {mark.kind: mark.data_class for mark in find("4111 1111 1111 1111, ann@x.example")}

    assert classes == {"CARD": "special", "EMAIL": "personal"}


def test_what_overlaps_stays_marked_and_the_longer_wins() -> None:
    text = "my name is Ann Lee ann@lee.example"
    marks = [Marked(11, 18, "NAME"), Marked(15, 34, "EMAIL"), Marked(19, 22, "NAME")]

    assert apart(text, marks) == [Marked(11, 14, "NAME"), Marked(15, 34, "EMAIL")]


HOSTILE = [
    *("a", "1", "1 ", "+4 ", "@", "a@a.", "DE12 ", "(0)", "1.", "1:", "1-1-", "[[", "\\", "\n"),
    *("my name is ", "Herr ", "St 5 ", "Str. 5 ", "rue de la ", "calle a ", "Aa Aa ", "12345 Aa"),
    *("https://a/", "geb. ", "tel: 0", "né le ", "a-", "'", "A1 ", "password: a"),
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_with_the_length_alone(piece: str) -> None:
    """Four times the text may not take much more than four times as long."""

    def cpu_s(characters: int) -> float:
        text = (piece * characters)[:characters]
        began = time.process_time()
        find(text)
        return time.process_time() - began

    assert min(cpu_s(8_000) for _ in range(2)) < 10 * min(cpu_s(2_000) for _ in range(2)) + 0.05


@pytest.mark.parametrize(
    "text",
    [
        "24.11.2026 14:00",
        "Geht der 24.11.26 14.30-15.30?",
        "call me on 24.11.2026 - 9:00",
        "24.11.2026 (14 Uhr)",
        "24.11. - 27.11.2026",
        "vom 24.11.2026 bis 27.11.2026 14.00",
        "2026-11-24 0900",
    ],
)
def test_times_of_appointments_are_left_for_the_model_to_read(text: str) -> None:
    assert found(text) == []


def test_number_that_only_begins_like_a_day_is_a_telephone_number() -> None:
    assert found("06.12.34.56.78") == [("PHONE", "06.12.34.56.78")]
    assert found("call 01/42 68 53 00") == [("PHONE", "01/42 68 53 00")]
