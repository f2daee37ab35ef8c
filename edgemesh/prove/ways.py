"""The way from some programs of a site to its broker, with weather: a namespace of their own, or else a proxy."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from edgemesh.bus.address import Address, parse_addresses
from edgemesh.errors import InputError
from edgemesh.prove.network import Cell, missing
from edgemesh.prove.proxy import Proxy
from edgemesh.prove.site import Site
from edgemesh.prove.weather import CALM, GONE, Lane, Weather

__all__ = ["CALM", "GONE", "Cell", "Lane", "Proxy", "Way", "Weather", "behind", "broker_address"]

Way = Cell | Proxy
_BROKER = re.compile(r'^broker = "([^"]*)"$', re.MULTILINE)


@contextlib.asynccontextmanager
async def behind(site: Site, names: Sequence[str], *, seed: int = 1, proxy: bool = False) -> AsyncIterator[Way]:
    """Put programs of a site that does not run yet behind a link of their own, which is calm at first.

    A `Cell` where one can be made and the broker is ours to tell where it listens, else a `Proxy`; always with `proxy`.
    Leave it when the programs have ended. InputError when the broker is on another machine.
    """
    address = broker_address(site)
    ours = [site.programs[node.name] for node in site.brokers if node.module == "edgemesh.bus.embedded"]
    if len(ours) == 1 and not proxy and not missing():
        async with Cell(seed) as cell:
            ours[0].arguments.append(f"--host={cell.outside}")
            _lead(site, names, f"mqtt://{cell.outside}:{address.port}", cell.prefix)
            yield cell
        return
    if address.host not in ("127.0.0.1", "localhost"):
        raise InputError(f"no way to {address} can be made worse from here", wish="a broker on this machine")
    async with Proxy(address.port, seed) as way:
        _lead(site, names, f"mqtt://127.0.0.1:{way.port}", ())
        yield way


def broker_address(site: Site) -> Address:
    """The first broker of a site, as its programs know it that are behind no link."""
    found = _BROKER.search((site.folder / "prove.toml").read_text())
    if found is None:
        raise InputError("the site names no broker", source=str(site.folder / "prove.toml"))
    return parse_addresses(found[1])[0]


def _lead(site: Site, names: Sequence[str], address: str, prefix: Sequence[str]) -> None:
    for name in names:
        program = site.programs[name]
        file = Path(next(each for each in program.arguments if each.endswith(".toml")))
        own = site.folder / f"{name}.toml"
        own.write_text(_BROKER.sub(f'broker = "{address}"', file.read_text(), count=1))
        program.arguments = [str(own) if each == str(file) else each for each in program.arguments]
        program.prefix = [*prefix, *program.prefix]
