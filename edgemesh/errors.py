"""The tree of errors, sorted by who must act.

EdgemeshError
├── ConfigError          the user: a file, a path in it, and what would be right (exit status 2)
│   └── PluginMissing    a plug-in, or something that it needs, is not installed: some go on without
├── InputError           the user: data that was asked for can't be read (exit status 2)
├── Rejected             the peer: bytes that break the rules; counted by reason, kept in quarantine
├── DriverError          the device: gone or unreadable; the gateway waits and tries again
├── BusError             the network
│   └── BusUnavailable   no broker can be had here (port in use, program missing)
├── LogError             the disk
│   ├── LogFull          no room or budget is left: readings give way, alerts never
│   └── LogDamaged       what was written is not what is read
└── StoreError           the sink of history; `retryable` says whether waiting helps
"""

from __future__ import annotations


class EdgemeshError(Exception):
    """Base of every error that edgemesh raises on purpose."""


class ConfigError(EdgemeshError):
    """A configuration that can't be used.

    `file` and `path` say where (`detector.rule[2].hold`), `wish` says what would be right.
    """

    def __init__(self, problem: str, *, file: str = "", path: str = "", wish: str = "") -> None:
        self.problem, self.file, self.path, self.wish = problem, file, path, wish
        super().__init__(": ".join(part for part in (file, path, problem) if part) + (f" ({wish})" if wish else ""))


class PluginMissing(ConfigError):
    """A plug-in that can't be imported, because it or something that it needs is not installed."""


class InputError(EdgemeshError):
    """Data that a person asked for can't be read: `source` says where, `wish` what to do."""

    def __init__(self, problem: str, *, source: str = "", wish: str = "") -> None:
        self.problem, self.source, self.wish = problem, source, wish
        super().__init__((f"{source}: " if source else "") + problem + (f" ({wish})" if wish else ""))


class Rejected(EdgemeshError):
    """Bytes from the network that break the rules. `reason` is a code from `edgemesh.wire.reasons`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class DriverError(EdgemeshError):
    """A device is gone or can't be read; the gateway says so once, waits and runs the driver again."""


class BusError(EdgemeshError):
    """The network or the broker."""


class BusUnavailable(BusError):
    """No broker can be had: `wish` says what to do about it."""

    def __init__(self, problem: str, wish: str = "") -> None:
        self.problem, self.wish = problem, wish
        super().__init__(problem + (f" ({wish})" if wish else ""))


class LogError(EdgemeshError):
    """The agent's durable log."""


class LogFull(LogError):
    """The disk or the budget has no room for the rows; nothing of them was kept."""


class LogDamaged(LogError):
    """A row or file of the log does not hold what was written; `seq` is the row, 0 where no single one is known."""

    def __init__(self, problem: str, *, seq: int = 0) -> None:
        self.seq = seq
        super().__init__(problem)


class StoreError(EdgemeshError):
    """The sink of history refused; `retryable` says whether the same rows may be tried again."""

    def __init__(self, problem: str, *, retryable: bool) -> None:
        self.retryable = retryable
        super().__init__(problem)
