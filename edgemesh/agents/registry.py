"""The registry's core: which detector owns which gateway's log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from edgemesh.agents.core import Input
from edgemesh.dispatch.rendezvous import owner_of
from edgemesh.errors import LogDamaged
from edgemesh.model.agents import Card, Owners, Presence, Role
from edgemesh.model.packs import Cards
from edgemesh.model.samples import Record

_PART = "owners"


class _State(msgspec.Struct, kw_only=True):
    """`detectors` are those alive; `gateways` all that were ever seen, and recorders that were ever in trouble."""

    owners: Owners
    detectors: set[str] = set()
    gateways: set[str] = set()


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(_State).decode


class RegistryCore:
    """Gives every known gateway to one live detector by rendezvous hashing.

    A recorder that is in trouble is given to one, too: it follows no log there, but alerts of what the card tells.
    A gateway that is down keeps its owner, and with no live detector the last map stands. Epochs of maps begin above
    `epoch`, or above the saved one if that is higher.
    """

    def __init__(self, agent: str, site: str, epoch: int = 0) -> None:
        self.agent, self.site, self._epoch = agent, site, epoch
        self._state = _State(owners=Owners(epoch=0, owners={}))
        self._dirty = False

    def handle(self, pack: Input) -> Sequence[Record]:
        """Take in cards of detectors and gateways; return the owners with the next epoch when the map changed."""
        if not isinstance(pack, Cards) or not self._follow(pack.records):
            return []
        self._dirty = True
        owners = self._assign()
        if owners == self._state.owners.owners:
            return []
        self._state.owners = Owners(epoch=max(self._epoch, self._state.owners.epoch) + 1, owners=owners)
        return [self._state.owners]

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Time changes nothing here."""
        return []

    def present(self, records: Sequence[Record] | None) -> Mapping[str, Record | None]:
        """`owners`: the newest map."""
        if records is None:
            return {"owners": self._state.owners} if self._state.owners.epoch else {}
        owners = [record for record in records if isinstance(record, Owners)]
        return {"owners": max(owners, key=lambda one: one.epoch)} if owners else {}

    def save(self) -> Mapping[str, bytes | None]:
        """One part, when it changed."""
        if not self._dirty:
            return {}
        self._dirty = False
        return {_PART: _encode(self._state)}

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Go on from the saved part. Raises LogDamaged when it is not what was saved."""
        if _PART in parts:
            try:
                self._state = _decode(parts[_PART])
            except msgspec.MsgspecError as damage:
                raise LogDamaged(f"the registry's part can't be read: {damage}") from damage

    def _follow(self, cards: Iterable[Card]) -> bool:
        """Whether the cards changed who is there."""
        detectors, gateways = set(self._state.detectors), set(self._state.gateways)
        for card in cards:
            if card.role is Role.GATEWAY or (card.role is Role.RECORDER and card.trouble):
                gateways.add(card.agent)
            elif card.role is Role.DETECTOR and card.state is Presence.UP:
                detectors.add(card.agent)
            elif card.role is Role.DETECTOR:
                detectors.discard(card.agent)
        changed = (detectors, gateways) != (self._state.detectors, self._state.gateways)
        self._state.detectors, self._state.gateways = detectors, gateways
        return changed

    def _assign(self) -> dict[str, str]:
        if not self._state.detectors:
            return self._state.owners.owners
        owners = {gateway: owner_of(gateway, self._state.detectors) for gateway in sorted(self._state.gateways)}
        return {gateway: owner for gateway, owner in owners.items() if owner is not None}
