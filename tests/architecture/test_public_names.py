"""The public surface is a list: internals move without breaking anyone."""

import importlib
from collections.abc import Sequence
from typing import Any

import pytest

PUBLIC = {
    "aicore": [
        "Agent",
        "AicoreError",
        "CallFinished",
        "CallRecord",
        "CallStarted",
        "Limits",
        "Principal",
        "Replied",
        "Reply",
        "Server",
        "StreamEvent",
        "TextDelta",
        "Waiting",
        "tool",
    ],
}


def declared(modules: Sequence[Any]) -> list[str]:
    return [module.name for module in modules if "__all__" in module.text]


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_the_listed_ones(package: str) -> None:
    assert sorted(importlib.import_module(package).__all__) == PUBLIC[package]


def test_every_public_name_exists(modules: Sequence[Any]) -> None:
    missing = [
        f"{name}.{public}"
        for name in declared(modules)
        for public in importlib.import_module(name).__all__
        if not hasattr(importlib.import_module(name), public)
    ]

    assert missing == []


def test_public_names_say_what_they_do() -> None:
    """A public class or function has a docstring of its own."""
    silent = [
        f"{package}.{public}"
        for package, names in PUBLIC.items()
        for public in names
        if callable(getattr(importlib.import_module(package), public))
        and not getattr(importlib.import_module(package), public).__doc__
    ]

    assert silent == []
