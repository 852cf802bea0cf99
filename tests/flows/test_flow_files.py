"""What a flow file may hold, and how its holes are named."""

from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aicore.errors import FlowError
from aicore.flows import load_assistant, run_flow_tests
from aicore.flows.slot_values import Business
from aicore.flows.strict_yaml import read_yaml
from aicore.flows.whens import Calendar

FLOW = """
flow: greet
triggers: [greet]
slots:
  name: {type: name, ask: "Your name?"}
steps:
  - collect: name
  - say: "Hello {name}."
"""


def fault(tmp_path: Path, text: str) -> FlowError:
    """The error of a file that holds `text`."""
    path = tmp_path / "shop.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FlowError) as caught:
        load_assistant(path)
    assert caught.value.path == "shop.yaml"
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("True", "True"),
        ("10:30", "10:30"),
        ("1_000", "1_000"),
        ("0151", "0151"),
        ("0x1F", "0x1F"),
        ("2026-11-24", "2026-11-24"),
        ("2026-11-24T15:00:00Z", "2026-11-24T15:00:00Z"),
        ("1e3", "1e3"),
        (".inf", ".inf"),
        ("<<", "<<"),
        ("true", True),
        ("false", False),
        ("-7", -7),
        ("0", 0),
        ("1.50", 1.5),
        ("null", None),
        ("~", None),
    ],
)
def test_yaml_guesses_nothing(text: str, value: Any) -> None:
    read, _ = read_yaml(f"key: {text}")

    assert read["key"] == value
    assert type(read["key"]) is type(value)


def test_yaml_keys_that_others_read_as_truth_are_text() -> None:
    read, _ = read_yaml("no: a\non: b")

    assert read == {"no": "a", "on": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",
        "1: a",
        "true: a",
        "? [a]\n: b",
        "a: !!python/object:os.system x",
        "a: !!timestamp 2026-01-01",
        "a: !mine x",
        "a: [1, 2",
        "a: b\n---\nc: d",
        "a: &x [*x]",
        "a: \x00",
        "\t- a",
        "a: *nowhere",
    ],
)
def test_yaml_refuses_what_could_be_misread(text: str) -> None:
    with pytest.raises(FlowError):
        read_yaml(text)


def test_yaml_aliases_cannot_blow_a_file_up() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    with pytest.raises(FlowError, match="aliases"):
        read_yaml("\n".join(rows))


def test_yaml_nested_too_deeply_is_an_error_and_no_crash() -> None:
    with pytest.raises(FlowError):
        read_yaml("[" * 5000)


def test_a_single_flow_is_an_assistant(tmp_path: Path) -> None:
    path = tmp_path / "greet.yaml"
    path.write_text(FLOW, encoding="utf-8")

    assert list(load_assistant(path).programs) == ["greet"]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("collect: name", "collect: nam", 7, "no slot 'nam'"),
        ("{name}.", "{nmae}.", 8, "nmae"),
        ("{name}.", "{name.", 8, "single '{'"),
        ("{name}.", "{name.__class__}.", 8, "not allowed"),
        ("{name}.", "{name:%q}.", 8, "format"),
        ("say: ", "tell: ", 8, "exactly one of the keys"),
        ("say: ", "goto: end\n    say: ", 8, "exactly one of the keys"),
        ("type: name", "type: nam", 5, "Input should be"),
        ("  - collect: name\n", "", 7, "ever collects the slot 'name'"),
        ("  - say", "  - goto: end\n  - say", 9, "never reached"),
        ("  - say", "  - handoff: x\n  - say", 9, "never reached"),
        ("  - say", "  - goto: nowhere\n  - say", 8, "no step 'nowhere'"),
        ("  - say", "  - call: crm_log\n  - say", 8, "no on_error"),
        ("  - say", "  - {call: a, on_error: []}\n  - say", 8, "no on_error"),
        ("  - say", "  - {if: nme, then: [{goto: end}]}\n  - say", 8, "'nme' is neither"),
        ("  - say", "  - {if: name.x, then: [{goto: end}]}\n  - say", 8, "not allowed"),
        ("  - say", "  - {if: name, then: []}\n  - say", 8, "no steps"),
        ("  - say", "  - {if: name, then: [{goto: name}]}\n  - say", 8, "repeat for ever"),
        ("triggers", "trigers", 3, "not known"),
        ("flow: greet\n", "flow: greet us\n", 2, "pattern"),
        ("  name: {", "  pick: {type: choice, ask: x}\n  name: {", 5, "no options"),
        (
            "  name: {",
            "  at: {type: choice, ask: x, options: {from: free, value: id, label: x}}\n  name: {",
            5,
            "No call saves 'free'",
        ),
    ],
)
def test_a_hole_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    error = fault(tmp_path, FLOW.replace(old, new, 1))

    assert said in str(error)
    assert f"line {line}" in error.where


def test_a_loop_that_asks_again_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "greet.yaml"
    again = "  - {if: 'name == \"x\"', then: [{goto: name, clear: [name]}]}\n  - say"
    path.write_text(FLOW.replace("  - say", again, 1), encoding="utf-8")

    assert load_assistant(path)


def assistant(**changes: Any) -> dict[str, Any]:
    """A document of a whole assistant."""
    flow = {"flow": "a", "triggers": ["a"], "steps": [{"say": "x"}]}
    return {
        "assistant": "Shop",
        "zone": "Europe/Berlin",
        "region": "DE",
        "disclosure": "I am an automated assistant.",
        "flows": [flow],
    } | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"zone": "Europe/Nowhere"},
        {"zone": "../../etc/passwd"},
        {"person": {"flow": "b"}},
        {"facts": "missing.md"},
        {"open": {"mon": "17:00-09:00"}},
        {"open": {"moon": "09:00-17:00"}},
        {"closed": ["25.12."]},
        {"closed": ["13-01"]},
        {"flows": [{"flow": "a", "triggers": ["a"], "steps": [{"say": "x"}], "moved_by": "b"}]},
        {"language": "xx"},
        {"flows": []},
        {"handoff": {"call": "log", "with": {"text": "{nobody}"}, "failed": "x"}},
    ],
)
def test_holes_outside_the_flows_are_found(changes: dict[str, Any]) -> None:
    with pytest.raises(FlowError):
        load_assistant(assistant(**changes))


def test_two_flows_of_one_name_are_refused() -> None:
    flow = assistant()["flows"][0]

    with pytest.raises(FlowError, match="twice"):
        load_assistant(assistant(flows=[flow, flow]))


def test_the_version_changes_with_the_content() -> None:
    first = load_assistant(assistant())
    second = load_assistant(assistant(disclosure="I am a machine."))

    assert first.version == load_assistant(assistant()).version
    assert first.version != second.version


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match=r"gone\.yaml"):
        load_assistant(tmp_path / "gone.yaml")


async def test_a_files_own_tests_say_what_was_different() -> None:
    flow: dict[str, Any] = {
        "flow": "log",
        "triggers": ["log"],
        "steps": [{"call": "crm_log", "on_error": "go_on"}, {"say": "Logged."}],
        "tests": [
            {"say": ["log"], "calls": ["crm_log"], "replies": ["Logged."]},
            {"say": ["log"], "calls": []},
            {"say": ["log"], "replies": ["Written."]},
        ],
    }

    results = await run_flow_tests(assistant(flows=[flow]))

    assert [result.is_ok for result in results] == [True, False, False]
    assert "crm_log" in results[1].message
    assert "Written." in results[2].message
    assert "> log" in results[2].transcript


async def test_the_demo_practice_passes_its_own_tests() -> None:
    path = Path(__file__).parents[2] / "examples/aicore_examples/lakeside/assistant.yaml"

    results = await run_flow_tests(path)

    assert len(results) >= 5
    assert [result.message for result in results if not result.is_ok] == []


def test_closed_days_may_be_of_one_year_or_of_every_year() -> None:
    model = load_assistant(assistant(closed=["12-25", "2027-03-26"])).model
    calendar = Calendar(datetime(2026, 11, 23, tzinfo=ZoneInfo("Europe/Berlin")), "DMY")
    business = Business(calendar, "DE", {}, model.closed)

    assert business.hours_on(date(2030, 12, 25)) is None
    assert business.hours_on(date(2027, 3, 26)) is None
    assert business.hours_on(date(2028, 3, 26))
