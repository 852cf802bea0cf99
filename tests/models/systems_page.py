"""Writes the part of docs/systems.md that comes from the profiles.

`python -m tests.models.systems_page` does it; the rest of the page is written by hand.
test_systems_page.py tells when page and profiles have parted.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from aicore.models.systems.profiles import Profile, known_systems
from aicore.models.systems.quirks import QUIRKS

PAGE = Path(__file__).parents[2] / "docs" / "systems.md"
START = "<!-- from the profiles: begin -->\n"
END = "<!-- from the profiles: end -->\n"
WHERE = {
    "by-host": "local on hosts of your own",
    "managed": "managed",
    "managed-unless-said": "managed unless you say otherwise",
}
TRIED = {
    "wire": "**not tried against the real thing**, only at the wire",
    "real": "tried with the real server",
}
ORDER = ("by-host", "managed-unless-said", "managed")


def generated() -> str:
    """All sections, own systems first."""
    profiles = sorted(known_systems().values(), key=lambda one: ORDER.index(one.locality))
    return "\n".join(line for profile in profiles for line in section(profile))


def section(profile: Profile) -> Iterator[str]:
    """One system: facts, how to start it, a configuration, quirks."""
    yield f"### {profile.title}"
    yield ""
    facts = (WHERE[profile.locality], key(profile), TRIED[profile.tried])
    yield " · ".join((f"`{profile.base_url}`", *facts))
    yield ""
    if profile.start:
        yield from ("```sh", *profile.start, "```", "")
    yield from ("```toml", "[provider]", f'kind = "{profile.kind}"')
    yield from (f"{name} = {json.dumps(value)}" for name, value in profile.example.items())
    yield from ("```", "")
    for name in profile.quirks:
        yield f"- {QUIRKS[name]}"
    for note in profile.notes:
        yield f"- {note}"
    yield f"- [Its documentation]({profile.docs})"
    yield ""


def key(profile: Profile) -> str:
    """What is said of the key."""
    if profile.auth == "none":
        return "no key"
    if profile.auth in ("google-token", "aws-signature"):
        return "the cloud's own credentials"
    how = {"required": "key from", "optional": "key, where it is set, from"}[profile.key]
    return f"{how} `{profile.key_variable}`"


def parted(page: str) -> tuple[str, str, str]:
    """What stands before, in and behind the part."""
    before, start, rest = page.partition(START)
    inside, end, behind = rest.partition(END)
    assert start, "the page has lost its marks"
    assert end, "the page has lost its marks"
    return before + start, inside, end + behind


if __name__ == "__main__":
    before, _, behind = parted(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(f"{before}{generated()}{behind}", encoding="utf-8")
