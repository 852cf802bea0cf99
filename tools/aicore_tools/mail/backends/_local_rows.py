"""The tables of the local mailbox, and how mails become rows and rows mails.

`place` orders mails: microseconds since 1970, made unique. Both full-text tables have it as their
row id, so that they give the newest first without sorting, and a window of time is a range.
`mail_words` finds beginnings of words; its `tags` say in which folder a mail is and what it is
like, so that one index answers both. `mail_parts` finds any part of people and subject.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from sqlite3 import Connection, Row
from typing import Any

from aicore_tools.errors import Conflict, NotFound
from aicore_tools.mail import messages
from aicore_tools.mail.records import Mail, MailId, MailRow, ThreadId

__all__ = ["COLUMNS", "MIGRATIONS", "LocalRows", "mail_of", "place_of", "row_of", "seq_of", "tag"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OUT_OF_SIGHT = ("drafts", "trash", "spam")
COLUMNS = (
    "seq, business, place, folder, thread, message_id, sender, recipients, subject, snippet,"
    " unread, starred, has_attachment, is_ours, labels"
)

MIGRATIONS = (
    """
    CREATE TABLE mail (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        business TEXT NOT NULL,
        folder TEXT NOT NULL CHECK (folder IN ('inbox', 'sent', 'drafts')),
        thread INTEGER NOT NULL,
        at TEXT NOT NULL,
        message_id TEXT NOT NULL,
        sender TEXT NOT NULL,
        recipients TEXT NOT NULL,
        subject TEXT NOT NULL,
        -- the three case-folded, the sender first, for conditions on a part
        folded_sender TEXT NOT NULL,
        folded_recipients TEXT NOT NULL,
        folded_subject TEXT NOT NULL,
        snippet TEXT NOT NULL,
        unread INTEGER NOT NULL,
        has_attachment INTEGER NOT NULL,
        draft TEXT,
        raw BLOB NOT NULL
    ) STRICT;
    CREATE INDEX mail_order ON mail (business, at, seq);
    CREATE INDEX mail_thread ON mail (business, thread, at, seq);
    CREATE INDEX mail_message_id ON mail (business, message_id);
    CREATE VIRTUAL TABLE mail_fts USING fts5 (
        words, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
    );
    """,
    """
    CREATE TABLE letter (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        business TEXT NOT NULL,
        place INTEGER NOT NULL UNIQUE,
        folder TEXT NOT NULL,
        thread INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        sender TEXT NOT NULL,
        recipients TEXT NOT NULL,
        subject TEXT NOT NULL,
        folded_sender TEXT NOT NULL,
        folded_recipients TEXT NOT NULL,
        folded_subject TEXT NOT NULL,
        snippet TEXT NOT NULL,
        unread INTEGER NOT NULL,
        starred INTEGER NOT NULL DEFAULT 0,
        has_attachment INTEGER NOT NULL,
        is_ours INTEGER NOT NULL DEFAULT 0, -- written here: 1 a draft, 2 sent
        labels TEXT NOT NULL DEFAULT '[]'
    ) STRICT;
    -- apart, so that reading rows never passes over the bytes of the mails
    CREATE TABLE letter_bytes (
        seq INTEGER PRIMARY KEY,
        raw BLOB NOT NULL
    ) STRICT;
    CREATE VIRTUAL TABLE mail_words USING fts5 (
        words, tags, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
    );
    CREATE VIRTUAL TABLE mail_parts USING fts5 (
        folded_sender, folded_recipients, folded_subject,
        content = 'letter', content_rowid = 'place', detail = 'column',
        tokenize = 'trigram case_sensitive 1'
    );
    CREATE TRIGGER letter_in AFTER INSERT ON letter BEGIN
        INSERT INTO mail_parts (rowid, folded_sender, folded_recipients, folded_subject)
        VALUES (new.place, new.folded_sender, new.folded_recipients, new.folded_subject);
    END;
    CREATE TRIGGER letter_changed
    AFTER UPDATE OF place, folded_sender, folded_recipients, folded_subject ON letter BEGIN
        INSERT INTO mail_parts
            (mail_parts, rowid, folded_sender, folded_recipients, folded_subject)
        VALUES ('delete', old.place, old.folded_sender, old.folded_recipients, old.folded_subject);
        INSERT INTO mail_parts (rowid, folded_sender, folded_recipients, folded_subject)
        VALUES (new.place, new.folded_sender, new.folded_recipients, new.folded_subject);
    END;
    INSERT INTO letter (seq, business, place, folder, thread, message_id, sender, recipients,
        subject, folded_sender, folded_recipients, folded_subject, snippet, unread,
        has_attachment, is_ours)
    SELECT seq, business,
        CAST(round((julianday(at) - 2440587.5) * 86400000) AS INTEGER) * 1000
            + row_number() OVER (PARTITION BY at ORDER BY seq),
        folder, thread, message_id, sender, recipients, subject, folded_sender,
        folded_recipients, folded_subject, snippet, unread, has_attachment,
        CASE folder WHEN 'drafts' THEN 1 WHEN 'sent' THEN 2 ELSE 0 END
    FROM mail;
    INSERT INTO letter_bytes (seq, raw) SELECT seq, raw FROM mail;
    INSERT INTO mail_words (rowid, words, tags)
    SELECT letter.place, mail_fts.words,
        'xb' || lower(hex(business)) || ' xf' || lower(hex(folder))
            || iif(folder = 'drafts', '', ' xm')
            || iif(unread, ' xu', ' xr') || iif(has_attachment, ' xa', ' xn')
    FROM letter JOIN mail_fts ON mail_fts.rowid = letter.seq;
    DROP TABLE mail_fts;
    DROP TABLE mail;
    CREATE INDEX letter_order ON letter (business, place);
    CREATE INDEX letter_folder ON letter (business, folder, place);
    CREATE VIRTUAL TABLE mail_terms USING fts5vocab (mail_words, instance);
    CREATE INDEX letter_thread ON letter (business, thread, place);
    CREATE INDEX letter_message_id ON letter (business, message_id);
    """,
)


def place_of(moment: datetime) -> int:
    """Give where a moment is in the order of mails."""
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def tag(kind: str, name: str) -> str:
    """Give the word that stands for a business (`b`), folder (`f`) or label (`l`)."""
    return f"x{kind}{name.encode().hex()}"


def seq_of(text: str) -> int | None:
    """Read the number of a mail or thread; None where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def row_of(row: Row) -> MailRow:
    """Read a row of `letter`."""
    return MailRow(
        id=MailId(str(row["seq"])),
        thread=ThreadId(f"t{row['thread']}"),
        folder=row["folder"],
        sender=row["sender"],
        to=row["recipients"],
        subject=row["subject"],
        at=(_EPOCH + timedelta(microseconds=row["place"])).replace(microsecond=0),
        is_unread=bool(row["unread"]),
        has_attachment=bool(row["has_attachment"]),
        snippet=row["snippet"],
        is_starred=bool(row["starred"]),
        labels=json.loads(row["labels"]),
    )


def mail_of(row: Row, raw: bytes) -> Mail:
    """Put a row and the bytes of its mail together."""
    return Mail(row=row_of(row), message_id=row["message_id"], raw=raw)


class LocalRows:
    """The mails of one business, inside one transaction. `now` is the moment of the change."""

    def __init__(self, connection: Connection, business: str, now: datetime) -> None:
        self._connection = connection
        self._business = business
        self._now = now

    def find(self, mail_id: str) -> Row:
        """Find a mail by id or Message-ID.

        Raises:
            NotFound: there is none.
        """
        row: Row | None = self._connection.execute(
            f"SELECT {COLUMNS} FROM letter"  # noqa: S608 - fixed text
            " WHERE business = ? AND (seq = ? OR message_id = ?) ORDER BY seq LIMIT 1",
            (self._business, seq_of(mail_id), mail_id or None),
        ).fetchone()
        if row is None:
            raise NotFound(f"There is no mail {mail_id}.", hint="Find its id with mail_search.")
        return row

    def open_draft(self, draft_id: str) -> Row:
        """Find a draft that was not sent.

        Raises:
            NotFound: there is none.
            Conflict: it was sent.
        """
        row = self.find(draft_id)
        if row["is_ours"] == 2:
            raise Conflict(
                f"Draft {draft_id} was sent before, as {row['message_id']}.",
                hint="Make a new draft to send another mail.",
                code="already_sent",
            )
        if row["folder"] != "drafts":
            raise NotFound(f"{draft_id} is no draft.", hint="Make one with mail_draft.")
        return row

    def thread(self, number: int | None) -> list[Row]:
        """Give the rows of a thread, oldest first, but for those out of sight."""
        return self._connection.execute(
            f"SELECT {COLUMNS} FROM letter WHERE business = ? AND thread = ?"  # noqa: S608 - fixed text
            f" AND folder NOT IN {_OUT_OF_SIGHT} ORDER BY place",
            (self._business, number),
        ).fetchall()

    def raw(self, seq: int) -> bytes:
        """Give the bytes of a mail that is there."""
        row = self._connection.execute("SELECT raw FROM letter_bytes WHERE seq = ?", (seq,))
        content: bytes = row.fetchone()["raw"]
        return content

    def insert(
        self, raw: bytes, *, folder: str, is_ours: int = 0, thread: int | None = None
    ) -> int:
        """Put a mail in; gives its number. Without a `thread` it joins that of what it answers."""
        parsed = messages.parse(raw)
        if thread is None:
            thread = self._thread_of(parsed.references)
        seq = self._connection.execute(
            "INSERT INTO letter (business, place, folder, thread, message_id, sender, recipients,"
            " subject, folded_sender, folded_recipients, folded_subject, snippet, unread,"
            " has_attachment, is_ours)"
            " VALUES (?, ?, ?, ?, '', '', '', '', '', '', '', '', ?, 0, ?)",
            (self._business, self._free_place(), folder, thread or 0, folder == "inbox", is_ours),
        ).lastrowid
        if seq is None:
            raise AssertionError("an INSERT has a row id")
        if thread is None:
            self._connection.execute("UPDATE letter SET thread = seq WHERE seq = ?", (seq,))
        self._set_bytes(seq, parsed, raw)
        return seq

    def replace(self, seq: int, raw: bytes, *, folder: str, is_ours: int) -> None:
        """Put other bytes and another folder in a mail's place, as of now."""
        old = self._connection.execute("SELECT place FROM letter WHERE seq = ?", (seq,)).fetchone()
        self._connection.execute("DELETE FROM mail_words WHERE rowid = ?", (old["place"],))
        self._connection.execute(
            "UPDATE letter SET place = ?, folder = ?, is_ours = ? WHERE seq = ?",
            (self._free_place(), folder, is_ours, seq),
        )
        self._set_bytes(seq, messages.parse(raw), raw)

    def change(self, row: Row, **columns: Any) -> None:
        """Set folder, unread, starred or labels of a mail."""
        names = ", ".join(f"{name} = ?" for name in columns)
        self._connection.execute(
            f"UPDATE letter SET {names} WHERE seq = ?",  # noqa: S608 - our own column names
            (*columns.values(), row["seq"]),
        )
        changed = self.find(str(row["seq"]))
        self._connection.execute(
            "UPDATE mail_words SET tags = ? WHERE rowid = ?", (_tags(changed), row["place"])
        )

    def _set_bytes(self, seq: int, parsed: messages.Parsed, raw: bytes) -> None:
        """Set a mail's bytes and everything that is read from them."""
        sender = str(parsed.sender)
        recipients = ", ".join(str(address) for address in (*parsed.to, *parsed.cc))
        self._connection.execute(
            "UPDATE letter SET message_id = ?, sender = ?, recipients = ?, subject = ?,"
            " folded_sender = ?, folded_recipients = ?, folded_subject = ?, snippet = ?,"
            " has_attachment = ? WHERE seq = ?",
            (
                *(parsed.message_id, sender, recipients, parsed.subject),
                *(sender.casefold(), recipients.casefold(), parsed.subject.casefold()),
                *(messages.snippet_of(parsed.text), bool(parsed.files), seq),
            ),
        )
        self._connection.execute(
            "INSERT INTO letter_bytes (seq, raw) VALUES (?, ?)"
            " ON CONFLICT (seq) DO UPDATE SET raw = excluded.raw",
            (seq, raw),
        )
        names = " ".join(file.name for file in parsed.files)
        row = self.find(str(seq))
        self._connection.execute(
            "INSERT INTO mail_words (rowid, words, tags) VALUES (?, ?, ?)",
            (
                row["place"],
                "\n".join((parsed.subject, sender, recipients, names, parsed.text)),
                _tags(row),
            ),
        )

    def _free_place(self) -> int:
        """Give the place of now, or the next that is free."""
        place = place_of(self._now)
        while self._connection.execute("SELECT 1 FROM letter WHERE place = ?", (place,)).fetchone():
            place += 1
        return place

    def _thread_of(self, references: Sequence[str]) -> int | None:
        for message_id in reversed(references):
            row = self._connection.execute(
                "SELECT thread FROM letter WHERE business = ? AND message_id = ? LIMIT 1",
                (self._business, message_id),
            ).fetchone()
            if row is not None:
                return int(row["thread"])
        return None


def _tags(row: Row) -> str:
    words = [tag("b", row["business"]), tag("f", row["folder"])]
    words += [tag("l", label.casefold()) for label in json.loads(row["labels"])]
    words += ["xu" if row["unread"] else "xr", "xa" if row["has_attachment"] else "xn"]
    if row["folder"] not in _OUT_OF_SIGHT:
        words.append("xm")
    return " ".join(words)
