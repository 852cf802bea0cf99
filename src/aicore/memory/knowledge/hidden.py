"""What a page holds and does not show: left out, for it may be there to mislead an assistant."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag
from soupsieve import SelectorSyntaxError

__all__ = ["take_out_hidden"]

_NEVER_SHOWN = """
    script style noscript template head iframe object embed svg canvas audio video nav select
    datalist input textarea button dialog title meta link math
    noframes
"""
_HIDING = re.compile(
    r"display:none|visibility:(?:hidden|collapse)|content-visibility:hidden"
    r"|(?:^|;)opacity:(?:0*\.0\d*|0*\.?0+%?)(?:;|!|$)"
    r"|(?:^|;)font-size:(?:0*\.?0+[a-z%]*|0*\.\d+p[xt]|0*\.[01]\d*r?em|1p[xt])(?:;|!|$)"
    r"|text-indent:-\d{3,}"
    r"|(?:left|right|top|bottom|margin-left|margin-top):-(?:\d{3,}|\d{2,}(?:r?em|vw|vh))"
    r"|(?:^|;)color:(?:transparent|#[0-9a-f]{6}00|#[0-9a-f]{3}0(?![0-9a-f])"
    r"|(?:rgb|hsl)a?\([^)]*/0*\.?0*%?\)|(?:rgb|hsl)a\((?:[^),]*,){3}0*\.?0*%?\))"
    r"|clip:rect\((?:0|1px)|clip-path:inset\((?:50|100)%"
    r"|transform:[^;]*scale(?:3d|x|y)?\(0*\.?0*[,)]"
    r"|(?:^|;)(?:max-)?(?:height|width):0(?:px)?(?:;|!|$)"
)
_WHITE_COLOR = r"(?:white|#fff|(?:#(?:f[b-f]){3})|rgb\((?:25[0-5],?){3}\)|hsl\([^)]*,100%\))"
_WHITE = re.compile(rf"(?:^|;)color:{_WHITE_COLOR}(?:;|!|$)")
_BACKGROUND = re.compile(
    rf"background(?:-color|-image)?:(?!(?:{_WHITE_COLOR}|none|transparent)(?:;|!|$))"
)
_NO_MATTER = re.compile(r"/\*.*?\*/|\s+", re.DOTALL)
_ESCAPE = re.compile(r"\\([0-9a-f]{1,6})\s?")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_NO_RULE = re.compile(
    r"<!--|-->|/\*.*?\*/|@(?:charset|import|namespace)[^;{}]*;"
    r"|@media\s+print\s*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}",
    re.DOTALL | re.IGNORECASE,
)
_COMMA = re.compile(r",(?![^()\[\]]*[)\]])")
_MOST_RULES = 500
_MOST_SELECTOR_CHARACTERS = 500


def take_out_hidden(soup: BeautifulSoup) -> None:
    """Take out of a page what it does not show: scripts, forms, menus, and what its styles hide.

    Styles are those within the page. Text that an element makes white, where nothing around it
    names a background, counts as hidden; so does what only a click would show, but for `details`.
    """
    selectors = list(_hiding_selectors(soup))
    for tag in soup.find_all(_NEVER_SHOWN.split()):
        tag.extract()
    for tag in soup.find_all(_is_hidden):
        tag.extract()
    for selector in selectors:
        for tag in _selected(soup, selector):
            tag.extract()


def _is_hidden(tag: Tag) -> bool:
    if tag.has_attr("hidden") or tag.get("aria-hidden") == "true":
        return True
    style = _plain(tag)
    if tag.name == "font" and tag.has_attr("color"):
        style = f"{style};color:{_squeezed(str(tag['color']))}"
    if not style:
        return False
    if _HIDING.search(style):
        return True
    is_white = bool(_WHITE.search(style))
    return is_white and not any(_BACKGROUND.search(_plain(one)) for one in (tag, *tag.parents))


def _plain(tag: Tag) -> str:
    return _squeezed(str(tag.get("style") or ""))


def _squeezed(style: str) -> str:
    plain = _ESCAPE.sub(lambda found: chr(min(int(found[1], 16), 0xFFFF)), style.lower())
    return _NO_MATTER.sub("", plain)


def _hiding_selectors(soup: BeautifulSoup) -> Iterator[str]:
    sheets = (_NO_RULE.sub(" ", style.get_text()) for style in soup.find_all("style"))
    rules = (rule for sheet in sheets for rule in _RULE.findall(sheet))
    for number, (selector, declarations) in enumerate(rules):
        if number >= _MOST_RULES:
            return
        if len(selector) <= _MOST_SELECTOR_CHARACTERS and _HIDING.search(_squeezed(declarations)):
            # One by one: browsers drop a whole list for a part that they do not know, we do not.
            yield from (one.strip() for one in _COMMA.split(selector))


def _selected(soup: BeautifulSoup, selector: str) -> list[Tag]:
    try:
        return list(soup.select(selector))
    except (SelectorSyntaxError, NotImplementedError):
        return []  # a part of a page that is no element, such as ::before
