"""The site under proof: real processes around a real broker that keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgemesh.errors import InputError
from edgemesh.prove.brokers import KINDS, Node, accepts, own_nodes
from edgemesh.prove.faults import Victim

GATEWAYS = ("gateway-1", "gateway-2")
DETECTORS = ("detector-1", "detector-2")
HALL = "gateways"
"""The one program of all gateways where there are more than two."""
DEVICES = 16
"""Counting devices of each gateway."""
CREW = ("ana", "ben", "cleo", "dai", "eve", "finn", "gus", "hana")
STOP_S = 5.0

_CONFIGURATION = """
[site]
id = "prove"
data = "{folder}/data"
broker = "{broker}"
roles = ["gateway", "detector", "scheduler", "recorder", "registry"]
{gateways}
[detector]
agents = [{detectors}]

[[detection.rule]]
kind = "limit"
name = "excursion"
metric = "level"
above = 0.5
clear = 0.5

[scheduler]

[dispatch]
answer_within = "30s"
work_within = "120s"
verify_for = "500ms"
when_cleared = "keep"

[[dispatch.triage]]
title = "Look after {{asset}}"
skills = {{ operator = 0.5 }}

[recorder]

[registry]

[outbox]
keep = "10s"
{extra}"""
_GATEWAY = """
[[gateway]]
id = "{name}"

[[gateway.driver]]
type = "count"
prefix = "{name}"
devices = {devices}
rate = {rate}
until = "{folder}/enough"
period = {period}
excursion = {excursion}
ledger = "{folder}/ledgers/{name}"
"""


@dataclass(slots=True)
class Program:
    """A program that is started again whenever it was killed: a Python module with its arguments.

    `switches` are for `edgemesh.prove.broken`, which starts it with a guard off or to fail at a point; they hold for
    every start while they stand. `prefix` goes before the interpreter (`ip netns exec …`, `faketime …`);
    `environment` is added to ours.
    """

    name: str
    module: str
    arguments: list[str]
    log: Path
    switches: list[str] = field(default_factory=list)
    prefix: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    starts: int = 0

    @property
    def command(self) -> list[str]:
        """The command line of the next start."""
        broken = ["edgemesh.prove.broken", *self.switches] if self.switches else []
        return [*self.prefix, sys.executable, "-m", *broken, self.module, *self.arguments]

    async def start(self) -> None:
        """Start it; its output goes to its log."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
            )
        self.starts += 1

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.process and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    async def kill(self) -> None:
        """`kill -9`, of its children before itself, and wait until it is gone."""
        if self.process is None:
            return
        for child in _children(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.send(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> None:
        """End it in peace, and by force after 5 s."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if self.process:
            try:
                await asyncio.wait_for(self.process.wait(), STOP_S)
            except TimeoutError:
                await self.kill()

    def check(self) -> None:
        """InputError when it has ended by itself: the proof can't go on."""
        if self.process and self.process.returncode is not None:
            said = self.log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            raise InputError(f"{self.name} ended by itself with status {self.process.returncode}; it said: {said[0]}")


@dataclass(slots=True)
class Site:
    """All programs of the proof. `brokers` are those of them that are brokers, `port` is that of the first one."""

    folder: Path
    broker_kind: str
    programs: dict[str, Program] = field(default_factory=dict)
    brokers: tuple[Node, ...] = ()
    detectors: tuple[str, ...] = DETECTORS
    gateways: tuple[str, ...] = GATEWAYS

    @property
    def port(self) -> int:
        """Where the first broker of ours listens; 0: it is somebody else's."""
        return self.brokers[0].port if self.brokers else 0

    @property
    def ready_s(self) -> float:
        """How long our brokers may take from their start until they accept clients; 0: they are somebody else's."""
        return KINDS[self.broker_kind].ready_s if self.brokers else 0.0

    def of(self, victim: Victim) -> list[str]:
        """The programs that a fault of this kind may hit."""
        return {
            Victim.BROKER: [node.name for node in self.brokers],
            Victim.GATEWAY: [name for name in (*self.gateways, HALL) if name in self.programs],
            Victim.DETECTOR: list(self.detectors),
            Victim.SCHEDULER: ["scheduler"],
            Victim.RECORDER: ["recorder"],
        }[victim]

    async def start(self) -> None:
        """Start the brokers and wait for them, then everything else."""
        names = self.of(Victim.BROKER)
        for name in names:
            await self.programs[name].start()
        await self.broker_answers()
        for name, program in self.programs.items():
            if name not in names:
                await program.start()

    async def broker_answers(self) -> None:
        """Wait until every broker of ours accepts clients. BusUnavailable when one does not in its time."""
        for node in self.brokers:
            await accepts(node.port, self.ready_s)

    def weaken(self, guards: Sequence[str]) -> None:
        """Have every program start with these guards off, to see that the proof notices."""
        for program in self.programs.values():
            program.switches += [f"--without={guard}" for guard in guards]

    def enough(self) -> None:
        """Have the devices count no further."""
        (self.folder / "enough").touch()

    async def stop(self) -> None:
        """Stop all programs, the brokers last."""
        names = self.of(Victim.BROKER)
        others = [program for name, program in self.programs.items() if name not in names]
        await asyncio.gather(*(program.stop() for program in others))
        await asyncio.gather(*(self.programs[name].stop() for name in names))


def lay_out(
    folder: Path,
    *,
    broker: str,
    rate: float,
    seed: int,
    detectors: Sequence[str] = DETECTORS,
    gateways: Sequence[str] = GATEWAYS,
    extra: str = "",
) -> Site:
    """Write the configuration and say which programs there are. `rate` is samples a second of all gateways.

    `broker` is one of `edgemesh.prove.brokers.KINDS` or addresses; a broker of somebody else's is never hit. `extra` is
    TOML that goes on in the configuration's last table, `[outbox]`. InputError when the broker is not installed.
    """
    for name in ("logs", "ledgers", "crew"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    brokers = tuple(own_nodes(broker, folder))
    qos = KINDS[broker].qos if brokers else 1
    address = ",".join(f"mqtt://127.0.0.1:{node.port}{'' if qos else '?qos=0'}" for node in brokers) or broker
    # Two gateways' devices have an excursion of a third of a second every twelve seconds each: long enough for an order
    # to end between. More gateways have as many in all.
    per_device = rate / len(gateways) / DEVICES
    tables = "".join(
        _GATEWAY.format(
            name=name,
            folder=folder,
            devices=DEVICES,
            rate=rate / len(gateways),
            period=max(20, round(per_device * 12 * len(gateways) / len(GATEWAYS))),
            excursion=max(5, round(per_device / 3)),
        )
        for name in gateways
    )
    file = folder / "prove.toml"
    names = ", ".join(f'"{name}"' for name in detectors)
    file.write_text(_CONFIGURATION.format(folder=folder, broker=address, gateways=tables, detectors=names, extra=extra))
    site = Site(folder, broker, brokers=brokers, detectors=tuple(detectors), gateways=tuple(gateways))

    def add(name: str, module: str, *arguments: str) -> None:
        site.programs[name] = Program(name, module, list(arguments), folder / "logs" / f"{name}.log")

    for node in brokers:
        add(node.name, node.module, *node.arguments)
    if len(gateways) > len(GATEWAYS):
        add(HALL, "edgemesh", "run", str(file), *(f"--agent={name}" for name in gateways), "--log-level=warning")
    alone = gateways if len(gateways) <= len(GATEWAYS) else ()
    for name in (*alone, *detectors, "scheduler", "recorder", "registry"):
        add(name, "edgemesh", "run", str(file), f"--agent={name}", "--log-level=warning")
    people = [f"--person={name}:operator" for name in CREW]
    add(
        "crew", "firmware_sim", "crew", f"--broker={address}", "--site=prove", f"--seed={seed}",
        *people, "--work-s=0.4", f"--state-dir={folder / 'crew'}", f"--ledger={folder / 'ledgers' / 'starts'}",
    )  # fmt: skip
    return site


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
