"""Which types of record a business has, with their fields and keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from aicore_tools.crm.fields import KEY_FIELDS, SYSTEM_FIELDS, TYPES, Field, nearest
from aicore_tools.crm.records import RecordType
from aicore_tools.errors import BackendConfigError, InvalidInput

__all__ = ["STANDARD", "Catalogue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The types of one directory: type → field → what it is, and each type's key fields.

    `keys` name a record, the strongest first. Families share a phone: it is the weakest. `denied`
    are types that are there and may not be read, and what says so.
    """

    types: Mapping[RecordType, Mapping[str, Field]]
    keys: Mapping[RecordType, tuple[str, ...]]
    denied: Mapping[RecordType, BackendConfigError] = dataclasses.field(default_factory=dict)

    def fields(self, record_type: RecordType) -> Mapping[str, Field]:
        """Give the fields of a type.

        Raises:
            InvalidInput: there is no such type (code `unknown_object`); names the nearest.
            BackendConfigError: it may not be read.
        """
        if (denied := self.denied.get(record_type)) is not None:
            raise BackendConfigError(denied.message, hint=denied.hint)
        found = self.types.get(record_type)
        if found is None:
            raise InvalidInput(
                f"There is no type {record_type!r}.{nearest(record_type, self.types)}",
                hint=f"Types: {', '.join(self.types)}.",
                code="unknown_object",
            )
        return found

    def field(self, record_type: RecordType, name: str, *, with_system: bool = False) -> Field:
        """Give the field of that name.

        Raises:
            InvalidInput: there is no such type or field; the message names the nearest.
        """
        known = self.fields(record_type)
        found = known.get(name) or (SYSTEM_FIELDS.get(name) if with_system else None)
        if found is None:
            names = [*known, *(SYSTEM_FIELDS if with_system else ())]
            raise InvalidInput(
                f"A {record_type} has no field {name!r}.{nearest(name, names)}",
                hint=f"Its fields: {', '.join(names)}.",
                code="unknown_field",
            )
        return found


STANDARD = Catalogue(types=TYPES, keys=KEY_FIELDS)
