"""Requests in Gemini's format, joined from bytes that were encoded once.

Body = head (further fields of the provider) + prefix (instructions, tools) + contents + tail (what
differs from request to request). All but the tail and the end of the last content are the same
bytes in the next request of a conversation, so Google's implicit caching hits.

The results of one answer's calls stand together in one content, in the order of the calls: Gemini
counts them, and tells calls without an id apart by name and order. A content is kept without its
end `]}`, so that a further result can join it. Signatures belong to the provider and the model that
gave them, so bytes are kept by their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aicore.models.gemini_parts import NOTHING, Signer, given_id, parts_of
from aicore.models.gemini_schema import known_parameters, known_part
from aicore.models.port import Request
from aicore.models.wire_json import to_json
from aicore.records import Message, Prefix, Tail, Tool

__all__ = ["ContentEncoder"]

_DIALECT = "gemini"
_USER = b'{"role":"user","parts":['
_TEXT = _USER + b'{"text":"'
_END_OF_TEXT = b'"}'
_END_OF_RESULT = b'"}}}'
_END = b"]}"


class ContentEncoder:
    """Writes the requests of one provider, which is `signer`.

    `options` are further fields of each request; those of `generationConfig` are joined with
    ours. Raises: TypeError, ValueError for options that are no JSON.
    """

    def __init__(
        self, signer: Signer, options: Mapping[str, Any], limit_tokens: int | None
    ) -> None:
        further = {key: value for key, value in options.items() if key != "generationConfig"}
        self._head = to_json(further)[:-1] + (b"," if further else b"")
        self._config = dict(options.get("generationConfig", {}))
        to_json(self._config)
        self._signer = signer
        self._key = f"{_DIALECT}:{signer.provider}:{signer.model}"
        self._limit_tokens = limit_tokens

    def body(self, request: Request) -> bytes:
        """Join a request's body.

        Raises: ValueError when the tail does not end with a user or tool message, or has a result
        without its call.
        """
        tail = request.tail
        if not tail or tail[-1].role == "assistant":
            raise ValueError("A request's tail must end with a user or tool message.")
        contents = self._joined(tail)
        if request.summary is not None:
            contents = _with_summary(contents, request.summary)
        if request.volatile:
            end = _END_OF_TEXT if tail[-1].role == "user" else _END_OF_RESULT
            context = _escaped(f"\n\n<context>\n{request.volatile}\n</context>")
            contents = contents.removesuffix(end) + context + end
        prefix = request.prefix.encoded.get(_DIALECT) or _encode_prefix(request.prefix)
        return b"".join((self._head, prefix, contents, _END, self._tail(request)))

    def _tail(self, request: Request) -> bytes:
        config = dict(self._config)
        limit = request.max_output_tokens or self._limit_tokens
        if limit is not None:
            config["maxOutputTokens"] = limit
        if request.output_schema is not None:
            config["responseMimeType"] = "application/json"
            config["responseJsonSchema"] = known_part(request.output_schema.schema)
        return b'],"generationConfig":%s}' % to_json(config) if config else b"]}"

    def _joined(self, tail: Sequence[Message]) -> bytes:
        """Join all contents; a Tail keeps the join, so that the next request costs what is new.

        Only a Tail may: a sequence that somebody else made can hold the same messages between
        others, and must not get bytes that were left out of it.
        """
        if not isinstance(tail, Tail):
            return b"".join(self._pieces(tail, 0))
        count, joined = tail.joined.get(self._key, (0, b""))
        if not 0 < count <= len(tail):
            joined = b"".join(self._pieces(tail, 0))
        elif count < len(tail):
            joined = b"".join((joined, *self._pieces(tail, count)))
        tail.joined[self._key] = len(tail), joined
        return joined

    def _pieces(self, tail: Sequence[Message], start: int) -> list[bytes]:
        pieces = []
        for at in range(start, len(tail)):
            message = tail[at]
            is_result = message.role == "tool"
            is_further = is_result and at > 0 and tail[at - 1].role == "tool"
            if at > 0:
                pieces.append(b"," if is_further else _END + b",")
            if is_result and not is_further:
                pieces.append(_USER)
            pieces.append(message.encoded.get(self._key) or self._encode(tail, at))
        return pieces

    def _encode(self, tail: Sequence[Message], at: int) -> bytes:
        # What volatile text is put behind comes last: see `_END_OF_TEXT` and `_END_OF_RESULT`.
        message = tail[at]
        if message.role == "user":
            text = message.text if message.text.strip() else NOTHING
            encoded = _TEXT + _escaped(text) + _END_OF_TEXT
        elif message.role == "assistant":
            parts = parts_of(message, self._signer)
            encoded = to_json({"role": "model", "parts": parts})[: -len(_END)]
        else:
            name, call_id = self._called(tail, at)
            response = {"error" if message.is_error else "output": message.text}
            identity = {} if call_id is None else {"id": call_id}
            result = {**identity, "name": name, "response": response}
            encoded = to_json({"functionResponse": result})
        message.encoded[self._key] = encoded
        return encoded

    def _called(self, tail: Sequence[Message], at: int) -> tuple[str, str | None]:
        """Give the name of the call that a result answers, and the id that Gemini gave it."""
        call_id = tail[at].call_id
        for message in reversed(tail[:at]):
            for index, call in enumerate(message.calls):
                if call.id == call_id:
                    return call.name, given_id(message, index, self._signer)
        raise ValueError(f"A request's tail has a result of {call_id!r}, but not the call.")


def _with_summary(contents: bytes, summary: Message) -> bytes:
    text = summary.encoded.get(_DIALECT)
    if text is None:
        text = _escaped(f"<summary>\n{summary.text}\n</summary>")
        summary.encoded[_DIALECT] = text
    if contents.startswith(_TEXT):
        return _TEXT + text + rb"\n\n" + contents[len(_TEXT) :]
    return _TEXT + text + _END_OF_TEXT + _END + b"," + contents


def _encode_prefix(prefix: Prefix) -> bytes:
    pieces = []
    if prefix.instructions:
        pieces.append(
            b'"systemInstruction":%s,' % to_json({"parts": [{"text": prefix.instructions}]})
        )
    if prefix.shown:
        declared = [{"functionDeclarations": [_declared(tool) for tool in prefix.shown]}]
        pieces.append(b'"tools":%s,' % to_json(declared))
    encoded = b"".join((*pieces, b'"contents":['))
    prefix.encoded[_DIALECT] = encoded
    return encoded


def _declared(tool: Tool) -> dict[str, Any]:
    parameters = known_parameters(tool.parameters)
    declared: dict[str, Any] = {"name": tool.name, "description": tool.description}
    return declared if parameters is None else {**declared, "parametersJsonSchema": parameters}


def _escaped(text: str) -> bytes:
    return to_json(text)[1:-1]
