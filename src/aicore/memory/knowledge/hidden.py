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
"""
_HIDING = re.compile(
    r"display:none|visibility:(?:hidden|collapse)|content-visibility:hidden"
    r"|(?:^|;)opacity:0?\.?0+(?:%|;|!|$)|(?:^|;)font-size:(?:0*\.?0+[a-z%]*|1p[xt])(?:;|!|$)"
    r"|text-indent:-\d{3,}|(?:left|right|top|bottom|margin-left|margin-top):-\d{3,}"
    r"|(?:^|;)color:transparent|clip:rect\((?:0|1px)|clip-path:inset\((?:50|100)%"
    r"|transform:scale\(0\)|(?:^|;)(?:max-)?(?:height|width):0(?:px)?(?:;|!|$)"
)
_WHITE = re.compile(r"(?:^|;)color:(?:white|#fff(?:fff)?|rgb\(255,255,255\))(?:;|!|$)")
_BACKGROUND = re.compile(r"background(?:-color|-image)?:")
_NO_MATTER = re.compile(r"/\*.*?\*/|\s+", re.DOTALL)
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
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
    if not style:
        return False
    if _HIDING.search(style):
        return True
    is_white = bool(_WHITE.search(style))
    return is_white and not any(_BACKGROUND.search(_plain(one)) for one in (tag, *tag.parents))


def _plain(tag: Tag) -> str:
    return _squeezed(str(tag.get("style") or ""))


def _squeezed(style: str) -> str:
    return _NO_MATTER.sub("", style.lower())


def _hiding_selectors(soup: BeautifulSoup) -> Iterator[str]:
    rules = (rule for style in soup.find_all("style") for rule in _RULE.findall(style.get_text()))
    for number, (selector, declarations) in enumerate(rules):
        if number >= _MOST_RULES:
            return
        if len(selector) <= _MOST_SELECTOR_CHARACTERS and _HIDING.search(_squeezed(declarations)):
            yield selector.strip()


def _selected(soup: BeautifulSoup, selector: str) -> list[Tag]:
    try:
        return list(soup.select(selector))
    except (SelectorSyntaxError, NotImplementedError):
        return []  # a part of a page that is no element, such as ::before
