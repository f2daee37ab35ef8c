"""What `[traces]` may say."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from edgemesh.model.settings import Seconds, Secret, Settings
from edgemesh.tracing.headers import parse_headers


class TraceSettings(Settings, frozen=True, kw_only=True):
    """`[traces]`: how much of the way of readings is recorded, and for how long the recorder keeps it.

    `share` of all packs of readings is recorded from the head (0.05 is 5 %), whatever comes of them; what ends in an
    alert, an order or an error is recorded always. `keep` is for the latter, `keep_share` for the former. With
    `on = false` nothing is recorded. `trace_ids_as_tags`: ids are tags in InfluxDB, not fields; for 3.x only, as they
    exhaust a server of 1.x or 2.x. `otlp` is the address of an OpenTelemetry collector that gets all spans, too, by
    OTLP over HTTP, like "http://127.0.0.1:4318"; empty: none does. `otlp_headers` go with each request, as
    `name=value,name=value` with values percent-encoded; they may hold secrets: `"authorization=Bearer%20${TOKEN}"`.
    """

    on: bool = True
    share: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.05
    keep: Seconds = Seconds(30 * 86_400.0)
    keep_share: Seconds = Seconds(3_600.0)
    trace_ids_as_tags: bool = False
    otlp: Annotated[str, Meta(pattern=r"^(https?://[^\s@?#/]+(/[^\s@?#]*)?)?(?!\n)$")] = ""
    otlp_headers: Secret = Secret("")

    def __post_init__(self) -> None:
        try:
            parse_headers(self.otlp_headers.reveal())
        except ValueError as error:
            raise ValueError(f"`otlp_headers`: {error}") from None
        if self.otlp_headers and not self.otlp:
            raise ValueError("`otlp_headers` are for a collector: `otlp` names none")

    def headers(self) -> dict[str, str]:
        """The headers by name, in the clear."""
        return parse_headers(self.otlp_headers.reveal())
