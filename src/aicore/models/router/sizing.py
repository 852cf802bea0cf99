"""How large a request is, in tokens, before it is sent: rather too many than too few."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from aicore.models.port import Price, PriceTier, Request
from aicore.models.wire_json import to_json_text
from aicore.records import Message, Prefix

__all__ = ["cost_usd", "dearest", "request_tokens"]

# No tokenizer: each vendor has its own. The same rule as the agent's, see aicore.agent.tokens.
_ASCII_PER_TOKEN = 3.5
_TOKENS_PER_OTHER = 1.2
_PER_MESSAGE = 6
_KEPT = "router"

_PER = Decimal(1_000_000)


def request_tokens(request: Request) -> int:
    """Tokens of everything that is sent."""
    kept = request.prefix.encoded.get(_KEPT)
    tokens = _of_prefix(request.prefix) if kept is None else float(kept)
    tokens += _of_text(request.volatile)
    if request.summary is not None:
        tokens += _of_message(request.summary)
    if request.output_schema is not None:
        tokens += _of_text(to_json_text(dict(request.output_schema.schema)))
    for message in request.tail:
        tokens += _of_message(message)
    return int(tokens) + 1


def cost_usd(price: Price, *, input_tokens: int, output_tokens: int) -> Decimal:
    """What a request costs at most: nothing read from a cache, all of it written to one."""
    # The estimate may be too high: then the rates of a shorter input apply, were they dearer.
    rates: tuple[Price | PriceTier, ...] = (
        price,
        *(tier for tier in price.tiers if input_tokens > tier.above_tokens),
    )
    input_usd = max(max(one.input_usd, one.cache_write_usd or one.input_usd) for one in rates)
    output_usd = max(one.output_usd for one in rates)
    return (input_tokens * input_usd + output_tokens * output_usd) / _PER


def dearest(prices: Sequence[Price | None]) -> Price | None:
    """A price that none of these is above, None if one is not known."""
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    # What costs nothing makes no price of the others another one.
    others = [price for price in known if price.input_usd or price.output_usd] or known
    if all(price == others[0] for price in others):
        return others[0]
    rates: list[Price | PriceTier] = [*others, *(tier for one in others for tier in one.tiers)]
    return Price(
        input_usd=max(max(one.input_usd, one.cache_write_usd or one.input_usd) for one in rates),
        output_usd=max(one.output_usd for one in rates),
    )


def _of_prefix(prefix: Prefix) -> float:
    tokens = _PER_MESSAGE + _of_text(prefix.instructions)
    for tool in prefix.shown:
        parameters = to_json_text(dict(tool.parameters))
        tokens += _PER_MESSAGE + _of_text(f"{tool.name}{tool.description}{parameters}")
    prefix.encoded[_KEPT] = b"%.1f" % tokens
    return tokens


def _of_message(message: Message) -> float:
    tokens = _PER_MESSAGE + _of_text(message.text)
    for call in message.calls:
        tokens += _PER_MESSAGE + _of_text(f"{call.name}{call.arguments}")
    return tokens


def _of_text(text: str) -> float:
    if text.isascii():
        return len(text) / _ASCII_PER_TOKEN
    ascii_count = len(text.encode("ascii", "ignore"))
    return ascii_count / _ASCII_PER_TOKEN + (len(text) - ascii_count) * _TOKENS_PER_OTHER
