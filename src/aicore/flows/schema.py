"""What may stand in a flow file, as pydantic models; a step is told by the key it has."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

__all__ = [
    "STEP_KINDS",
    "AgentStep",
    "AnswerModel",
    "AssistantModel",
    "CallStep",
    "CollectStep",
    "ConfirmStep",
    "FlowModel",
    "GotoStep",
    "HandoffModel",
    "HandoffStep",
    "IfStep",
    "OptionsFrom",
    "PersonModel",
    "SayStep",
    "SlotModel",
    "StaticOption",
    "Step",
    "TestModel",
]

SlotType = Literal[
    "choice",
    "text",
    "name",
    "email",
    "phone",
    "contact",
    "number",
    "yes_no",
    "date",
    "datetime",
    "period",
]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=True)


class StaticOption(_Model):
    """One choice. Further fields may be read as `{slot.field}`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Text
    also: list[str] = []
    note: str = ""


class OptionsFrom(_Model):
    """Choices out of a saved result: rows, the field that is the value, and how one reads.

    `source` names saved variables; the first that is not empty is offered.
    """

    source: str | list[str] = Field(alias="from")
    value: str
    label: Text


class SlotModel(_Model):
    """Something to learn from the customer. `hint` is said when an answer was not understood.

    `refines` names a period slot: a choice of times found for that period; a different day or
    time sets the period again and goes back to it. `taken` is said when the wished time is not
    among the choices, `found` when it is.
    """

    type: SlotType
    ask: Text
    options: OptionsFrom | list[str | StaticOption] | None = None
    hint: str = ""
    future: bool = True
    optional: bool = False
    refines: str | None = None
    taken: str = ""
    found: str = ""
    least: int | None = None
    most: int | None = None


class SayStep(_Model):
    """Say something."""

    say: Text
    label: Name | None = None


class CollectStep(_Model):
    """Ask for a slot, unless it is known; a label of its own."""

    collect: Name


class ConfirmStep(_Model):
    """Ask yes or no; on no, `declined` says where to go (default: the flow ends).

    `change`: ask what should be different; a second no stops the flow.
    """

    confirm: Text
    declined: GotoStep | list[Step] | Literal["change"] | None = None
    label: Name | None = None


class CallStep(_Model):
    """Call a tool. On an error, `error` holds its code while `on_error` runs (`go_on`: no steps).

    `approval` is kept for readers of the file; who approves is decided by the policy.
    """

    call: Text
    arguments: dict[str, Any] = Field(default={}, alias="with")
    save: Name | dict[Name, str] | None = None
    on_error: list[Step] | Literal["go_on"] | None = None
    approval: str | dict[str, str] | None = None
    label: Name | None = None


class IfStep(_Model):
    """Go one way or the other."""

    condition: Text = Field(alias="if")
    then: list[Step]
    otherwise: list[Step] = Field(default=[], alias="else")
    label: Name | None = None


class AgentGoal(_Model):
    """What the model shall reach, with which tools, in how many customer messages at most."""

    goal: Text
    tools: list[str] = []
    max_turns: int = Field(default=6, ge=1, le=50)
    without: list[Step] = []


class AgentStep(_Model):
    """The only place where a model is free; `without` runs where there is no model."""

    agent: AgentGoal
    label: Name | None = None


class HandoffStep(_Model):
    """Pass the conversation to a person, with everything that is known; the flow ends."""

    handoff: Text
    label: Name | None = None


class GotoStep(_Model):
    """Go to a label (or `end`), forgetting the slots in `clear`."""

    goto: Name
    clear: list[Name] = []


STEP_KINDS = ("say", "collect", "confirm", "call", "if", "agent", "handoff", "goto")


def _kind(value: Any) -> str | None:
    if isinstance(value, dict):
        kinds = [kind for kind in STEP_KINDS if kind in value]
        return kinds[0] if len(kinds) == 1 else None
    return next((kind for kind in STEP_KINDS if hasattr(value, kind)), "if")


Step = Annotated[
    Annotated[SayStep, Tag("say")]
    | Annotated[CollectStep, Tag("collect")]
    | Annotated[ConfirmStep, Tag("confirm")]
    | Annotated[CallStep, Tag("call")]
    | Annotated[IfStep, Tag("if")]
    | Annotated[AgentStep, Tag("agent")]
    | Annotated[HandoffStep, Tag("handoff")]
    | Annotated[GotoStep, Tag("goto")],
    Discriminator(
        _kind,
        custom_error_type="step_kind",
        custom_error_message="a step has exactly one of the keys " + ", ".join(STEP_KINDS),
    ),
]


class TestModel(_Model):
    """A conversation to play: what the customer says, and what must come of it.

    `results` answers the tools: one result, or one after another; `{error: code}` is an error.
    `replies` are texts that must appear in the assistant's replies, in that order.
    """

    __test__ = False

    say: list[str]
    calls: list[str] | None = None
    results: dict[str, Any] = {}
    replies: list[str] = []
    slots: dict[str, Any] = {}
    now: str = "2026-11-23T10:00"


class FlowModel(_Model):
    """One dialogue.

    `moved_by`: the flow for a second thought about the time once this one has done its work.
    `resumes`: whether it is taken up again when it was left for another errand.
    """

    flow: Name
    title: str = ""
    description: str = ""
    triggers: list[Text] = []
    slots: dict[Name, SlotModel] = {}
    steps: Annotated[list[Step], Field(min_length=1)]
    stopped: str = ""
    moved_by: Name | None = None
    resumes: bool = True
    tests: list[TestModel] = []


class AnswerModel(_Model):
    """A fact to answer with. `source` is what the customer may look up."""

    questions: list[Text]
    text: Text
    source: str = ""


class PersonModel(_Model):
    """How a customer gets to a person: words that ask for one, and the flow to run then."""

    keywords: list[Text] = []
    flow: Name | None = None


class HandoffModel(_Model):
    """How a handoff is made known to staff, and what the customer is told.

    `arguments` may use `{reason}` and `{summary}`. `failed` is said when the call fails.
    """

    call: Text
    arguments: dict[str, Any] = Field(default={}, alias="with")
    say: str = ""
    failed: Text


Hours = Annotated[str, Field(pattern=r"^\d{2}:\d{2}-\d{2}:\d{2}$")]
ClosedDay = Annotated[str, Field(pattern=r"^(?:\d{4}-)?(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])$")]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class AssistantModel(_Model):
    """A business's assistant: who it is, what it knows, what it can do."""

    assistant: Text
    language: Literal["en", "de"] = "en"
    zone: str
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    date_order: Literal["DMY", "MDY", "ask"] = "ask"
    open: dict[Day, Hours | None] = {}
    closed: list[ClosedDay] = []
    disclosure: Text
    greeting: str = ""
    fallback: str = ""
    goodbye: str = ""
    contact: str = ""
    facts: str = ""
    answers: list[AnswerModel] = []
    person: PersonModel = PersonModel()
    handoff: HandoffModel | None = None
    flows: Annotated[list[FlowModel], Field(min_length=1)]

    @field_validator("open")
    @classmethod
    def _in_order(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        for day, hours in value.items():
            if hours and hours[:5] >= hours[6:]:
                raise ValueError(f"the hours of {day} end before they start")
        return value


ConfirmStep.model_rebuild()
CallStep.model_rebuild()
IfStep.model_rebuild()
AgentGoal.model_rebuild()
