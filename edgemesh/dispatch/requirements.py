"""Requirements: what an order asks of whoever does it, from its skills, its asset and the settings."""

from __future__ import annotations

from collections.abc import Mapping

from edgemesh.dispatch.matching import Need, need_of
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.model.agents import Asset
from edgemesh.model.orders import WorkOrder


class Requirements:
    """The need of an order: certificates follow from the skills it takes and from the asset it is done on."""

    def __init__(self, settings: DispatchSettings, assets: Mapping[str, Asset]) -> None:
        self._settings, self._assets = settings, assets

    def asset(self, order: WorkOrder) -> Asset:
        """What the order is about; one that is not configured stands nowhere in particular."""
        return self._assets.get(order.asset) or Asset(id=order.asset)

    def need(self, order: WorkOrder) -> Need:
        """What is asked for."""
        settings = self._settings
        by_skill = settings.certificates
        certificates = [one for skill in order.skills for one in by_skill.get(skill, ())] if by_skill else []
        if (asset := self._assets.get(order.asset)) is not None:
            certificates += asset.certificates
        return need_of(order.skills, certificates, settings.weights, settings.least_match)
