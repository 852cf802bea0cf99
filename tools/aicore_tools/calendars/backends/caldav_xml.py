"""The XML of CalDAV: what is asked, and what is answered, read without trusting it.

Requests and properties: RFC 4918 (WebDAV), RFC 4791 (CalDAV), RFC 6638 (scheduling).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree
from xml.parsers import expat

from aicore_tools.calendars.records import Span

__all__ = [
    "CALENDARS",
    "HOME",
    "PRINCIPAL",
    "BadXml",
    "Found",
    "calendar_query",
    "found_in",
    "free_busy_query",
    "name",
]

_D, _C = "DAV:", "urn:ietf:params:xml:ns:caldav"
_SPACES = f'xmlns:d="{_D}" xmlns:c="{_C}"'
_MOST_DEPTH = 50


class BadXml(ValueError):
    """It is no XML, or XML that declares entities or is nested too deep."""


def name(short: str) -> str:
    """Give the full name of `d:href` or `c:calendar-data`."""
    space, _, local = short.partition(":")
    return f"{{{_D if space == 'd' else _C}}}{local}"


def _propfind(*names: str) -> bytes:
    wanted = "".join(f"<{one}/>" for one in names)
    return f"<d:propfind {_SPACES}><d:prop>{wanted}</d:prop></d:propfind>".encode()


PRINCIPAL = _propfind("d:current-user-principal", "d:resourcetype", "c:calendar-home-set")
HOME = _propfind("c:calendar-home-set", "c:calendar-user-address-set", "d:displayname")
CALENDARS = _propfind(
    "d:resourcetype",
    "d:displayname",
    "d:current-user-privilege-set",
    "c:supported-calendar-component-set",
    "c:calendar-timezone",
)


def calendar_query(window: Span) -> bytes:
    """Ask for the events that overlap a window, whole."""
    return (
        f"<c:calendar-query {_SPACES}><d:prop><d:getetag/><c:calendar-data/></d:prop>"
        '<c:filter><c:comp-filter name="VCALENDAR"><c:comp-filter name="VEVENT">'
        f"{_time_range(window)}</c:comp-filter></c:comp-filter></c:filter></c:calendar-query>"
    ).encode()


def free_busy_query(window: Span) -> bytes:
    """Ask when a calendar is taken, where no more than that may be known."""
    return f"<c:free-busy-query {_SPACES}>{_time_range(window)}</c:free-busy-query>".encode()


def _time_range(window: Span) -> str:
    return f'<c:time-range start="{_stamp(window.start)}" end="{_stamp(window.end)}"/>'


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


@dataclass(frozen=True, slots=True)
class Found:
    """One resource of an answer: its href and the properties it has."""

    href: str
    properties: dict[str, ElementTree.Element]

    def text(self, short: str) -> str:
        """Give the text of a property, or of the href in it; empty where there is none."""
        element = self.properties.get(name(short))
        if element is None:
            return ""
        inner = element.find(name("d:href"))
        return ((element if inner is None else inner).text or "").strip()

    def hrefs(self, short: str) -> list[str]:
        """Give the hrefs in a property."""
        element = self.properties.get(name(short))
        return [] if element is None else [one.text or "" for one in element.iter(name("d:href"))]

    def has(self, short: str, *inner: str) -> bool:
        """Say whether a property holds one of the `inner` elements."""
        element = self.properties.get(name(short))
        return element is not None and any(
            element.find(f".//{name(one)}") is not None for one in inner
        )


def found_in(body: bytes) -> Iterator[Found]:
    """Read a multistatus answer; properties that were refused are left out.

    Raises:
        BadXml: it is none.
    """
    root = _parsed(body)
    if root.tag != name("d:multistatus"):
        raise BadXml(f"no multistatus: {root.tag[:80]}")
    for response in root.iter(name("d:response")):
        properties: dict[str, ElementTree.Element] = {}
        for propstat in response.iter(name("d:propstat")):
            status = (propstat.findtext(name("d:status")) or "").split()
            if len(status) > 1 and status[1] == "200":
                for prop in propstat.iter(name("d:prop")):
                    properties |= {element.tag: element for element in prop}
        yield Found(response.findtext(name("d:href")) or "", properties)


def _parsed(body: bytes) -> ElementTree.Element:
    """Parse XML that may declare nothing: entities are how a small text becomes a huge one."""
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MOST_DEPTH:
            raise BadXml("nested too deep")
        builder.start(f"{{{tag}" if "}" in tag else tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(f"{{{tag}" if "}" in tag else tag)

    def refuse(*_: object) -> None:
        raise BadXml("it declares a document type")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.buffer_text = True
    try:
        parser.Parse(body, True)
        return builder.close()
    except (expat.ExpatError, AssertionError) as error:
        raise BadXml(str(error)) from error
