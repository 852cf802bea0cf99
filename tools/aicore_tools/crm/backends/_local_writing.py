"""The changes of the local CRM. All run inside one transaction of the store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from sqlite3 import Connection
from typing import Any

from aicore_tools.crm.backends._local_reading import find
from aicore_tools.crm.backends._local_search import MAX_INDEXED_CHARS, scope_word, seq_of
from aicore_tools.crm.catalogue import Catalogue
from aicore_tools.crm.records import (
    Archive,
    Entry,
    OnMatch,
    RecordId,
    RecordType,
    Ref,
    Status,
    Upsert,
)
from aicore_tools.errors import InvalidInput, NotFound

__all__ = ["Writer"]


class _Refused(Exception):
    """One record of a batch cannot be written; the sentence says why."""


class Writer:
    """Writes on behalf of `by`, at the time `at`, for one business."""

    def __init__(
        self,
        connection: Connection,
        catalogue: Catalogue,
        *,
        business: str,
        at: str,
        by: str | None,
    ) -> None:
        self._connection = connection
        self._keys = catalogue.keys
        self._business = business
        self._at = at
        self._by = by

    def upsert(self, record_type: RecordType, item: Upsert, on_match: OnMatch) -> dict[str, Any]:
        """Create or change one record; gives the fields of an UpsertResult as JSON."""
        try:
            self._require(item.links)
            seq = self._match(record_type, item)
            if seq is None:
                return self._created(record_type, item)
            if on_match == "error":
                return {"status": "error", "error": f"{record_type}:{seq} has this key already."}
            if on_match == "skip":
                return _result("skipped", seq)
            changed = self._change(record_type, seq, item.fields)
            is_linked = [self.link(Ref(record_type, _id(seq)), ref) for ref in item.links]
        except (_Refused, NotFound) as refusal:
            return {"status": "error", "error": str(refusal)}
        status: Status = "updated" if changed or any(is_linked) else "unchanged"
        return {**_result(status, seq, list(changed)), "changes": changed or None}

    def log(self, entry: Entry) -> dict[str, Any]:
        """Write a note or task, or change a task; gives the fields of a Logged as JSON."""
        self._require(entry.about)
        fields: dict[str, Any] = {"text": entry.text, "owner": entry.owner}
        record_type: RecordType = "note"
        if entry.kind == "task":
            record_type = "task"
            fields |= {"due": entry.due, "is_done": entry.is_done}
            if entry.is_done:
                fields["done_at"] = entry.at or self._at
            elif entry.task_id is None:
                fields["is_done"] = False
        else:
            fields |= {"kind": entry.kind, "at": entry.at or self._at}
        given = {name: value for name, value in fields.items() if value is not None}
        if entry.task_id is not None:
            seq, status = self._change_task(entry.task_id, given)
        else:
            seq, status = self._insert(record_type, given), "created"
        for ref in entry.about:
            self.link(Ref(record_type, _id(seq)), ref)
        now = self._fields(seq)
        return {
            "id": str(seq),
            "kind": entry.kind,
            "status": status,
            "about": [str(ref) for ref in entry.about],
            "due": now.get("due"),
            "is_done": now.get("is_done"),
        }

    def link(self, a: Ref, b: Ref, *, label: str | None = None) -> bool:
        """Link two records; a label of None keeps the one there is. Gives whether it changed."""
        low, high = sorted((self._live(a), self._live(b)))
        if low == high:
            return False
        row = self._connection.execute(
            "SELECT label FROM link WHERE business = ? AND low = ? AND high = ?",
            (self._business, low, high),
        ).fetchone()
        if row is not None and label in (None, row["label"]):
            return False
        self._connection.execute(
            "INSERT OR REPLACE INTO link (business, low, high, label) VALUES (?, ?, ?, ?)",
            (self._business, low, high, label or ""),
        )
        return True

    def unlink(self, a: Ref, b: Ref) -> bool:
        """Remove the link of two records; gives whether there was one."""
        low, high = sorted((self._live(a), self._live(b)))
        return bool(
            self._connection.execute(
                "DELETE FROM link WHERE business = ? AND low = ? AND high = ?",
                (self._business, low, high),
            ).rowcount
        )

    def archive(self, archive: Archive) -> dict[str, Any]:
        """Take records away, into another one if asked; gives the fields of an Archived as JSON."""
        seqs = [self._ever(Ref(archive.type, record_id)) for record_id in archive.ids]
        target = None
        if archive.merge_into is not None:
            target = self._live(Ref(archive.type, archive.merge_into))
            if target in seqs:
                raise InvalidInput("A record cannot be merged into itself.")
        for seq in dict.fromkeys(seqs):
            if self._is_live(seq):
                self._take_away(archive.type, seq)
                if target is not None:
                    self._take_over(archive.type, seq, target)
        return {
            "type": archive.type,
            "ids": [str(seq) for seq in seqs],
            "merged_into": None if target is None else str(target),
        }

    def _take_away(self, record_type: RecordType, seq: int) -> None:
        self._connection.execute("UPDATE record SET archived = ? WHERE seq = ?", (self._at, seq))
        self._unindex(record_type, seq, self._fields(seq))
        self._note_change(seq, {"archived": (None, self._at)})

    def _take_over(self, record_type: RecordType, source: int, target: int) -> None:
        """Give `target` the links of `source`, and the fields it has no value for itself."""
        present = self._fields(target)
        lacking = {k: v for k, v in self._fields(source).items() if k not in present}
        self._change(record_type, target, lacking)
        self._note_change(target, {"merged": (None, f"{record_type}:{source}")})
        linked = self._connection.execute(
            "SELECT CASE low WHEN ? THEN high ELSE low END AS other, label FROM link"
            " WHERE business = ? AND (low = ? OR high = ?)",
            (source, self._business, source, source),
        ).fetchall()
        for row in linked:
            if row["other"] != target:
                low, high = sorted((target, row["other"]))
                self._connection.execute(
                    "INSERT OR IGNORE INTO link (business, low, high, label) VALUES (?, ?, ?, ?)",
                    (self._business, low, high, row["label"]),
                )

    def _match(self, record_type: RecordType, item: Upsert) -> int | None:
        """Find the record that is meant, or None to create one."""
        if item.id is not None:
            return self._live(Ref(record_type, item.id))
        if item.key is not None:
            key, sought = item.key
            seqs = self._having(record_type, key, sought)
            return _only(seqs, record_type, key) if seqs else None
        for field in self._keys[record_type]:
            value = item.fields.get(field)
            if value is None:
                continue
            seqs = [
                seq
                for seq in self._having(record_type, field, value)
                if self._is_same(seq, record_type, item.fields, field)
            ]
            if seqs:
                return _only(seqs, record_type, field)
        return None

    def _having(self, record_type: RecordType, field: str, value: str) -> list[int]:
        found = find(self._connection, self._business, record_type, field, value)
        return [int(record_id) for record_id in found]

    def _is_same(
        self, seq: int, record_type: RecordType, fields: Mapping[str, Any], matched: str
    ) -> bool:
        """Say whether the stronger keys agree: two people may share a phone, not an e-mail.

        By a phone alone somebody of another name is another person, not to be overwritten.
        """
        present = self._fields(seq)
        order = self._keys[record_type]
        names = [text.casefold() for text in (fields.get("name"), present.get("name")) if text]
        if matched == "phone" and len(set(names)) > 1:
            return False
        return all(
            fields.get(key) is None or present.get(key) is None or fields[key] == present[key]
            for key in order[: order.index(matched)]
        )

    def _created(self, record_type: RecordType, item: Upsert) -> dict[str, Any]:
        fields = {name: value for name, value in item.fields.items() if value is not None}
        if item.key is not None:
            field, value = item.key
            fields.setdefault(field, value)
        if not fields:
            raise _Refused("There is nothing to store: give at least one field in set.")
        self._refuse_taken(record_type, fields, None)
        seq = self._insert(record_type, fields)
        for ref in item.links:
            self.link(Ref(record_type, _id(seq)), ref)
        changes = {name: (None, value) for name, value in fields.items()}
        return {**_result("created", seq), "changes": changes}

    def _insert(self, record_type: RecordType, fields: Mapping[str, Any]) -> int:
        cursor = self._connection.execute(
            "INSERT INTO record (business, type, fields, folded, created, updated)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (self._business, record_type, *_encoded(fields), self._at, self._at),
        )
        seq = cursor.lastrowid
        if seq is None:
            raise AssertionError("an INSERT has a row id")
        self._index(record_type, seq, fields)
        self._note_change(seq, {name: (None, value) for name, value in fields.items()})
        return seq

    def _change(
        self, record_type: RecordType, seq: int, wanted: Mapping[str, Any]
    ) -> dict[str, tuple[Any, Any]]:
        """Set fields, clearing those that are None; gives those that changed, before and after."""
        before = self._fields(seq)
        changes = {
            name: (before.get(name), value)
            for name, value in wanted.items()
            if before.get(name) != value
        }
        if not changes:
            return {}
        after = {**before, **{name: new for name, (_, new) in changes.items()}}
        after = {name: value for name, value in after.items() if value is not None}
        if not after:
            raise _Refused("This would clear every field; archive the record instead.")
        self._refuse_taken(record_type, {name: new for name, (_, new) in changes.items()}, seq)
        self._connection.execute(
            "UPDATE record SET fields = ?, folded = ?, updated = ? WHERE seq = ?",
            (*_encoded(after), self._at, seq),
        )
        self._unindex(record_type, seq, before)
        self._index(record_type, seq, after)
        self._note_change(seq, changes)
        return changes

    def _change_task(self, task_id: RecordId, given: Mapping[str, Any]) -> tuple[int, Status]:
        seq = self._live(Ref("task", task_id))
        wanted = dict(given)
        if given.get("is_done") is False:
            wanted["done_at"] = None
        elif self._fields(seq).get("is_done"):
            wanted.pop("done_at", None)
        changed = self._change("task", seq, wanted)
        return seq, "updated" if changed else "unchanged"

    def _refuse_taken(
        self, record_type: RecordType, fields: Mapping[str, Any], seq: int | None
    ) -> None:
        """Keep keys unique, but for phones, which families and offices share."""
        for key in self._keys[record_type]:
            value = fields.get(key)
            if value is None or key in ("phone", "domain"):
                continue
            others = find(self._connection, self._business, record_type, key, str(value))
            taken = [other for other in others if other != str(seq)]
            if taken:
                raise _Refused(f"{record_type}:{taken[0]} has this {key} already.")

    def _index(self, record_type: RecordType, seq: int, fields: Mapping[str, Any]) -> None:
        """Write what finds a record: its keys, its values, its words and their parts."""
        scope = (self._business, record_type)
        self._connection.executemany(
            "INSERT INTO record_key (business, type, field, value, seq) VALUES (?, ?, ?, ?, ?)",
            [
                (*scope, key, str(fields[key]).casefold(), seq)
                for key in self._keys[record_type]
                if key in fields
            ],
        )
        self._connection.executemany(
            "INSERT INTO record_value (business, type, field, value, seq) VALUES (?, ?, ?, ?, ?)",
            [(*scope, name, _indexed(value), seq) for name, value in fields.items()],
        )
        words = " ".join(value for value in fields.values() if isinstance(value, str))
        self._connection.execute(
            "INSERT INTO record_words (rowid, words, scope) VALUES (?, ?, ?)",
            (seq, words, scope_word(*scope)),
        )
        self._connection.execute(
            "INSERT INTO record_parts (rowid, words) VALUES (?, ?)",
            (seq, " ".join(str(value) for value in fields.values()).casefold()),
        )

    def _unindex(self, record_type: RecordType, seq: int, fields: Mapping[str, Any]) -> None:
        """Take away what finds a record that has these fields."""
        self._connection.executemany(
            "DELETE FROM record_value"
            " WHERE business = ? AND type = ? AND field = ? AND value = ? AND seq = ?",
            [
                (self._business, record_type, name, _indexed(value), seq)
                for name, value in fields.items()
            ],
        )
        for table, column in _INDEXES:
            self._connection.execute(
                f"DELETE FROM {table} WHERE {column} = ?",  # noqa: S608 - fixed text
                (seq,),
            )

    def _note_change(self, seq: int, changes: Mapping[str, tuple[Any, Any]]) -> None:
        self._connection.execute(
            "INSERT INTO change (business, record, at, by, fields) VALUES (?, ?, ?, ?, ?)",
            (self._business, seq, self._at, self._by, _json(changes)),
        )

    def _fields(self, seq: int) -> dict[str, Any]:
        row = self._connection.execute(
            "SELECT fields FROM record WHERE seq = ? AND business = ?", (seq, self._business)
        ).fetchone()
        fields: dict[str, Any] = json.loads(row["fields"])
        return fields

    def _require(self, refs: Any) -> None:
        for ref in refs:
            self._live(ref)

    def _live(self, ref: Ref) -> int:
        seq = self._ever(ref)
        if not self._is_live(seq):
            raise NotFound(f"There is no {ref}.", hint="Find its id with crm_search.")
        return seq

    def _ever(self, ref: Ref) -> int:
        """Give the row of a record, archived or not."""
        row = self._connection.execute(
            "SELECT seq FROM record WHERE seq = ? AND business = ? AND type = ?",
            (seq_of(ref.id), self._business, ref.type),
        ).fetchone()
        if row is None:
            raise NotFound(f"There is no {ref}.", hint="Find its id with crm_search.")
        return int(row["seq"])

    def _is_live(self, seq: int) -> bool:
        row = self._connection.execute(
            "SELECT archived FROM record WHERE seq = ? AND business = ?", (seq, self._business)
        ).fetchone()
        return row["archived"] is None


_INDEXES = (
    ("record_key", "seq"),
    ("record_words", "rowid"),
    ("record_parts", "rowid"),
)


def _indexed(value: Any) -> Any:
    return value.casefold()[:MAX_INDEXED_CHARS] if isinstance(value, str) else value


def _id(seq: int) -> RecordId:
    return RecordId(str(seq))


def _only(seqs: Sequence[int], record_type: RecordType, field: str) -> int:
    if len(seqs) > 1:
        named = ", ".join(str(seq) for seq in seqs[:5])
        raise _Refused(f"Several {record_type} records have this {field}: {named}. Give an id.")
    return seqs[0]


def _result(status: Status, seq: int, changed: list[str] | None = None) -> dict[str, Any]:
    return {"status": status, "id": str(seq), "changed": changed or None}


def _encoded(fields: Mapping[str, Any]) -> tuple[str, str]:
    folded = {
        name: value.casefold() if isinstance(value, str) else value
        for name, value in fields.items()
    }
    return _json(fields), _json(folded)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
