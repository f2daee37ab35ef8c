"""`edgemesh notices`: how channels stand, what became of events, and which order has which ticket."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgemesh.console.views import plain
from edgemesh.errors import InputError
from edgemesh.launch.lines import instant_text
from edgemesh.launch.notices import notices_file
from edgemesh.notices.delivery import Fate, Standing, fates, standings
from edgemesh.notices.tickets.register import Noted, tickets

_SIGNS = 8


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand; `fates` are the dead letters, or all of one order or alert where one was asked for."""

    channels: tuple[Standing, ...]
    fates: tuple[Fate, ...]
    tickets: tuple[Noted, ...]


def find(folder: Path, *, subject: str = "", limit: int = 20) -> Told:
    """What the data folder says. InputError when nothing was ever told there."""
    file = notices_file(folder) if folder.is_dir() else folder
    if not file.is_file():
        wish = "[[notice]] or [[ticket]] in the configuration, and a site that has run"
        raise InputError("nothing was told here", source=str(file), wish=wish)
    return Told(
        channels=tuple(standings(file)),
        fates=tuple(fates(file, subject=subject, state="" if subject else "dead", limit=limit)),
        tickets=tuple(tickets(file, order=subject)[-limit:]),
    )


def lines_of(told: Told) -> list[str]:
    """The same for people."""
    lines = [
        f"{each.name}: breaker {each.breaker}; {each.waiting} wait, {each.done} done, {each.dead} dead"
        + (f"; {plain(each.said)}" if each.said else "")
        for each in told.channels
    ]
    lines += [
        f"{instant_text(fate.at_ns)} {fate.channel} {fate.what} {fate.subject[:_SIGNS]}: {fate.state}"
        f" after {fate.tries} tries: {plain(fate.said)}"
        for fate in told.fates
    ]
    lines += [
        f"order {noted.order[:_SIGNS]}: ticket {plain(noted.ticket.key) or 'in doubt'} in {noted.system}"
        f"{', ' + plain(noted.ticket.state) if noted.ticket.state else ''} {plain(noted.ticket.url)}".rstrip()
        for noted in told.tickets
    ]
    return lines
