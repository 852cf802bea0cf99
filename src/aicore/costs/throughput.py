"""What one box was measured to do: the figures that owning is reckoned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from aicore.errors import ConfigError

__all__ = ["Throughput"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Tokens per second of one box, reading and writing, for all its requests together.

    A box that reads so many tokens and writes so many is busy for the sum of both times. Where
    `tokens_per_s_in` is None, reading takes no time.
    """

    provider: str
    tokens_per_s_out: Decimal
    tokens_per_s_in: Decimal | None = None

    def seconds(self, input_tokens: int, output_tokens: int) -> Decimal:
        """How long one box is busy with that."""
        reading = Decimal(0)
        if self.tokens_per_s_in is not None:
            reading = input_tokens / self.tokens_per_s_in
        return reading + output_tokens / self.tokens_per_s_out

    @classmethod
    def from_json(cls, data: Any) -> Throughput:
        """Take it from what `aicore measure` writes; see Measurement.to_json.

        Raises: ConfigError when it is something else, or a measurement that gave no throughput.
        """
        try:
            if data["tokens_per_s_out"] is None or not data["is_throughput"]:
                raise ConfigError(f"no throughput: {_reasons(data)}. Measure again.")
            read = data["tokens_per_s_in"]
            measured = cls(
                provider=str(data["provider"]),
                tokens_per_s_out=Decimal(str(data["tokens_per_s_out"])),
                tokens_per_s_in=None if read is None else Decimal(str(read)),
            )
        except (KeyError, TypeError, InvalidOperation) as error:
            raise ConfigError("not what `aicore measure` writes. Run it again.") from error
        speeds = (measured.tokens_per_s_out, measured.tokens_per_s_in)
        if not all(one is None or (one.is_finite() and one > 0) for one in speeds):
            raise ConfigError("a throughput that is not above 0. Run `aicore measure` again.")
        return measured


def _reasons(data: Mapping[str, Any]) -> str:
    """Why a measurement gave none, as it says itself: each reason once."""
    levels = data.get("levels", ())
    reasons = dict.fromkeys(str(one) for level in levels for one in level["refusals"])
    return "; ".join(reasons) or "it was not finished"
