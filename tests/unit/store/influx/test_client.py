"""The client: requests as servers of each version want them, and what it makes of each answer."""

from __future__ import annotations

import base64
import time
import urllib.parse
from collections.abc import Iterator

import pytest

from edgemesh.model.settings import Seconds, Secret
from edgemesh.store.influx.client import InfluxClient
from edgemesh.store.influx.settings import InfluxSettings
from edgemesh.store.influx.verdict import Reply, Verdict, judge
from tests.unit.store.influx.stub import Stub, serving

BODY = b"m v=1 1\nm v=2 2"


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving() as made:
        yield made


@pytest.fixture
def client(stub: Stub) -> Iterator[InfluxClient]:
    made = InfluxClient(InfluxSettings(url=stub.url, org="plant", token=Secret("s3cret-token"), timeout=Seconds(5.0)))
    yield made
    made.close()


def asked(stub: Stub) -> tuple[str, dict[str, str]]:
    parts = urllib.parse.urlsplit(stub.paths[-1])
    return parts.path, dict(urllib.parse.parse_qsl(parts.query))


def test_version_2_is_written_as_it_wants_it(stub: Stub, client: InfluxClient) -> None:
    """Compressed lines by /api/v2/write, in nanoseconds, with organisation, bucket and token."""
    assert client.write("raw", BODY) == Reply(204)
    assert asked(stub) == ("/api/v2/write", {"org": "plant", "bucket": "raw", "precision": "ns"})
    assert stub.logins == ["Token s3cret-token"]
    assert stub.stored == ["m v=1 1", "m v=2 2"]


@pytest.mark.parametrize(
    ("bucket", "query"),
    [("plant", {"db": "plant", "precision": "ns"}), ("plant/raw", {"db": "plant", "rp": "raw", "precision": "ns"})],
)
def test_version_1_is_written_as_it_wants_it(stub: Stub, bucket: str, query: dict[str, str]) -> None:
    """The same lines by /write, with database, retention policy and a login."""
    client = InfluxClient(InfluxSettings(url=stub.url, version=1, user="writer", password=Secret("s3cret")))
    assert client.write(bucket, BODY).status == 204
    client.close()
    assert asked(stub) == ("/write", query)
    assert stub.logins == ["Basic " + base64.b64encode(b"writer:s3cret").decode()]
    assert stub.stored == ["m v=1 1", "m v=2 2"]


@pytest.mark.parametrize(
    ("status", "text", "headers", "verdict"),
    [
        (204, "", {}, Verdict.DONE),
        (429, "slow down", {"Retry-After": "17"}, Verdict.AGAIN),
        (503, "busy", {}, Verdict.AGAIN),
        (500, "oh", {}, Verdict.AGAIN),
        (401, "unauthorized: s3cret-token", {}, Verdict.HOLD),
        (404, "bucket not found", {}, Verdict.HOLD),
        (302, "", {"Location": "http://127.0.0.1:1/"}, Verdict.HOLD),
        (400, '{"error":"partial write: dropped=1"}', {}, Verdict.PARTLY),
        (400, "unable to parse", {}, Verdict.REFUSED),
        (413, "too large", {}, Verdict.HALVE),
    ],
)
def test_each_answer_comes_through(
    stub: Stub, client: InfluxClient, status: int, text: str, headers: dict[str, str], verdict: Verdict
) -> None:
    """Status, text and Retry-After reach whoever judges them; our secret does not, whatever the server says."""
    stub.answer = lambda lines: (status, text, headers)
    reply = client.write("raw", BODY)
    assert (reply.status, judge(reply)) == (status, verdict)
    assert reply.retry_after == headers.get("Retry-After", "")
    assert "s3cret" not in reply.text


def test_bytes_that_are_no_text_are_an_answer_too(stub: Stub, client: InfluxClient) -> None:
    """An error page that is no UTF-8 loses nothing and raises nothing."""
    stub.answer = lambda lines: (400, "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), {})
    assert judge(client.write("raw", BODY)) in (Verdict.REFUSED, Verdict.AGAIN)


def test_a_server_that_hangs_is_given_up(stub: Stub) -> None:
    """A request ends with the time-out, as no answer; so does one to a port on which nobody listens."""
    client = InfluxClient(InfluxSettings(url=stub.url, org="plant", timeout=Seconds(0.3)))
    stub.hung.set()
    began_s = time.monotonic()
    assert client.write("raw", BODY).status == 0
    assert time.monotonic() - began_s < 3.0
    client.close()
    nobody = InfluxClient(InfluxSettings(url="http://127.0.0.1:1", org="plant", timeout=Seconds(0.3)))
    assert nobody.write("raw", BODY).status == 0
    nobody.close()
