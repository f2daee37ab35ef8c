"""The contract of drivers: code that talks to devices.

A driver is a module with two names, found by the entry-point group `edgemesh.drivers`:

    class Settings(edgemesh.model.settings.Settings, frozen=True, kw_only=True): ...
    def create(settings: Settings) -> Driver: ...

and a folder that explains itself: README.md, sample.toml and test cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from edgemesh.model.samples import Sample

Settle = Callable[[], None]
Take = Callable[[str, bytes, Settle], None]


class Inlet(Protocol):
    """What a gateway gives its driver."""

    def put(self, samples: Sequence[Sample], settle: Settle | None = None) -> None:
        """Take the samples over, in order; `settle` is called once they are committed. Never blocks.

        All samples of one call are committed together. Call it on the event loop only, and at once after `now_ns`
        gave a sample its time: should the gateway's clock be wrong, that is what is put right later. A sample with a
        time of the device's own (`Sample.own_time`) is left alone. `Sample.trace` may be whatever the device has sent:
        what is no traceparent is counted and left out.
        """
        ...

    async def room(self, *, follow: bool = False) -> None:
        """Return when the gateway can take more; a driver that could flood it waits here before it puts.

        With `follow` also until the readers are not far behind: for what can as well be played later, a recording. What
        is measured now does not wait for readers that are cut off; it goes into the log.
        """
        ...

    def reject(self, reason: str, origin: str, payload: bytes, detail: str = "") -> None:
        """Count a device's bad input under a reason code and keep it (capped) in the quarantine."""
        ...

    def now_ns(self) -> int:
        """The gateway's clock, UTC."""
        ...

    def listen(self, pattern: str, take: Take) -> None:
        """Have each message that fits the MQTT pattern on the site's broker handed to `take(topic, payload, settle)`.

        `settle` must be called, or passed to `put`, for every message. Samples that are put before `take` returns
        continue the trace that the message names in its MQTT 5 user property `traceparent`, unless they name one.
        """
        ...


class Driver(Protocol):
    """Talks to devices and puts what they say into the inlet."""

    async def run(self, inlet: Inlet) -> None:
        """Read until cancelled. Returning means: there is nothing more to read, ever.

        DriverError means that the device is gone: the gateway logs it once, waits (0.5 s to 30 s, growing) and runs the
        driver again.
        """
        ...


class DriverModule(Protocol):
    """What the entry point of a driver names."""

    Settings: type[Any]

    def create(self, settings: Any) -> Driver:
        """Build the driver; settings were checked already. Does not touch the device yet."""
        ...
