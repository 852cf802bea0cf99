"""What systems get wrong or do in a way of their own, by the names that profiles use."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["QUIRKS"]

QUIRKS: Mapping[str, str] = MappingProxyType(
    {
        "broken-last-call": "A reply that was cut may end in a broken call: the whole ones are "
        "kept, the broken one is never run.",
        "call-id-late": "The first piece of a call comes without its id: pieces are joined by "
        "index and name.",
        "call-index-missing": "Calls come without an index: they are told apart by id and name.",
        "call-index-repeated": "Every call has index 0: they are told apart by id and name.",
        "cloud-models": "A local server passes models that end with `cloud` on to its vendor: "
        "they count as managed.",
        "code-as-text": "Statuses in error objects are text: they are read as numbers.",
        "comments-between-events": "Comments between the events keep the connection alive: they "
        "are no text, but they are no silence either.",
        "content-filter-400": "A question that the content filter stops is answered with 400: it "
        "is a refusal, not a failure.",
        "content-filter-403": "A question that its moderation stops is answered with 403: it is a "
        "refusal, not a refused key.",
        "cross-region-models": "Models that begin with `global.` are answered in any region, and "
        "an `arn:` does not tell: no region is claimed for them.",
        "endpoint-not-found-400": "A missing endpoint is answered with 400: it is a fault of the "
        "configuration.",
        "event-stream-framing": "A stream comes in AWS's frames: they are taken off and their "
        "checksums looked at.",
        "filter-results-first": "The first event of a stream has results of a filter and no "
        "choices: it is passed over.",
        "finish-error": "A failure of the vendor behind it comes as `finish_reason` `error` under "
        "status 200: it is an error that may be tried again.",
        "finish-reason-lies": "`finish_reason` is wrong about calls: it is not believed.",
        "global-location": "The location `global` is nowhere in particular: no region is claimed.",
        "loads-late": "The model is loaded by the first request: `first_token_s` is 180.",
        "model-error-424": "An error of the container comes wrapped in a 424: it is unwrapped.",
        "named-choice-ignored": "A tool that is asked for by name may not be called: no request "
        "relies on it.",
        "no-credit": "An account without credit answers 429 or 400: it is not asked again.",
        "overflow-by-type": "A context that is too small is told by `type`, with `n_ctx`: it is a "
        "context overflow.",
        "parallel-calls-forced": "Several calls come even where one was asked for: all are taken.",
        "reasoning-apart": "Reasoning comes in `reasoning` or `reasoning_content`: it is not "
        "shown and not kept.",
        "schema-ignored": "`response_format` may be ignored without a word: answers are always "
        "checked against the schema here.",
        "silent-truncation": "Text beyond the context is cut off without a word: set "
        "`context_tokens` to what the server was started with.",
        "unparsable-output-500": "What its own parser refuses is answered with 500: it may be "
        "tried again.",
        "usage-after-choices": "Usage comes in a last event without choices: it is waited for.",
        "usage-may-be-missing": "Usage may be missing: it is estimated, and marked as such.",
    }
)
"""Name to what is seen and what is done about it, in one sentence."""
