"""Where a mail is on an IMAP server, and how its folders and keywords are called by people."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

from imap_tools.folder import FolderInfo
from imap_tools.imap_utf7 import utf7_decode

from aicore_tools.errors import InvalidInput, NotFound
from aicore_tools.mail.records import MailId, Role

__all__ = [
    "DRAFT_HEADER",
    "Folders",
    "Place",
    "draft_handle",
    "is_handle",
    "keyword_of",
    "label_of",
]

DRAFT_HEADER = "X-Aicore-Draft"
"""Names a draft through all its versions; its value is a handle."""

_HANDLE = re.compile(r"[du][0-9a-f]{24}")
_PLACE = re.compile(r"(\d{1,10})\.(\d{1,10})\.(.+)", re.DOTALL)
_SPECIAL_USE: dict[str, Role] = {  # RFC 6154
    "\\sent": "sent",
    "\\drafts": "drafts",
    "\\archive": "archive",
    "\\trash": "trash",
    "\\junk": "spam",
}
_USUAL_NAMES: dict[Role, tuple[str, ...]] = {
    "inbox": ("INBOX",),
    "sent": ("Sent", "Sent Items", "Sent Messages", "Gesendet", "Gesendete Elemente"),
    "drafts": ("Drafts", "Entwürfe"),
    "archive": ("Archive", "Archives", "Archiv"),
    "trash": ("Trash", "Deleted Items", "Deleted Messages", "Papierkorb", "Gelöschte Elemente"),
    "spam": ("Junk", "Spam", "Junk Email", "Junk-E-Mail"),
}
_OUT_OF_SIGHT = ("drafts", "trash", "spam")
_ATOM = re.compile(r"[A-Za-z0-9_.-]+")
MAX_KEYWORD_CHARS = 50
"""What Dovecot takes by default (mail_max_keyword_length)."""


class Place(NamedTuple):
    """A mail's folder (as the server calls it), that folder's UIDVALIDITY, and the mail's UID."""

    folder: str
    validity: int
    uid: int

    @property
    def id(self) -> MailId:
        """Write it as the id of the mail."""
        return MailId(f"{self.uid}.{self.validity}.{self.folder}")

    @classmethod
    def of(cls, mail_id: str) -> Place:
        """Read what `id` wrote.

        Raises:
            NotFound: it is no id of a mail.
        """
        match = _PLACE.fullmatch(mail_id)
        if match is None:
            raise NotFound(f"There is no mail {mail_id}.", hint="Find its id with mail_search.")
        return cls(match[3], int(match[2]), int(match[1]))


def is_handle(mail_id: str) -> bool:
    """Tell whether an id is the handle of a draft."""
    return _HANDLE.fullmatch(mail_id) is not None


def draft_handle(draft_id: str) -> str:
    """Give the handle of a draft: for one of another program, made from where it was first."""
    if is_handle(draft_id):
        return draft_id
    return "u" + hashlib.sha256(draft_id.encode()).hexdigest()[:24]


def keyword_of(label: str) -> str:
    """Write a label as an IMAP keyword: an atom, with modified UTF-7 for all that is none.

    Raises:
        InvalidInput: it is too long for one.
    """
    parts = re.split(r"([A-Za-z0-9_.-]+)", label)
    written = "".join(part if _ATOM.fullmatch(part) else _shifted(part) for part in parts if part)
    if len(written) > MAX_KEYWORD_CHARS:
        raise InvalidInput(
            "label: this mail server takes shorter ones only.",
            hint=f"At most {MAX_KEYWORD_CHARS} plain letters; others count about three.",
        )
    return written


def label_of(keyword: str) -> str:
    """Read a keyword as people wrote the label."""
    try:
        return utf7_decode(keyword.encode("ascii"))
    except (UnicodeError, ValueError):
        return keyword


def _shifted(text: str) -> str:
    """Write text in base64, as modified UTF-7 does with what is not ASCII; here also ASCII."""
    packed = base64.b64encode(text.encode("utf-16be")).rstrip(b"=").replace(b"/", b",")
    return f"&{packed.decode('ascii')}-"


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of an account that can hold mail, by role and by name."""

    infos: Sequence[FolderInfo]

    def named(self, role: Role) -> str | None:
        """Give the server's name of the folder with that role; None where it has none."""
        if role == "inbox":
            return "INBOX"
        for info in self.infos:
            if any(_SPECIAL_USE.get(flag.lower()) == role for flag in info.flags):
                return str(info.name)
        for info in self.infos:
            last = info.name.rpartition(info.delim)[2] if info.delim else info.name
            if last in _USUAL_NAMES[role]:
                return str(info.name)
        return None

    def role(self, name: str) -> Role | None:
        """Give the role of a folder; None where it has none."""
        found: Role | None = next((r for r in get_args(Role) if self.named(r) == name), None)
        return found

    def shown(self, name: str) -> str:
        """Give what people call a folder: its role, or its name."""
        return self.role(name) or name

    @property
    def names(self) -> Sequence[str]:
        """The server's names, the inbox first."""
        rest = [str(info.name) for info in self.infos if info.name.upper() != "INBOX"]
        return ["INBOX", *rest]

    @property
    def searched(self) -> Sequence[str]:
        """Those that are searched where none is named: without drafts, trash and spam."""
        left_out = {self.named(role) for role in get_args(Role) if role in _OUT_OF_SIGHT}
        everything = {i.name for i in self.infos if "\\all" in {f.lower() for f in i.flags}}
        return [name for name in self.names if name not in left_out | everything]

    def usual_name(self, role: Role) -> str:
        """Give the name a folder with that role is made by."""
        return _USUAL_NAMES[role][0]
