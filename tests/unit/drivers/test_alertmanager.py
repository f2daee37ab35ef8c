"""The driver `alertmanager`, spoken to as Alertmanager and Grafana do, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp
import msgspec
import pytest

from edgemesh.agents import runtime
from edgemesh.bus.memory import MemoryBroker
from edgemesh.configuration.loading import Configuration, load
from edgemesh.drivers.alertmanager import driver as module
from edgemesh.drivers.alertmanager.driver import Alertmanager, Levels
from edgemesh.drivers.alertmanager.payload import Told, read
from edgemesh.drivers.alertmanager.settings import Settings
from edgemesh.drivers.contract import Settle
from edgemesh.errors import DriverError, Rejected
from edgemesh.launch.plant import build, journal_file
from edgemesh.model.samples import Sample
from edgemesh.model.settings import Seconds, Secret
from edgemesh.store.history import History
from tests.conftest import Until
from tests.contract.fake_inlet import FakeInlet
from tests.unit.launch.small_plant import FILE

TOKEN = "a token of the test"
SMALL: dict[str, object] = {"status": "firing", "labels": {}, "fingerprint": "c0ffee01"}
Post = Callable[..., Awaitable[tuple[int, str]]]


def group(*alerts: dict[str, object], **more: object) -> dict[str, object]:
    """What Alertmanager sends, with all that we do not read."""
    return {
        "version": "4", "groupKey": "{}", "truncatedAlerts": 0, "status": "firing", "receiver": "edgemesh",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am",
        "alerts": list(alerts),
    } | more  # fmt: skip


def one(
    status: str = "firing", fingerprint: str = "c0ffee0123456789", severity: str = "critical", **labels: str
) -> dict[str, object]:
    return {
        "status": status, "fingerprint": fingerprint, "startsAt": "2024-05-01T12:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "annotations": {"summary": "full"},
        "labels": {"alertname": "DiskFull", "asset": "pump-1", "severity": severity} | labels,
    }  # fmt: skip


def speak(scenario: Callable[[Post, FakeInlet], Awaitable[None]], inlet: FakeInlet, **more: object) -> None:
    """Run the driver and talk to it."""

    async def body() -> None:
        driver = Alertmanager(Settings(token=Secret(TOKEN), port=0, period=Seconds(3600.0), **more))  # type: ignore[arg-type]
        task = asyncio.create_task(driver.run(inlet))
        while not inlet.samples:
            await asyncio.sleep(0.001)
            assert not task.done(), task.exception()

        async def post(document: object, *, token: str = TOKEN) -> tuple[int, str]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"http://127.0.0.1:{driver.port}/alerts", json=document, headers=headers) as response,
            ):
                return response.status, await response.text()

        try:
            await scenario(post, inlet)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(body())


def values(inlet: FakeInlet) -> list[tuple[str, str, float | None]]:
    """What came of it, but for the beat of the driver itself."""
    return [
        (sample.source.asset, sample.source.metrics[0], sample.values[0])
        for sample in inlet.samples
        if sample.source.metrics != ("alerts_firing",)
    ]


def test_an_alert_becomes_a_metric_of_its_asset() -> None:
    """At its severity while it fires, at 0 once it is resolved."""

    async def scenario(post: Post, inlet: FakeInlet) -> None:
        assert await post(group(one())) == (200, "1 taken")
        assert await post(group(one(severity="warning"))) == (200, "1 taken")
        assert await post(group(one("resolved"))) == (200, "1 taken")
        assert values(inlet) == [("pump-1", "alert_disk_full", level) for level in (3.0, 2.0, 0.0)]

    speak(scenario, FakeInlet())


def test_an_alert_is_known_by_its_fingerprint() -> None:
    """Repeated it says nothing; two of one name stand until both are resolved."""

    async def scenario(post: Post, inlet: FakeInlet) -> None:
        await post(group(one(), one(fingerprint="aa" * 8, severity="info")))
        assert await post(group(one())) == (200, "0 taken")
        await post(group(one("resolved")))
        await post(group(one("resolved", fingerprint="aa" * 8)))
        assert await post(group(one("resolved", fingerprint="bb" * 8))) == (200, "0 taken")
        assert [level for _, _, level in values(inlet)] == [3.0, 1.0, 0.0]

    speak(scenario, FakeInlet())


def test_without_the_token_nothing_is_read() -> None:
    """401, and nothing in the quarantine that a stranger could fill."""

    async def scenario(post: Post, inlet: FakeInlet) -> None:
        for token in ("", "wrong", TOKEN + "x"):
            assert (await post(group(one()), token=token))[0] == 401
        assert values(inlet) == []
        assert inlet.rejections == []

    speak(scenario, FakeInlet())


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("text", "wrong_shape"),
        (group(version="3"), "wrong_shape"),
        (group(one("perhaps")), "wrong_shape"),
        (group(one(fingerprint="no hex")), "wrong_shape"),
        (group(*[SMALL] * 1_001), "wrong_shape"),
        (group(one(asset="")), "bad_id"),
        (group(one(), one(alertname="???")), "bad_id"),
    ],
)
def test_what_is_not_alertmanagers_is_refused_as_a_whole(document: object, reason: str) -> None:
    """With 400 and a reason in the quarantine; nothing of it is taken."""

    async def scenario(post: Post, inlet: FakeInlet) -> None:
        assert (await post(document))[0] == 400
        assert [rejection[0] for rejection in inlet.rejections] == [reason]
        assert values(inlet) == []

    speak(scenario, FakeInlet())


def test_json_is_strict() -> None:
    """No key twice, no NaN, no depth without end."""
    for payload in (b'{"version": "4", "version": "4", "alerts": []}', b'{"version": NaN}', b"[" * 100, b"\xff"):
        with pytest.raises(Rejected):
            read(payload, asset_label="asset", asset="")


def test_grafanas_form_is_read_and_a_default_asset_taken() -> None:
    """It calls its version 1 and adds fields of its own; names become ids."""
    alert = one(alertname="Röhre (heiß)", asset="", severity="odd") | {"values": {"A": 1.5}, "silenceURL": "x"}
    told = read(msgspec.json.encode(group(alert, version="1", orgId=1, title="t")), asset_label="asset", asset="hall")
    assert told == [Told("hall", "alert_rohre_hei", "c0ffee0123456789", 2.0)]


def test_metrics_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit another is not known; those that are go on."""
    monkeypatch.setattr(module, "MOST_METRICS", 2)
    levels = Levels()
    assert [levels.take(Told("a", f"m{number}", "f", 3.0)) for number in range(3)] == [True, True, False]
    assert levels.take(Told("a", "m0", "f", 0.0))
    assert levels.all() == [("a", "m0"), ("a", "m1")]


class Slow(FakeInlet):
    """A gateway that commits when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Settle] = []

    def put(self, samples: Sequence[Sample], settle: Settle | None = None) -> None:
        super().put(samples)
        self.held += [settle] if settle else []


def test_the_answer_waits_for_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 until it is committed, for the same again as well; then it is well and taken once."""
    monkeypatch.setattr(module, "COMMIT_S", 0.05)
    slow = Slow()

    async def scenario(post: Post, inlet: FakeInlet) -> None:
        assert (await post(group(one())))[0] == 503
        assert (await post(group(one())))[0] == 503
        for settle in slow.held:
            settle()
        assert await post(group(one())) == (200, "0 taken")
        assert values(inlet) == [("pump-1", "alert_disk_full", 3.0)]

    speak(scenario, slow)


def test_a_port_that_is_taken_is_a_device_that_is_gone() -> None:
    """The gateway tries again later."""

    async def scenario(post: Post, inlet: FakeInlet) -> None:
        sockets = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        port = sockets.sockets[0].getsockname()[1]
        with pytest.raises(DriverError, match="can't listen"):
            await Alertmanager(Settings(token=Secret(TOKEN), port=port)).run(FakeInlet())
        sockets.close()
        await sockets.wait_closed()

    speak(scenario, FakeInlet())


def test_a_short_token_is_refused() -> None:
    """Somebody would guess it."""
    with pytest.raises(ValueError, match="16 characters"):
        Settings(token=Secret("short"))


def test_what_fires_there_becomes_one_order_here(tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through gateway, detector and scheduler like any reading; sent twice it is still one alert and one order."""
    monkeypatch.setattr(runtime, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(runtime, "TICK_S", 0.025)
    rule = '\n[[detection.rule]]\nkind = "limit"\nmetric = "alert_*"\nabove = 1.5\nclear = 0.5\n'
    file = tmp_path / "plant.toml"
    file.write_text(FILE.format(data=tmp_path / "data") + rule)
    driver = Alertmanager(Settings(token=Secret(TOKEN), port=0, period=Seconds(0.1)))
    loaded = load(file)
    configuration = Configuration(loaded.file, loaded.settings, {"gateway-1": (("am", driver),)})

    async def scenario() -> None:
        broker = MemoryBroker()
        plant = await build(configuration, connect=lambda client, will: broker.client(client, will=will))
        await plant.start()
        try:
            await until(lambda: driver.port != 0, 10)
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with aiohttp.ClientSession(headers=headers) as session:
                for _ in range(2):
                    async with session.post(f"http://127.0.0.1:{driver.port}/alerts", json=group(one())) as response:
                        assert response.status == 200

            def ordered() -> bool:
                with History(journal_file(tmp_path / "data", "recorder")) as history:
                    return len(history.orders()) > 0

            await until(ordered, 20)
            with History(journal_file(tmp_path / "data", "recorder")) as history:
                assert [order.asset for order in history.orders()] == ["pump-1"]
                assert history.alerts()[0].evidence[0].metric == "alert_disk_full"
        finally:
            await plant.stop()

    asyncio.run(scenario())
