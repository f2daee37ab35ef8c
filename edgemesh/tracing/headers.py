"""Headers for a collector in OpenTelemetry's own form, as in `OTEL_EXPORTER_OTLP_HEADERS`. Pure.

`name=value,name=value`; in values what is no plain sign is percent-encoded.
Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables
"""

from __future__ import annotations

import re
from urllib.parse import unquote

MOST_HEADERS = 32
MOST_CHARACTERS = 8_192
OURS = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding", "user-agent"}
)
"""What the exporter itself says."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE = re.compile(r"[\x20-\x7e]*")


def parse_headers(text: str) -> dict[str, str]:
    """The headers by name. ValueError says which one is wrong by its place and, where it has one, its name: never by
    its value, which may be a secret.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"has more than {MOST_CHARACTERS} characters")
    headers: dict[str, str] = {}
    for place, pair in enumerate(filter(str.strip, text.split(",")), start=1):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not _NAME.fullmatch(name):
            raise ValueError(f"header {place} is not `name=value`; in a value write `,` as %2C")
        value = unquote(value, errors="replace").strip()
        if not _VALUE.fullmatch(value):
            raise ValueError(f"header `{name}` holds signs that no header may have")
        if name.lower() in OURS:
            raise ValueError(f"header `{name}` is set by the exporter itself")
        if name.lower() in map(str.lower, headers):
            raise ValueError(f"header `{name}` is there twice")
        headers[name] = value
    if len(headers) > MOST_HEADERS:
        raise ValueError(f"has more than {MOST_HEADERS} headers")
    return headers
