"""Where a cloud's region lies, as the words that rules about data use."""

from __future__ import annotations

__all__ = ["region_word"]

# A name that begins so is somewhere there; the longest one counts. London and Zurich are called
# `eu` and `europe` by the clouds, but are not in the European Union, whose law is asked about.
_WORDS = {
    "ca-": "ca",
    "eu": "eu",
    "eu-central-2": "ch",
    "eu-west-2": "uk",
    "europe-west2": "uk",
    "europe-west6": "ch",
    "northamerica-northeast": "ca",
    "sa-east-": "br",
    "southamerica-east": "br",
    "us": "us",
}
# Names that others begin with, but are not meant by them: europe-west2 is not europe-west21.
_WHOLE = frozenset({"eu-central-2", "eu-west-2", "europe-west2", "europe-west6"})


def region_word(region: str) -> str | None:
    """Give the word for a region of AWS or Google Cloud: `eu-central-1` is in the `eu`.

    Where no word is known it is the region's own name. `global` is nowhere in particular: None.
    """
    name = region.lower()
    if name == "global":
        return None
    if name in _WHOLE:
        return _WORDS[name]
    fitting = [start for start in _WORDS if name.startswith(start) and start not in _WHOLE]
    return _WORDS[max(fitting, key=len)] if fitting else name
