"""Whether a draft is still what was planned: what was shown and checked is what goes out."""

from __future__ import annotations

import hashlib

from aicore_tools.errors import Conflict
from aicore_tools.mail.records import Draft, DraftContent

__all__ = ["check_unchanged", "digest_of"]

_DIGEST_CHARS = 32  # 128 bits: nobody makes two drafts with the same one


def digest_of(content: DraftContent) -> str:
    """Give what tells one content of a draft from another: recipients, texts, files."""
    people = [content.sender, *content.to, None, *content.cc, None, *content.bcc]
    files = [(each.name, hashlib.sha256(each.content).hexdigest()) for each in content.files]
    whole = repr((people, content.subject, content.body, content.html, files))
    return hashlib.sha256(whole.encode()).hexdigest()[:_DIGEST_CHARS]


def check_unchanged(draft: Draft, digest: str, version: str = "") -> None:
    """Refuse to send a draft, as it is now, that is not the one planned.

    `digest` is that of the content planned, `version` the draft's then, "" where it had none.

    Raises:
        Conflict: it was changed (`changed_meanwhile`).
    """
    if digest_of(draft.content) != digest or version not in ("", draft.version):
        raise Conflict(
            f"Draft {draft.id} was changed since its plan was made. Nothing was sent.",
            hint="Call again without confirm, and look at the new plan.",
            code="changed_meanwhile",
        )
