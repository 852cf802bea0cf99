"""What we send is what the SDK's own parameter types of today list; the schemas are older."""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.contracts.payments_rows import StripeTill, effect_of

from aicore_tools.payments.backends.stripe import StripeLedger
from aicore_tools.payments.records import FindQuery

EFFECTS = [
    "link",
    "link:expires",
    "invoice",
    "customer",
    "product",
    "price",
    "act:finalize",
    "act:send",
    "act:open.void",
    "act:void",
    "act:open.mark_paid",
    "act:link.void",
    "refund",
    "subscribe",
    "subscription:change",
    "subscription:cancel",
    "subscription:period_end.cancel",
    "subscription:resume",
]


def parameter_type(method: Any) -> tuple[ModuleType, Any]:
    """Find the TypedDict that annotates `params` of a method of the SDK."""
    named = re.search(r"[A-Z]\w+Params", str(inspect.signature(method).parameters["params"]))
    assert named is not None, method
    source = inspect.getsource(inspect.getmodule(method))  # type: ignore[arg-type] # it has one
    found = re.search(rf"from (stripe\.params[\w.]*) import \(?\s*{named[0]}\b", source)
    assert found is not None, named[0]
    module = importlib.import_module(found[1])
    return module, getattr(module, named[0])


def unknown(value: Any, annotation: Any, module: ModuleType, path: str = "") -> list[str]:
    """Give the paths of what is sent and not listed."""
    if isinstance(value, list):
        return [one for item in value for one in unknown(item, annotation, module, f"{path}[]")]
    if not isinstance(value, Mapping):
        return []
    text = getattr(annotation, "__forward_arg__", None) or str(annotation)
    names = [name for name in re.findall(r"\w*Params\w*", text) if hasattr(module, name)]
    listed: dict[str, Any] = {}
    for name in [getattr(annotation, "__name__", ""), *names]:
        listed |= getattr(getattr(module, name, None), "__annotations__", {})
    if not listed:  # metadata: any text by any name
        assert "Dict[str, str]" in text, (path, text)
        return []
    wrong = [f"{path}.{name}" for name in value if name not in listed]
    for name in value.keys() & listed.keys():
        wrong += unknown(value[name], listed[name], module, f"{path}.{name}")
    return wrong


@pytest.mark.parametrize("what", EFFECTS)
async def test_only_parameters_of_today_are_sent(
    tmp_path: Path,
    sandbox: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    till = StripeTill(tmp_path, sandbox("stripe"))
    wrong: list[str] = []
    seen: list[str] = []
    async with till.ledger() as ledger:
        assert isinstance(ledger, StripeLedger)
        for name in ("read", "send"):
            asked = getattr(ledger._calls, name)

            async def watched(method: Any, *ids: str, _asked: Any = asked, **more: Any) -> Any:
                module, annotation = parameter_type(method)
                params = more.get("params", more)
                seen.append(method.__qualname__)
                wrong.extend(
                    f"{method.__qualname__}{path}" for path in unknown(params, annotation, module)
                )
                return await _asked(method, *ids, **more)

            monkeypatch.setattr(ledger._calls, name, watched)
        await (await effect_of(till, ledger, what))("k")
        for kind in ("link", "invoice", "payment", "refund", "subscription", "product", "customer"):
            await ledger.find(FindQuery(kind=kind, text="abc"))  # type: ignore[arg-type] # they are kinds
    assert seen
    assert wrong == []


def test_the_check_sees_what_it_must() -> None:
    import stripe

    client = stripe.StripeClient("sk_test_x", http_client=stripe.HTTPXClient())
    module, annotation = parameter_type(client.v1.invoices.add_lines_async)
    line = {"description": "x", "price": "price_1", "pricing": {"price": "price_1", "prices": 1}}
    assert unknown({"lines": [line], "metadata": {}}, annotation, module) == [
        ".metadata",
        ".lines[].price",
        ".lines[].pricing.prices",
    ]
