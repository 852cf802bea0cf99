"""Documents become passages that can be told and cited, whatever their format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aicore.memory.knowledge.passages import MOST_CHARACTERS

Read = Callable[[str, bytes | str], Any]


def test_a_question_stays_with_its_answer(read: Read) -> None:
    found = read(
        "faq.md",
        "# FAQ\n\n## Repairs\n\n**How long does it take?**\nTwo days.\n\nLonger in spring.\n\n"
        "**What does it cost?**\nSee the list.\n",
    )

    assert found.texts == [
        "Repairs\nHow long does it take?\nTwo days.\nLonger in spring.",
        "Repairs\nWhat does it cost?\nSee the list.",
    ]
    assert found.places == ["Repairs", "Repairs"]


def test_a_question_as_heading_is_the_place(read: Read) -> None:
    found = read(
        "faq.md", "# FAQ\n\n## Do you open on Sunday?\n\nNo.\n\n## Do you deliver?\n\nYes."
    )

    assert found.passages[0] == [
        "Do you open on Sunday?\nNo.",
        "Do you open on Sunday?",
        "faq FAQ",
    ]


def test_headings_are_a_path(read: Read) -> None:
    found = read("a.md", "# T\n\n## Returns\n\n### Clothes\n\nWithin a week.\n\n## Other\n\nNone.")

    assert found.places == ["Returns > Clothes", "Other"]
    assert found.texts[0] == "Returns > Clothes\nWithin a week."


def test_a_heading_with_nothing_below_says_something_itself(read: Read) -> None:
    found = read("a.md", "# News\n\n## Closed in August\n\n## Open\n\n### Sundays\n\n## E\n\nNo.")

    assert found.texts == ["Closed in August", "Open\nSundays", "E\nNo."]


def test_a_long_answer_repeats_its_question(read: Read) -> None:
    answer = "This is one sentence of many. " * 120
    found = read("faq.md", f"## Buying\n\n**May I return it?**\n{answer}")

    assert len(found.texts) > 2
    assert all(text.startswith("Buying\nMay I return it?\n") for text in found.texts)
    assert all(len(text) <= MOST_CHARACTERS + len("Buying\n") for text in found.texts)


def test_a_word_without_end_is_cut(read: Read) -> None:
    found = read("a.txt", "x" * 5000)

    assert [len(text) for text in found.texts] == [1199, 1199, 1199, 1199, 204]


def test_markdown_tables_keep_their_column_names(read: Read) -> None:
    found = read("a.md", "# Prices\n\n| item | price |\n|---|---|\n| Cut | 30 EUR |\n| Dye | |\n")

    assert found.passages[0][:2] == ["item: Cut; price: 30 EUR", "Prices, row 2"]
    assert found.texts[1] == "item: Dye"


def test_front_matter_is_no_text(read: Read) -> None:
    assert read("a.md", "---\ntitle: x\ntags: [a]\n---\n\nHello there.").texts == ["Hello there."]
    assert read("b.md", "---\n\nNo front matter.\n\n---\n").texts == ["No front matter."]


def test_markup_within_markdown_is_no_way_to_hide(read: Read) -> None:
    text = 'Shown <span style="display: none">hidden one</span> again.\n\n<div hidden>two</div>\n'
    found = read("a.md", text + "\n<!-- three -->\n\nfo\u200bur\U000e0041\n")

    assert found.texts == ["Shown again.\nfour"]


def test_paragraphs_without_a_heading_are_numbered(read: Read) -> None:
    found = read("a.txt", "one " * 250 + "\r\n\r\n" + "two " * 250)

    assert found.places == ["paragraph 1", "paragraph 2"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_rows_keep_their_column_names(read: Read, delimiter: str) -> None:
    rows = [["article", "price", "note"], ["Chain", "35 EUR", "fitted"], ["Tube", "6 EUR", ""]]
    found = read("prices.csv", "\n".join(delimiter.join(row) for row in rows))

    assert found.passages == [
        ["article: Chain; price: 35 EUR; note: fitted", "row 2", "prices"],
        ["article: Tube; price: 6 EUR", "row 3", "prices"],
    ]


def test_csv_rows_are_counted_as_a_spreadsheet_does(read: Read) -> None:
    found = read("a.csv", 'a,b\n\n"two\nlines",2\n,\n3,4\n')

    assert found.passages == [["a: two lines; b: 2", "row 3", "a"], ["a: 3; b: 4", "row 5", "a"]]


def test_csv_with_odd_line_ends(read: Read) -> None:
    assert read("a.csv", "a,b\r1,2\r3,4\r").texts == ["a: 1; b: 2", "a: 3; b: 4"]
    assert read("b.csv", "a,b\r\none\x85line,2\r\n").texts == ["a: one line; b: 2"]


def test_csv_with_ragged_rows(read: Read) -> None:
    found = read("a.csv", "name,price\nshort\nlong,1,more,still\n")

    assert found.texts == ["name: short", "name: long; price: 1; more; still"]


def test_csv_with_commas_in_numbers_and_a_declared_delimiter(read: Read) -> None:
    assert read("a.csv", "Artikel;Preis\nBrot;3,20\nSemmel;0,45\n").texts[0] == (
        "Artikel: Brot; Preis: 3,20"
    )
    assert read("b.csv", "sep=|\nname|price, net\nBread|3,20\n").texts == [
        "name: Bread; price, net: 3,20"
    ]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "latin-1"]
)
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.md", "a.html"])
def test_encodings(read: Read, name: str, encoding: str) -> None:
    text = "<p>Größe,café</p>" if name.endswith("html") else "Größe,café\nÜbermaß,ñandú\n"
    found = read(name, text.encode(encoding))

    assert found.problem == ""
    assert "Größe" in found.texts[0]
    assert "café" in found.texts[0]


def test_a_page_may_declare_its_encoding(read: Read) -> None:
    found = read("a.html", '<meta charset="koi8-r"><p>привет</p>'.encode("koi8-r"))

    assert found.texts == ["привет"]


def test_a_declared_encoding_that_is_none_of_text(read: Read) -> None:
    assert read("a.html", b'<meta charset="zip"><p>caf\xe9</p>').texts == ["café"]


def test_pages_under_their_headings(read: Read) -> None:
    found = read(
        "p.html",
        "<html><head><title>Shop</title></head><body><nav>Home</nav><h1>Policies</h1>"
        "<h2>Returns</h2><p>Within <b>30</b> days.<br>Unused.</p><ul><li>with bill</ul>"
        "<h2>Hours</h2><table><tr><th>day</th><th>time</th></tr>"
        "<tr><td>Mon</td><td>9-17</td></tr></table></body></html>",
    )

    assert found.passages == [
        ["Returns\nWithin 30 days.\nUnused.\nwith bill", "Returns", "p Policies"],
        ["day: Mon; time: 9-17", "Hours, row 2", "p Policies"],
    ]


@pytest.mark.parametrize(
    "markup",
    [
        "<script>secret</script>",
        "<style>p{content:'secret'}</style>",
        "<template>secret</template>",
        "<noscript>secret</noscript>",
        "<!-- secret -->",
        "<p hidden>secret</p>",
        '<p aria-hidden="true">secret</p>',
        '<div style="DISPLAY : NONE"><p>secret</p></div>',
        '<p style="visibility:hidden">secret</p>',
        '<p style="opacity:0">secret</p>',
        '<p style="font-size:0">secret</p>',
        '<p style="font-size: 1px; color:red">secret</p>',
        '<p style="position:absolute;left:-9999px">secret</p>',
        '<p style="text-indent:-9999px">secret</p>',
        '<p style="color:#FFF">secret</p>',
        '<p style="color:rgb(255, 255, 255)">secret</p>',
        '<p style="display:/* */none">secret</p>',
        "<style>.off{display:none}</style><p class='off'>secret</p>",
        "<style>@media all{ #x > b {visibility:hidden} }</style><p id=x><b>secret</b></p>",
        '<textarea>secret</textarea><input value="secret">',
        "<style>@charset 'utf-8'; .off{display:none}</style><p class=off>secret</p>",
        "<style>@import url(x.css);.off{display:none}</style><p class=off>secret</p>",
        "<style><!-- .off{display:none} --></style><p class=off>secret</p>",
        "<style>.off, a::before, p:-moz-y{display:none}</style><p class=off>secret</p>",
        '<p style="font-size:0.1px">secret</p>',
        '<p style="opacity:.01">secret</p>',
        '<p style="color:rgba(0, 0, 0, 0)">secret</p>',
        '<p style="color:#ffffff00">secret</p>',
        '<p style="color:#fefefe">secret</p>',
        '<p style="color:hsl(0,0%,100%)">secret</p>',
        '<font color="white">secret</font>',
        '<p style="transform:scale(0, 0)">secret</p>',
        '<p style="position:absolute;left:-99em">secret</p>',
        r'<p style="d\69splay:none">secret</p>',
        '<div style="background:white"><p style="color:white">secret</p></div>',
        "<noframes>secret</noframes>",
        "<svg><text>secret</text></svg>",
        "<p>a\U000e0073\U000e0065\U000e0063</p>",
    ],
)
def test_what_a_page_hides_is_left_out(read: Read, markup: str) -> None:
    found = read("a.html", f"<h1>T</h1><p>shown</p>{markup}<p>shown too</p>")

    told = "".join(found.texts)
    assert "secret" not in told
    assert "\U000e0073" not in told
    assert "shown\n" in told
    assert "shown too" in told


@pytest.mark.parametrize(
    "markup",
    [
        '<p style="font-size:1em;min-width:0">seen</p>',
        '<p style="opacity:0.5">seen</p>',
        '<div style="background:#000"><p style="color:white">seen</p></div>',
        "<details><summary>More</summary>seen</details>",
        "<form><p>seen</p></form>",
        "<style>.x::before{display:none} .y[{display:none}</style><p>seen</p>",
        "<style>@media print{.menu{display:none}}</style><p class=menu>seen</p>",
        '<p style="color:#00f">seen</p>',
        '<p style="color:rgba(0,0,0,.8)">seen</p>',
        '<p style="opacity:.9;font-size:.9em">seen</p>',
    ],
)
def test_what_a_page_shows_is_taken(read: Read, markup: str) -> None:
    assert "seen" in "".join(read("a.html", markup).texts)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            "<tr><th>Cat</th><th>Item</th><th>Price</th></tr>"
            "<tr><td rowspan=2>Hair</td><td>cut</td><td>40</td></tr>"
            "<tr><td>wash</td><td>9</td></tr><tr><td>Nails</td><td>all</td><td>7</td></tr>",
            [
                "Cat: Hair; Item: cut; Price: 40",
                "Cat: Hair; Item: wash; Price: 9",
                "Cat: Nails; Item: all; Price: 7",
            ],
        ),
        (
            "<tr><th>Item</th><th>Child</th><th>Adult</th></tr>"
            "<tr><td>Cut</td><td colspan=2>40</td></tr>"
            "<tr><td colspan=2>Colour</td><td>90</td></tr>",
            ["Item: Cut; Child, Adult: 40", "Item, Child: Colour; Adult: 90"],
        ),
        (
            "<tr><th>Item<th>Price<tr><td>Cut<td>40<tr><td>Wash<td>9",
            ["Item: Cut; Price: 40", "Item: Wash; Price: 9"],
        ),
        (
            "<thead><tr><th>Item<th>Price<tbody><tr><td>Cut<td>40",
            ["Item: Cut; Price: 40"],
        ),
        (
            "<tr><th rowspan=2>Item</th><th colspan=2>Price</th></tr>"
            "<tr><th>Child</th><th>Adult</th></tr><tr><td>Cut</td><td>20</td><td>40</td></tr>",
            ["Item: Cut; Price Child: 20; Price Adult: 40"],
        ),
        (
            "<tr><th>Item</th><th>Price</th></tr><tr><td colspan=x>Cut</td>"
            "<td rowspan=99999999999>40</td></tr><tr><td>Wash</td></tr>",
            ["Item: Cut; Price: 40", "Item: Wash; Price: 40"],
        ),
    ],
)
def test_a_cell_stands_under_the_names_that_a_visitor_sees(
    read: Read, rows: str, expected: list[str]
) -> None:
    assert read("a.html", f"<table>{rows}</table>").texts == expected


def test_a_table_without_end_tags_and_many_rows(read: Read) -> None:
    rows = "".join(f"<tr><td>thing {number}<td>{number}" for number in range(4000))
    found = read("a.html", f"<table><tr><th>name<th>price{rows}</table>")

    assert found.texts[-1] == "name: thing 3999; price: 3999"


def test_a_table_that_only_places_things_is_read_as_text(read: Read) -> None:
    found = read("a.html", "<table><tr><td><h2>Left</h2><table><tr><td>in</table><td>out</table>")

    assert " ".join(found.texts).split() == ["Left", "in", "out"]


def test_a_page_nested_very_deeply(read: Read) -> None:
    found = read("a.html", "<div>" * 20_000 + "bottom")

    assert found.texts == ["bottom"]


def test_pdf_by_page(read: Read, make_pdf: Callable[[list[str]], bytes]) -> None:
    found = read("terms.pdf", make_pdf(["Deliv-\nery takes two days.", "Returns within a week."]))

    assert found.passages == [
        ["Delivery takes two days.", "page 1", "terms"],
        ["Returns within a week.", "page 2", "terms"],
    ]


def test_pdf_that_opens_without_a_password(
    read: Read, make_pdf: Callable[..., bytes], lock_pdf: Callable[..., bytes]
) -> None:
    assert read("a.pdf", lock_pdf(make_pdf(["Printing forbidden."]), "")).texts == [
        "Printing forbidden."
    ]


def test_pdf_with_a_scanned_page_says_which(
    read: Read, make_pdf: Callable[[list[str]], bytes]
) -> None:
    found = read("a.pdf", make_pdf(["One.", "", "Three."]))

    assert found.places == ["page 1", "page 3"]
    assert len(found.notes) == 1
    assert "page 2" in found.notes[0]
