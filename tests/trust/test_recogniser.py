"""A recogniser as the third step: Presidio's real engine, over a model that knows nothing."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import spacy
from presidio_analyzer import AnalyzerEngine, PatternRecognizer, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
from presidio_analyzer.predefined_recognizers import EmailRecognizer

from aicore.errors import ConfigError
from aicore.trust.marks import Marked
from aicore.trust.pseudonyms import Detector, Pseudonyms
from aicore.trust.recogniser import PresidioRecogniser
from aicore.trust.vault import Vaults
from aicore.trust.vault_key import VaultKey
from aicore.trust.vault_store import MemoryVaultStore


class Blank(NlpEngine):  # type: ignore[misc,unused-ignore] # untyped there
    """Splits words and recognises nothing: no model is at hand here."""

    def __init__(self) -> None:
        self._blank = {"en": spacy.blank("en"), "de": spacy.blank("de")}
        self.threads: set[str] = set()

    def load(self) -> None:
        pass

    def is_loaded(self) -> bool:
        return True

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        self.threads.add(threading.current_thread().name)
        document = self._blank[language](text)
        return NlpArtifacts(
            entities=[],
            tokens=document,
            tokens_indices=[token.idx for token in document],
            lemmas=[token.text for token in document],
            nlp_engine=self,
            language=language,
        )

    def process_batch(self, texts: Any, language: str, **more: Any) -> Iterator[Any]:
        yield from ((text, self.process_text(text, language)) for text in texts)

    def is_stopword(self, word: str, language: str) -> bool:
        return False

    def is_punct(self, word: str, language: str) -> bool:
        return False

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return list(self._blank)


def engine(nlp: Blank, *names: str) -> AnalyzerEngine:
    registry = RecognizerRegistry(supported_languages=["en", "de"])
    registry.add_recognizer(EmailRecognizer(supported_language="en"))
    for language in ("en", "de"):
        registry.add_recognizer(
            PatternRecognizer("PERSON", deny_list=list(names), supported_language=language)
        )
    return AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["en", "de"])


async def test_what_the_engine_finds_is_marked_off_the_event_loop() -> None:
    nlp = Blank()
    recogniser = PresidioRecogniser(engine=engine(nlp, "Quokka"))

    found = await recogniser.recognise("then Quokka came", "de")

    assert found == [Marked(5, 11, "NAME")]
    assert nlp.threads
    assert threading.current_thread().name not in nlp.threads


async def test_it_asks_no_net_for_a_mail_address() -> None:
    """The network is blocked in tests: asking it would fail."""
    recogniser = PresidioRecogniser(engine=engine(Blank(), "Quokka"))

    assert await recogniser.recognise("to ann@example.com", "en") == []


async def test_language_without_a_model_finds_nothing() -> None:
    assert (
        await PresidioRecogniser(engine=engine(Blank(), "Quokka")).recognise("Quokka", "fr") == ()
    )


async def test_what_it_finds_is_masked_and_comes_back() -> None:
    vault = await Vaults(MemoryVaultStore(), VaultKey.random()).open("web:1")
    recogniser = PresidioRecogniser(engine=engine(Blank(), "Quokka"))
    pseudonyms = Pseudonyms(vault, Detector(recogniser, language="de"))

    masked = await pseudonyms.mask("dann kam Quokka")

    assert masked.startswith("dann kam [[NAME_")
    assert pseudonyms.unmask(masked) == "dann kam Quokka"


async def test_any_class_with_the_method_is_a_recogniser() -> None:
    class Shouting:
        async def recognise(self, text: str, language: str) -> Sequence[Marked]:
            return [Marked(0, 5, "NAME")] if text.isupper() else []

    vault = await Vaults(MemoryVaultStore(), VaultKey.random()).open("web:1")
    pseudonyms = Pseudonyms(vault, Detector(Shouting()))

    assert (await pseudonyms.mask("HELLO YOU")).startswith("[[NAME_")


async def test_missing_model_is_told_before_anything_is_downloaded() -> None:
    recogniser = PresidioRecogniser({"en": "en_core_web_nowhere"})
    with pytest.raises(ConfigError, match="en_core_web_nowhere"):
        await recogniser.recognise("hello", "en")


def test_either_models_or_an_engine() -> None:
    with pytest.raises(ConfigError):
        PresidioRecogniser()
