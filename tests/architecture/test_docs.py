"""What README and docs name exists: tests, files, commands, imports; their Python compiles."""

import ast
import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from aicore.config import ServerSettings, Settings

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
TEST = re.compile(r"\btests/[\w/.-]*\w(?:::\w+)?")
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)\s#]+)")
MAKE = re.compile(r"\bmake ([a-z]+)\b")


@pytest.fixture(scope="session")
def pages(repository: Path, files: Sequence[Path]) -> Sequence[Path]:
    """README and its neighbours, and docs."""
    return [
        path
        for path in files
        if path.suffix == ".md"
        and (path.parent == repository or path.is_relative_to(repository / "docs"))
    ]


def python_blocks(page: Path) -> Iterator[tuple[str, str]]:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        if match[1] in {"py", "python"}:
            yield f"{page.name}:{text[: match.start()].count(chr(10)) + 1}", match[2]


def test_every_setting_is_in_the_page_about_configuration(repository: Path) -> None:
    text = (repository / "docs" / "configuration.md").read_text(encoding="utf-8")
    sections = {
        name: field.default_factory()  # type: ignore[call-arg,misc]
        for name, field in Settings.model_fields.items()
        if field.default_factory not in (None, dict)
    }
    missing = [
        f"{name}.{setting}"
        for name, section in [*sections.items(), ("servers", ServerSettings(local="a:b"))]
        for setting in type(section).model_fields
        if not re.search(rf"\b{setting}\b", _part_of(text, name))
    ]

    assert missing == []
    assert [name for name in Settings.model_fields if name not in text] == []


def _part_of(text: str, section: str) -> str:
    """The lines of a section in the example, and all that is said behind it."""
    _, _, lines = text.partition(f"[{section}")
    toml, fence, behind = lines.partition("```")
    return re.split(rf"^\[(?!{section})", toml, maxsplit=1, flags=re.MULTILINE)[0] + fence + behind


def test_tests_named_as_proof_exist(repository: Path, pages: Sequence[Path]) -> None:
    missing = []
    for page in pages:
        for name in TEST.findall(page.read_text(encoding="utf-8")):
            path, _, function = name.partition("::")
            file = repository / path
            if not file.exists() or (
                function and f"def {function}(" not in file.read_text("utf-8")
            ):
                missing.append(f"{page.name}: {name}")

    assert missing == []


def test_readme_names_the_test_of_its_promises(repository: Path) -> None:
    assert TEST.findall((repository / "README.md").read_text(encoding="utf-8"))


def test_links_lead_somewhere(pages: Sequence[Path]) -> None:
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]

    assert broken == []


def test_make_targets_in_code_exist(repository: Path, pages: Sequence[Path]) -> None:
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {
        (page.name, target)
        for page in pages
        for code in re.findall(r"```.*?```|`[^`\n]+`", page.read_text("utf-8"), re.DOTALL)
        for target in MAKE.findall(code)
    }

    assert [name for name in named if name[1] not in targets] == []


def test_python_in_the_docs_compiles(pages: Sequence[Path]) -> None:
    broken = []
    for page in pages:
        for place, source in python_blocks(page):
            try:
                compile(source, place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            except SyntaxError as error:
                broken.append(f"{place}: {error}")

    assert broken == []


def test_names_the_docs_import_from_aicore_exist(pages: Sequence[Path]) -> None:
    missing = []
    for page in pages:
        for place, source in python_blocks(page):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aicore"):
                    module = importlib.import_module(node.module or "")
                    missing += [
                        f"{place}: {node.module}.{alias.name}"
                        for alias in node.names
                        if not hasattr(module, alias.name)
                    ]

    assert missing == []
