"""The third step after known values and patterns: a recogniser that reads a language.

Presidio (the extra `pii`) is one, with a spaCy model that the user brings; any other is a class
with one method.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from aicore.errors import ConfigError
from aicore.trust.marks import Marked

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

__all__ = ["PresidioRecogniser", "Recogniser"]

_KINDS: Mapping[str, str] = {
    "PERSON": "NAME",
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "IBAN_CODE": "IBAN",
    "CREDIT_CARD": "CARD",
    "IP_ADDRESS": "IP",
    "LOCATION": "PLACE",
    "GPE": "PLACE",
    "ORGANIZATION": "COMPANY",
    "NRP": "GROUP",
    "MEDICAL_LICENSE": "ID",
}
"""What Presidio's kinds are called here: https://microsoft.github.io/presidio/supported_entities"""

_NOT_PERSONAL = frozenset({"DATE_TIME", "URL"})


class Recogniser(Protocol):
    """Finds personal values in a text of a language (ISO 639-1, such as "de")."""

    async def recognise(self, text: str, language: str) -> Sequence[Marked]:
        """Find them; places may overlap. Must not keep the text."""


class PresidioRecogniser:
    """Presidio's analyzer, with the spaCy models that are named or an engine of one's own.

    `models` is the name of an installed spaCy model by language. Nothing is downloaded, and it is
    loaded, in a thread, with the first text. Findings below `least_score` are left out; dates and
    plain links too, since most are nobody's. The engine's own recogniser of mail addresses is
    taken out: it asks the net.

    Raises: ConfigError when the extra or a model is missing.
    """

    def __init__(
        self,
        models: Mapping[str, str] | None = None,
        *,
        engine: AnalyzerEngine | None = None,
        least_score: float = 0.4,
    ) -> None:
        if (models is None) == (engine is None):
            raise ConfigError("A recogniser needs either names of spaCy models or an engine.")
        self._models = dict(models or {})
        self._engine = engine
        self._least_score = least_score
        self._loading = threading.Lock()
        self._is_ready = False

    async def recognise(self, text: str, language: str) -> Sequence[Marked]:
        """Find personal values; none in a language that there is no model for."""
        return await anyio.to_thread.run_sync(self._recognise, text, language)

    def _recognise(self, text: str, language: str) -> Sequence[Marked]:
        with self._loading:
            if self._engine is None:
                self._engine = _engine(self._models)
            # It fetches the list of domains from the net with the first mail address that it
            # sees; the patterns find these.
            if not self._is_ready:
                self._engine.registry.remove_recognizer("EmailRecognizer")
                self._is_ready = True
        if language not in self._engine.supported_languages:
            return ()
        found = self._engine.analyze(
            text=text, language=language, score_threshold=self._least_score
        )
        return [
            Marked(one.start, one.end, _kind(one.entity_type))
            for one in found
            if one.entity_type not in _NOT_PERSONAL
        ]


def _kind(name: str) -> str:
    """Our word for a kind of Presidio's; national numbers (US_SSN, ES_NIF) are ids."""
    known = _KINDS.get(name)
    if known is None:
        known = "ID" if "_" in name else "".join(filter(str.isalpha, name.upper()))[:12]
    return known or "ID"


def _engine(models: Mapping[str, str]) -> AnalyzerEngine:
    try:
        import presidio_analyzer
        import spacy.util
    except ImportError as exc:
        raise ConfigError(
            "This recogniser needs Presidio: install the extra aicore-mcp[pii]."
        ) from exc
    for model in models.values():
        # Presidio would download it.
        if not spacy.util.is_package(model):
            raise ConfigError(
                f"The spaCy model {model} is not installed. Run: python -m spacy download {model}"
            )
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    settings: dict[str, Any] = {
        "nlp_engine_name": "spacy",
        "models": [{"lang_code": code, "model_name": name} for code, name in models.items()],
    }
    provider: Any = presidio_analyzer.nlp_engine.NlpEngineProvider(nlp_configuration=settings)
    return presidio_analyzer.AnalyzerEngine(
        nlp_engine=provider.create_engine(), supported_languages=list(models)
    )
