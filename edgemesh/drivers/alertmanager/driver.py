"""The driver: an HTTP server that takes Alertmanager's webhook, and says a request is well once it is committed."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgemesh.drivers.alertmanager.payload import Told, read
from edgemesh.drivers.alertmanager.settings import Settings
from edgemesh.drivers.contract import Driver, Inlet
from edgemesh.errors import DriverError, Rejected
from edgemesh.model.samples import Sample, Source

if TYPE_CHECKING:
    from aiohttp import web

MOST_BYTES = 256 * 1024
MOST_METRICS = 5_000
COMMIT_S = 10.0
"""A request whose alerts are not committed within this is answered with 503: Alertmanager sends it again."""


class Levels:
    """How each metric of each asset stands: the highest level of the fingerprints that fire. Bounded."""

    def __init__(self) -> None:
        self._firing: dict[tuple[str, str], dict[str, float]] = {}

    def take(self, told: Told) -> bool:
        """Take note of an alert; whether that is news. False, too, where there are too many metrics to know another."""
        key = told.asset, told.metric
        if key not in self._firing and (len(self._firing) >= MOST_METRICS or not told.level):
            return False
        firing = self._firing.setdefault(key, {})
        if firing.get(told.fingerprint, 0.0) == told.level:
            return False
        if told.level:
            firing[told.fingerprint] = told.level
        else:
            del firing[told.fingerprint]
        return True

    def level(self, asset: str, metric: str) -> float:
        """0: nothing fires; 1, 2 or 3: information, warning or critical."""
        return max(self._firing.get((asset, metric), {}).values(), default=0.0)

    def all(self) -> list[tuple[str, str]]:
        """Every asset and metric that ever fired, in the order in which they did first."""
        return list(self._firing)

    @property
    def firing(self) -> int:
        """How many fingerprints fire."""
        return sum(map(len, self._firing.values()))


class Alertmanager:
    """Listens on one address; every `period` it says again how all stands, so that holds and silences work."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._levels = Levels()
        self._token = f"Bearer {settings.token.reveal()}".encode()
        self._sources: dict[tuple[str, str], Source] = {}
        self._last: asyncio.Future[None] | None = None
        self.port = settings.port

    async def run(self, inlet: Inlet) -> None:
        """Serve until cancelled. DriverError when the port can't be had."""
        from aiohttp import web  # heavy, and only a gateway with this driver needs it

        application = web.Application(client_max_size=MOST_BYTES)

        async def take(request: web.Request) -> web.Response:
            return await self._take(request, inlet)

        application.router.add_post(self._settings.path, take)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._settings.host, self._settings.port)
            try:
                await site.start()
            except OSError as error:
                where = f"{self._settings.host}:{self._settings.port}"
                raise DriverError(f"can't listen on {where}: {error.strerror or error}") from error
            self.port = runner.addresses[0][1]
            while True:
                inlet.put(self._all(inlet.now_ns()))
                await asyncio.sleep(self._settings.period)
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request, inlet: Inlet) -> web.Response:
        from aiohttp import web

        given = request.headers.get("Authorization", "").encode(errors="replace")
        if not hmac.compare_digest(given, self._token):
            return web.Response(status=401, text="a bearer token is needed")
        payload = await request.read()
        settings = self._settings
        try:
            told = read(payload, asset_label=settings.asset_label, asset=settings.asset)
        except Rejected as error:
            inlet.reject(error.reason, settings.path, payload, error.detail)
            return web.Response(status=400, text=str(error))
        news = dict.fromkeys((each.asset, each.metric) for each in told if self._levels.take(each))
        if news:
            self._put(list(news), inlet)
        try:
            if self._last is not None:  # also where this says nothing new: it may not be committed yet
                await asyncio.wait_for(asyncio.shield(self._last), COMMIT_S)
        except TimeoutError:
            return web.Response(status=503, text="not committed yet: send it again")
        return web.Response(text=f"{len(news)} taken")

    def _put(self, news: Sequence[tuple[str, str]], inlet: Inlet) -> None:
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle() -> None:
            if not committed.done():
                committed.set_result(None)

        self._last = committed
        at_ns = inlet.now_ns()
        inlet.put([self._sample(asset, metric, at_ns) for asset, metric in news], settle)

    def _all(self, at_ns: int) -> list[Sample]:
        own = Source(self._settings.device, self._settings.device, ("alerts_firing",), ("1",))
        first = Sample(own, at_ns, (float(self._levels.firing),))
        return [first, *(self._sample(asset, metric, at_ns) for asset, metric in self._levels.all())]

    def _sample(self, asset: str, metric: str, at_ns: int) -> Sample:
        source = self._sources.get((asset, metric))
        if source is None:
            source = self._sources[asset, metric] = Source(self._settings.device, asset, (metric,), ("1",))
        return Sample(source, at_ns, (self._levels.level(asset, metric),))


def create(settings: Settings) -> Driver:
    """Build the driver."""
    return Alertmanager(settings)
