"""Schemas as a model may see them: no text that a person wrote goes unseen."""

from aicore.trust.masked_schemas import relaxed


def test_words_of_somebodys_own_are_masked_and_the_form_is_left() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "title": "Ann",
        "note": "Ask Ann",
        "x-owner": {"mail": "Ann"},
        "$comment": "Ann made this",
        "required": ["type"],
        "properties": {"type": {"type": "string", "$ref": "#/$defs/Ann", "enumNote": "Ann"}},
    }
    assert relaxed(schema, lambda text: text.replace("Ann", "?")) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "title": "?",
        "note": "Ask ?",
        "x-owner": {"mail": "?"},
        "$comment": "? made this",
        "required": ["type"],
        "properties": {"type": {"type": "string", "$ref": "#/$defs/Ann", "enumNote": "?"}},
    }
