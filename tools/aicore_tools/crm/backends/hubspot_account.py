"""What an account has: its schema, people and pipelines, read once at the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from aicore_tools.crm.backends.hubspot_defaults import DEFAULTS, OPERATION, Default
from aicore_tools.crm.backends.hubspot_shapes import Shape, Shapes, bind
from aicore_tools.crm.backends.hubspot_values import Owners
from aicore_tools.crm.backends.hubspot_wire import HubSpotWire, together
from aicore_tools.crm.fields import nearest
from aicore_tools.crm.mapping import TypeRule
from aicore_tools.crm.records import Owner, Pipeline
from aicore_tools.errors import BackendConfigError, NotFound, ToolsError

__all__ = ["Account"]

_OWNERS_A_PAGE = 500
_PIPELINED = ("deals", "tickets")
_OWN_SCOPES = {"tickets": "tickets", "products": "e-commerce"}


class Account:
    """One HubSpot account through one token.

    `denied` are the objects the token may not read, with why. `closed` are the stages at which a
    deal or ticket ends.
    """

    def __init__(self, wire: HubSpotWire, declared: Mapping[str, TypeRule]) -> None:
        self.wire = wire
        self.denied: dict[str, ToolsError] = {}
        self.shapes = Shapes([], {})
        self.owners = Owners()
        self.pipelines: dict[str, list[Pipeline]] = {}
        self.closed: set[str] = set()
        self._declared = declared
        self._operable: set[str] = set()

    async def load(self) -> None:
        """Read the schema and check the mapping against it.

        Raises:
            BackendConfigError: the token is not accepted, or the mapping does not fit; all that
                is wrong with the mapping is in the one message.
        """
        custom = await self._custom()
        wanted = [*DEFAULTS, *custom]
        schemas: dict[str, Any] = {}

        async def read(default: Default) -> None:
            try:
                answer = await self.wire.read("crm.properties.core_api.get_all", default.object)
            except (BackendConfigError, NotFound) as error:
                self.denied[default.object] = error
            else:
                schemas[default.object] = answer.results

        await together(
            [
                *(partial(read, default) for default in wanted),
                *(partial(self._read_pipelines, each) for each in _PIPELINED),
                self._read_owners,
            ]
        )
        if not schemas:
            raise next(iter(self.denied.values()))
        problems = self._bind(wanted, schemas)
        if problems:
            raise BackendConfigError(
                "The mapping does not fit this HubSpot account: " + "; ".join(problems),
                hint="Correct the mapping file, or add the properties in HubSpot.",
            )

    def _bind(self, wanted: Sequence[Default], schemas: Mapping[str, Any]) -> list[str]:
        """Make the shapes; gives all that does not fit."""
        problems: list[str] = []
        shapes = []
        for default in wanted:
            rule = self._declared.get(default.type)
            if default.object in schemas:
                shapes.append(bind(default, schemas[default.object], rule, problems))
            elif rule is not None:
                problems.append(f"[{default.type}]: {self.denied[default.object].message}")
        keys = {name: rule.keys for name, rule in self._declared.items() if rule.keys is not None}
        self.shapes = Shapes(shapes, keys)
        self.shapes.catalogue = replace(
            self.shapes.catalogue,
            denied={
                default.type: error
                for default in wanted
                if isinstance(error := self.denied.get(default.object), BackendConfigError)
            },
        )
        for name, names in keys.items():
            fields = self.shapes.catalogue.types.get(name, {})
            problems += [
                f"[{name}] keys: there is no field {key!r}.{nearest(key, fields)}"
                for key in names
                if key not in fields
            ]
        return problems

    async def need_operation(self, shape: Shape) -> None:
        """Make sure that creations of this object are recognised when they are repeated.

        Raises:
            BackendConfigError: the property is not there and may not be made, or has the wrong
                form; says what to do in HubSpot.
        """
        if shape.object in self._operable:
            return
        if OPERATION not in shape.unique:
            await self._make_operation(shape)
        self._operable.add(shape.object)

    async def _make_operation(self, shape: Shape) -> None:
        if OPERATION in shape.unmapped:
            raise BackendConfigError(
                f"HubSpot's {shape.object} have a property {OPERATION} that is not unique.",
                hint="Delete it there; it is made anew with unique values.",
            )
        body = {
            "name": OPERATION,
            "label": "aicore operation",
            "description": "Lets a repeated creation be recognised. Leave it as it is.",
            "groupName": shape.group,
            "type": "string",
            "fieldType": "text",
            "hasUniqueValue": True,
            "formField": False,
            "hidden": True,
        }
        try:
            await self.wire.write(
                "crm.properties.core_api.create", shape.object, body, repeats=False
            )
        except ToolsError as error:
            if await self._has_operation(shape):
                return
            raise BackendConfigError(
                f"HubSpot's {shape.object} lack the property {OPERATION}, without which nothing"
                " can be created exactly once.",
                hint=(
                    f"Let the app manage schemas ({_schema_scope(shape)}), or make a"
                    f" single-line text property {OPERATION} with unique values there yourself."
                ),
            ) from error

    async def _has_operation(self, shape: Shape) -> bool:
        try:
            found = await self.wire.read(
                "crm.properties.core_api.get_by_name", shape.object, OPERATION
            )
        except ToolsError:
            return False
        return bool(found.has_unique_value)

    async def _custom(self) -> list[Default]:
        """Give the types of the business's own that the mapping declares."""
        standard = {default.type for default in DEFAULTS}
        own = {name: rule for name, rule in self._declared.items() if name not in standard}
        if not own:
            return []
        schemas = (await self.wire.read("crm.schemas.core_api.get_all")).results
        by_name = {name: each for each in schemas for name in _names(each)}
        found = []
        for name, rule in own.items():
            schema = by_name.get(rule.object)
            if schema is None:
                raise BackendConfigError(
                    f"The mapping's [{name}]: HubSpot has no object {rule.object!r}."
                    f"{nearest(rule.object, by_name)}",
                    hint="Give object = the name of a custom object of the account.",
                )
            title = (schema.primary_display_property,) if schema.primary_display_property else ()
            found.append(Default(type=name, object=schema.object_type_id, title=title, fields={}))
        return found

    async def _read_pipelines(self, object_type: str) -> None:
        try:
            answer = await self.wire.read("crm.pipelines.pipelines_api.get_all", object_type)
        except (BackendConfigError, NotFound):
            return
        pipelines = sorted(answer.results, key=lambda each: each.display_order)
        self.pipelines[object_type] = [
            Pipeline(
                id=each.id,
                name=each.label,
                stages={
                    stage.id: stage.label
                    for stage in sorted(each.stages, key=lambda stage: stage.display_order)
                },
            )
            for each in pipelines
        ]
        for each in pipelines:
            for stage in each.stages:
                metadata = stage.metadata or {}
                if metadata.get("isClosed") == "true" or metadata.get("ticketState") == "CLOSED":
                    self.closed.add(stage.id)

    async def _read_owners(self) -> None:
        owners: list[Owner] = []
        after: dict[str, str] = {}
        try:
            while True:
                page = await self.wire.read(
                    "crm.owners.owners_api.get_page", limit=_OWNERS_A_PAGE, **after
                )
                owners += [
                    Owner(
                        id=each.id,
                        email=each.email or "",
                        name=" ".join(part for part in (each.first_name, each.last_name) if part),
                    )
                    for each in page.results
                ]
                if page.paging is None or page.paging.next is None:
                    break
                after = {"after": page.paging.next.after}
        except BackendConfigError:
            return  # without the scope owners stay ids
        self.owners = Owners(tuple(owners))


def _schema_scope(shape: Shape) -> str:
    """Name the scope to make properties of an object; activities go with contacts."""
    if "-" in shape.object:
        return "crm.schemas.custom.write"
    if shape.object in _OWN_SCOPES:
        return _OWN_SCOPES[shape.object]
    return f"crm.schemas.{'contacts' if shape.kind is not None else shape.object}.write"


def _names(schema: Any) -> list[str]:
    return [
        name for name in (schema.name, schema.object_type_id, schema.fully_qualified_name) if name
    ]
