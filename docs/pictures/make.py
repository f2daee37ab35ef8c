"""Draw docs/pictures/demo.svg: start `edgemesh demo`, wait for a fault, then run `python docs/pictures/make.py`."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

from rich.console import Console

from edgemesh.bus.address import Address
from edgemesh.bus.mqtt import MqttBus
from edgemesh.console.overview import Overview
from edgemesh.console.terminal import TerminalView
from edgemesh.launch.observer import follow
from edgemesh.wire.topics import Topics

HERE = Path(__file__).parent
LOOK_S = 20.0


async def main(address: Address) -> None:
    """Follow the running demo for a while and keep what the terminal would show."""
    bus, overview, topics = MqttBus([address], "edgemesh-picture"), Overview("demo"), Topics("demo")
    follow(bus, overview, topics)
    await bus.open()
    await asyncio.sleep(LOOK_S)
    console = Console(record=True, width=112, height=30, file=(HERE / "make.log").open("w"), force_terminal=True)
    view = TerminalView(console, "edgemesh demo · page http://127.0.0.1:8080/")
    console.print(view.render(overview.snapshot(time.monotonic(), time.time_ns())))
    drawing = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="make demo"), flags=re.DOTALL)
    (HERE / "demo.svg").write_text(drawing)  # without fonts from the network
    (HERE / "make.log").unlink()
    await bus.close()


if __name__ == "__main__":
    asyncio.run(main(Address.parse(Path("data/demo/broker/address").read_text().strip())))
