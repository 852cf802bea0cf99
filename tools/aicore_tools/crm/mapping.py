"""The declared map between our fields and a vendor's, read from a TOML file.

    [contact.fields]
    birthday = "date_of_birth"                   # our name = the vendor's property
    loyalty = { property = "loyalty_level", choices = { gold = "TIER_1", basic = "TIER_2" } }
    title = false                                # not used here

    [pet]                                        # a type of the business's own
    object = "p_pet"
    keys = ["chip"]
    [pet.fields]
    name = "pet_name"
    chip = "chip_number"

A backend without a vendor takes `kind` and `choices` and ignores `property` and `object`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from aicore_tools.crm.catalogue import STANDARD, Catalogue
from aicore_tools.crm.fields import SYSTEM_FIELDS, Kind
from aicore_tools.crm.fields import Field as CrmField
from aicore_tools.errors import BackendConfigError

__all__ = ["FieldRule", "TypeRule", "own_catalogue", "read_mapping"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def _as_table(value: Any) -> Any:
    if isinstance(value, str):
        return {"property": value}
    if value is False:
        return {"is_used": False}
    return value


def _as_choices(value: Any) -> Any:
    return {item: item for item in value} if isinstance(value, list) else value


class FieldRule(BaseModel):
    """How one of our fields is kept.

    `decimals` turns minor units into the vendor's amount. `read_only` says that the vendor's
    property cannot be written, and that this is known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    property: str = ""
    kind: Kind | None = None
    choices: Annotated[dict[str, str], BeforeValidator(_as_choices)] = Field(default_factory=dict)
    decimals: int | None = Field(default=None, ge=0, le=6)
    read_only: bool = False
    is_used: bool = True


class TypeRule(BaseModel):
    """How one type is kept: the vendor's object, the keys, and each field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    object: str = ""
    keys: tuple[str, ...] | None = None
    fields: dict[str, Annotated[FieldRule, BeforeValidator(_as_table)]] = Field(
        default_factory=dict
    )


_MAPPING = TypeAdapter(dict[str, TypeRule])


def read_mapping(path: Path) -> Mapping[str, TypeRule]:
    """Read a mapping file.

    Raises:
        BackendConfigError: it cannot be read, is no TOML, or holds what no mapping has.
    """
    try:
        declared = _MAPPING.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BackendConfigError(
            f"Cannot read the mapping file {path}: {error.strerror or error}."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BackendConfigError(f"The mapping file {path} is no TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BackendConfigError(
            f"The mapping file {path}, at {place}: {first['msg']}.",
            hint="See docs/crm.md for what it may hold.",
        ) from error
    for record_type, rule in declared.items():
        for name in (record_type, *rule.fields):
            if not _NAME.fullmatch(name) or name in SYSTEM_FIELDS:
                raise BackendConfigError(
                    f"The mapping file {path}: {name!r} cannot name a type or field.",
                    hint="Use small letters, digits and _; created and updated are taken.",
                )
    return declared


def own_catalogue(declared: Mapping[str, TypeRule]) -> Catalogue:
    """Give the standard types with what was declared beside them, for a backend of our own.

    Raises:
        BackendConfigError: a key is no field of its type.
    """
    types = {name: dict(fields) for name, fields in STANDARD.types.items()}
    keys = dict(STANDARD.keys)
    for record_type, rule in declared.items():
        fields = types.setdefault(record_type, {})
        for name, field in rule.fields.items():
            if not field.is_used:
                fields.pop(name, None)
            elif field.kind or field.choices or name not in fields:
                kind: Kind = "choice" if field.choices else field.kind or "text"
                fields[name] = CrmField(kind, tuple(field.choices))
        wanted = rule.keys if rule.keys is not None else keys.get(record_type, ())
        missing = [key for key in wanted if key not in fields]
        if rule.keys is not None and missing:
            raise BackendConfigError(f"The key {missing[0]!r} is no field of {record_type}.")
        keys[record_type] = tuple(key for key in wanted if key in fields)
    return Catalogue(types=types, keys=keys)
