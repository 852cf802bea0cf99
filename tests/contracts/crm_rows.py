"""The backends that the contract suite of the CRM runs over. A new one is one more row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2

from aicore_servers.sandbox._running import running
from aicore_tools.connections import Connection
from aicore_tools.crm.backends.hubspot import HubSpotDirectory
from aicore_tools.crm.backends.local import LocalDirectory
from aicore_tools.crm.mapping import own_catalogue, read_mapping
from aicore_tools.crm.port import CustomerDirectory
from aicore_tools.retries import Patience

Open = Callable[..., CustomerDirectory]
IMPATIENT = Patience(attempts=2, deadline_s=5.0, first_pause_s=0.01)
MAPPING = """
[contact.fields]
birthday = "birthday"
loyalty = { property = "loyalty_level", choices = { gold = "TIER_1", basic = "TIER_2" } }

[pet]
object = "pet"
keys = ["chip"]
[pet.fields]
name = "pet_name"
chip = "chip_number"
weight = { property = "weight", kind = "number" }
"""
LABELS = ("sister of", "knows")


def mapping(folder: Path, text: str = MAPPING) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mapping.toml"
    path.write_text(text, encoding="utf-8")
    return read_mapping(path)


def set_up(url: str) -> None:
    """Give a fresh sandbox what the mapping names, as an owner would in HubSpot's settings."""
    with httpx2.Client(base_url=url, headers={"Authorization": "Bearer owner"}) as http:
        http.post("/_sandbox/reset").raise_for_status()
        own = {"groupName": "contactinformation", "label": "ours"}
        tiers = [{"value": "TIER_1", "label": "Gold"}, {"value": "TIER_2", "label": "Basic"}]
        for spec in (
            {"name": "birthday", "type": "date", "fieldType": "date"},
            {
                "name": "loyalty_level",
                "type": "enumeration",
                "fieldType": "select",
                "options": tiers,
            },
        ):
            http.post("/crm/v3/properties/contacts", json={**own, **spec}).raise_for_status()
        for label in LABELS:
            http.post(
                "/crm/v4/associations/contacts/contacts/labels",
                json={"label": label, "name": label.replace(" ", "_")},
            ).raise_for_status()


def hubspot(
    url: str, folder: Path, business: str = "main", token: str = "any", **more: Any
) -> HubSpotDirectory:
    """A directory over the sandbox; another one on the same folder has the same journal."""
    return HubSpotDirectory(
        Connection(vendor="hubspot", fields={"access_token": token, "base_url": url}),
        journal=folder / f"hubspot-{business}.db",
        business=business,
        **{"mapping": mapping(folder), "patience": IMPATIENT, **more},
    )


@contextmanager
def local_row(folder: Path) -> Iterator[Open]:
    catalogue = own_catalogue(mapping(folder))
    yield lambda business="main": LocalDirectory(
        folder / "crm.db", business=business, catalogue=catalogue
    )


@contextmanager
def hubspot_row(folder: Path) -> Iterator[Open]:
    """One account a business: an account at a vendor belongs to one."""
    urls: dict[str, str] = {}
    with ExitStack() as stack:

        def make(business: str = "main") -> CustomerDirectory:
            if business not in urls:
                urls[business] = stack.enter_context(running("hubspot"))
                set_up(urls[business])
            return hubspot(urls[business], folder, business)

        yield make


ROWS: dict[str, Callable[[Path], Any]] = {"local": local_row, "hubspot": hubspot_row}
