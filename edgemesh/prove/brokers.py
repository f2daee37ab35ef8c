"""Real brokers for a proof: NATS with MQTT, three of them in a cluster, RabbitMQ with its MQTT plugin.

`python -m edgemesh.prove.brokers nats --port 1883 --folder /tmp/nats` becomes the server: same process id, store
emptied at each start, nothing outside of the folder, gone when the thread that started it is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgemesh.bus.ports import take_ports
from edgemesh.errors import BusUnavailable, InputError

USUAL_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/sbin", "/usr/lib/rabbitmq/bin")
CLUSTER_SIZE = 3
_PR_SET_PDEATHSIG = 1
_CONNECT = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x0a\x00\x05probe"  # MQTT 3.1.1, clean session, client id "probe"
_ACCEPTED = b"\x20\x02\x00\x00"
_DISCONNECT = b"\xe0\x00"

_NATS = """\
server_name: "{name}"
listen: "127.0.0.1:{ports[0]}"
jetstream {{ store_dir: "{folder}/store", max_memory_store: 256MB, max_file_store: 2GB }}
mqtt {{
  listen: "127.0.0.1:{port}"
  # The default of 30 s sends again what is only waiting for a commit; the default of 1024 is what agents may hold.
  ack_wait: "60s"
  max_ack_pending: 1024
}}
max_payload: 1MB
{cluster}"""
_NATS_CLUSTER = """\
cluster {{
  name: "edgemesh"
  listen: "127.0.0.1:{route}"
  routes: [{routes}]
}}
"""
_RABBITMQ = """\
listeners.tcp = none
mqtt.listeners.tcp.1 = 127.0.0.1:{port}
mqtt.allow_anonymous = true
mqtt.default_user = guest
mqtt.default_pass = guest
mqtt.prefetch = 1000
mqtt.tcp_listen_options.nodelay = true
mqtt.tcp_listen_options.backlog = 1024
mqtt.retained_message_store = rabbit_mqtt_retained_msg_store_ets
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 10MB
log.file = false
log.console = true
log.console.level = warning
"""


@dataclass(frozen=True, slots=True)
class Node:
    """One broker of ours: the port of its MQTT listener, and the Python module that becomes it with its arguments."""

    name: str
    port: int
    module: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a word of `--broker` stands for. `program` must be there, from the Debian package of `package`.

    `qos` is that of our messages: where three nodes must agree on each of QoS 1, and on each subscription, 0 is better.
    """

    program: str
    package: str
    nodes: int
    ready_s: float
    arrange: Callable[[Path, Sequence[int]], list[Node]]
    qos: Literal[0, 1] = 1


def _embedded(prefer: str) -> Callable[[Path, Sequence[int]], list[Node]]:
    def arrange(_: Path, ports: Sequence[int]) -> list[Node]:
        names = _names(len(ports))
        return [
            Node(name, port, "edgemesh.bus.embedded", (f"--port={port}", f"--prefer={prefer}"))
            for name, port in zip(names, ports, strict=True)
        ]

    return arrange


def _nats(folder: Path, ports: Sequence[int]) -> list[Node]:
    routes = take_ports(len(ports)) if len(ports) > 1 else []
    clients = take_ports(len(ports))
    return [
        Node(
            name,
            port,
            __name__,
            (
                *("nats", f"--port={port}", f"--folder={folder / name}", f"--other-port={clients[index]}"),
                *(f"--other-port={route}" for route in routes[index : index + 1]),
                *(f"--route={route}" for route in routes),
            ),
        )
        for index, (name, port) in enumerate(zip(_names(len(ports)), ports, strict=True))
    ]


def _rabbitmq(folder: Path, ports: Sequence[int]) -> list[Node]:
    return [
        Node(
            name,
            port,
            __name__,
            ("rabbitmq", f"--port={port}", f"--folder={folder / name}", f"--other-port={take_ports(1)[0]}"),
        )
        for name, port in zip(_names(len(ports)), ports, strict=True)
    ]


KINDS = {
    "embedded": Kind("", "", 1, 15.0, _embedded("auto")),
    "mosquitto": Kind("mosquitto", "mosquitto", 1, 15.0, _embedded("mosquitto")),
    "amqtt": Kind("", "", 1, 15.0, _embedded("amqtt")),
    "two": Kind("mosquitto", "mosquitto", 2, 15.0, _embedded("mosquitto")),
    "nats": Kind("nats-server", "nats-server", 1, 15.0, _nats),
    "nats-cluster": Kind("nats-server", "nats-server", CLUSTER_SIZE, 30.0, _nats, qos=0),
    "rabbitmq": Kind("rabbitmq-server", "rabbitmq-server", 1, 60.0, _rabbitmq),
}
"""The brokers of our own; any other word is the address of somebody else's."""


def find_program(name: str) -> str | None:
    """The path of a server's program, also where Debian puts it and a user's PATH does not look; None: not there."""
    # RabbitMQ's own script comes before Debian's wrapper of the same name, which insists on a user of its own.
    own = shutil.which(name, path="/usr/lib/rabbitmq/bin") if name.startswith("rabbitmq") else None
    return own or shutil.which(name) or shutil.which(name, path=os.pathsep.join(USUAL_FOLDERS))


def own_nodes(broker: str, folder: Path) -> list[Node]:
    """The brokers that the word stands for, on free ports; none: it is an address. InputError: not installed."""
    kind = KINDS.get(broker)
    if kind is None:
        return []
    if kind.program and find_program(kind.program) is None:
        raise InputError(
            f"{kind.program} is not installed", source="--broker", wish=f"Debian: apt install {kind.package}"
        )
    return kind.arrange(folder, take_ports(kind.nodes))


async def accepts(port: int, within_s: float, *, poll_s: float = 0.02) -> None:
    """Wait until a broker on 127.0.0.1 accepts an MQTT client, which takes some longer than opening the port.

    BusUnavailable when it does not within the time.
    """
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if await _accepts_now(port):
            return
        await asyncio.sleep(poll_s)
    raise BusUnavailable(f"no broker accepts clients on port {port} within {within_s:.0f} s", "see its log")


async def _accepts_now(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        async with asyncio.timeout(2.0):
            writer.write(_CONNECT)
            answer = await reader.readexactly(len(_ACCEPTED))
            writer.write(_DISCONNECT)
            return answer == _ACCEPTED
    except (OSError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _names(count: int) -> list[str]:
    return ["broker"] if count == 1 else [f"broker-{number}" for number in range(1, count + 1)]


@dataclass(frozen=True, slots=True)
class _Start:
    """What becomes of this process: a program with its arguments and what is added to the environment."""

    command: list[str]
    environment: dict[str, str]


def _become_nats(program: str, port: int, folder: Path, others: Sequence[int], routes: Sequence[int]) -> _Start:
    cluster = ""
    if routes:
        urls = ", ".join(f'"nats://127.0.0.1:{route}"' for route in routes)
        cluster = _NATS_CLUSTER.format(route=others[1], routes=urls)
    file = folder / "nats.conf"
    file.write_text(_NATS.format(name=folder.name, ports=others, folder=folder, port=port, cluster=cluster))
    return _Start([program, "-c", str(file)], {})


def _become_rabbitmq(program: str, port: int, folder: Path, others: Sequence[int], _: Sequence[int]) -> _Start:
    store = folder / "store"
    (store / "home").mkdir(parents=True)
    (folder / "rabbitmq.conf").write_text(_RABBITMQ.format(port=port))
    (folder / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
    node = f"edgemesh-{port}@localhost"
    # A node that has its name from the start and knows the one port of the distribution needs no epmd beside it.
    erlang = (
        f"-sname {node} -setcookie edgemesh -erl_epmd_port {others[0]} -kernel inet_dist_use_interface {{127,0,0,1}}"
    )
    return _Start(
        [program],
        {
            "HOME": str(store / "home"),
            "ERL_ZFLAGS": "-start_epmd false",  # also for the helper by which it would start epmd every minute
            "detached": "1",  # the script becomes the server, it does not stay beside it
            "RABBITMQ_NODENAME": node,
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(store),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(store),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_DIST_PORT": str(others[0]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": erlang,
        },
    )


_BECOME = {"nats": ("nats-server", _become_nats), "rabbitmq": ("rabbitmq-server", _become_rabbitmq)}


def main() -> None:
    """Empty the store and become the server; the exit status is 1 when its program is missing."""
    parser = argparse.ArgumentParser(prog="python -m edgemesh.prove.brokers", description="Become a broker.")
    parser.add_argument("kind", choices=sorted(_BECOME))
    parser.add_argument("--port", type=int, required=True, help="of MQTT, on 127.0.0.1")
    parser.add_argument("--folder", type=Path, required=True, help="for configuration and store")
    parser.add_argument("--other-port", type=int, action="append", default=[], help="of other listeners it must have")
    parser.add_argument("--route", type=int, action="append", default=[], help="port of each node of a cluster")
    wanted = parser.parse_args()
    name, become = _BECOME[wanted.kind]
    program = find_program(name)
    if program is None:
        sys.exit(f"{name} is not installed")
    folder = wanted.folder.resolve()
    if not wanted.route:  # a cluster has the others to remember for it, and can't have one of them forget what it knew
        shutil.rmtree(folder / "store", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    start = become(program, wanted.port, folder, wanted.other_port, wanted.route)
    with contextlib.suppress(OSError, AttributeError):  # elsewhere than on Linux it outlives us
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execve(start.command[0], start.command, os.environ | start.environment)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main()
