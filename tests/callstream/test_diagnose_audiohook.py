"""The diagnosis against an ingest on loopback with a certificate of its own, and against servers that are wrong."""

import json
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from websockets.asyncio.server import serve

from callstream import diagnose_audiohook as module
from callstream.diagnose_audiohook import Finding, Outcome, Target, diagnose
from runtime.clock import SystemClock
from simulators.audiohook.report import CallReport
from simulators.audiohook.signature import Credentials
from tests.ingest.sources.audiohook.test_auth import KEY, SECRET
from tests.ingest.test_server import serving
from tests.ingest.test_session import FakeOutlet

CREDENTIALS = Credentials(KEY, SECRET)


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """Refusals that take a tenth of their time, and are measured by it."""
    monkeypatch.setattr("ingest.server.REFUSAL_FLOOR_S", 0.05)
    monkeypatch.setattr("callstream.diagnose_audiohook.FLOOR_S", 0.045)


@pytest.fixture
def outlet() -> FakeOutlet:
    return FakeOutlet()


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({KEY: SECRET, "open": ""}))
    return path


class Certified:
    """A certificate in files, and who trusts its authority."""

    def __init__(self, folder, name: str = "localhost", days: int = 90) -> None:
        authority = trustme.CA()
        not_after = datetime.fromtimestamp(SystemClock().wall_s(), UTC) + timedelta(days=days)
        issued = authority.issue_cert(name, not_after=not_after)
        self.chain, self.key, self.authority = folder / "chain.pem", folder / "key.pem", folder / "authority.pem"
        for pem in issued.cert_chain_pems:
            pem.write_to_path(self.chain, append=True)
        issued.private_key_pem.write_to_path(self.key)
        authority.cert_pem.write_to_path(self.authority)
        self.trust = ssl.create_default_context()
        authority.configure_trust(self.trust)
        self.settings = {"host": "localhost", "tls_certfile": self.chain, "tls_keyfile": self.key}


@pytest.fixture
def certified(tmp_path) -> Certified:
    return Certified(tmp_path)


async def findings(url: str, credentials: Credentials | None = CREDENTIALS, tls=None, **target) -> list[Finding]:
    settings = {"calls": 3, "seconds": 0.3, **target}
    wanted = Target(url, credentials, tls or ssl.create_default_context(), **settings)
    return [finding async for finding in diagnose(wanted)]


def of(step: str, found: list[Finding], outcome: Outcome) -> list[str]:
    return [finding.text for finding in found if finding.step == step and finding.outcome is outcome]


def failed(found: list[Finding]) -> set[str]:
    return {finding.step for finding in found if finding.outcome is Outcome.FAILED}


async def test_an_ingest_as_it_should_be_passes_every_step_and_keeps_nothing_of_it(outlet, keys, certified):
    async with serving(outlet, keys, **certified.settings) as server:
        found = await findings(f"wss://localhost:{server.port}/audiohook/v2?a=b", tls=certified.trust)
    assert {finding.outcome for finding in found} == {Outcome.OK}, found
    assert [finding.step for finding in found] == ["address", "certificate", "probe", "refusals", "refusals", "load"]
    assert "TLSv1.3" in found[1].text
    assert "refused with 401, all alike" in found[3].text
    assert "3 sessions" in found[5].text
    assert outlet.records == []
    assert SECRET not in repr(found)


async def test_a_certificate_of_an_authority_nobody_knows_is_named(outlet, keys, certified):
    async with serving(outlet, keys, **certified.settings) as server:
        found = await findings(f"wss://localhost:{server.port}/audiohook")
    assert failed(found) == {"certificate"}
    assert found[-1].text.startswith("the certificate is not accepted: ")
    assert "AUDIOHOOK-0002" in found[-1].codes


async def test_a_certificate_of_another_name_is_named(outlet, keys, tmp_path):
    certified = Certified(tmp_path, "other.example")
    async with serving(outlet, keys, **certified.settings) as server:
        found = await findings(f"wss://localhost:{server.port}/audiohook", tls=certified.trust)
    assert "localhost" in of("certificate", found, Outcome.FAILED)[0]


async def test_a_certificate_that_ends_soon_is_a_warning(outlet, keys, tmp_path):
    certified = Certified(tmp_path, days=5)
    async with serving(outlet, keys, **certified.settings) as server:
        found = await findings(f"wss://localhost:{server.port}/audiohook", None, tls=certified.trust)
    assert "more days" in of("certificate", found, Outcome.WARNING)[0]
    assert of("probe", found, Outcome.SKIPPED)


async def test_a_server_without_tls_cannot_be_reached_by_wss(outlet, keys):
    async with serving(outlet, keys) as server:
        found = await findings(f"wss://localhost:{server.port}/audiohook")
    assert failed(found) & {"certificate", "address"}


async def test_a_wrong_secret_shows_in_the_probe_with_what_to_look_for(outlet, keys):
    async with serving(outlet, keys) as server:
        found = await findings(f"ws://localhost:{server.port}/audiohook", Credentials(KEY, "AAAA"))
    (text,) = of("probe", found, Outcome.FAILED)
    assert "refused with 401" in text
    assert "correlation id" in text
    assert next(finding.codes for finding in found if finding.step == "probe") == ("AUDIOHOOK-0003",)
    assert of("load", found, Outcome.OK) == []


@pytest.mark.parametrize(
    ("path", "settings", "status"), [("/elsewhere", {}, "404"), ("/audiohook", {"handshake_burst": 1}, "429")]
)
async def test_a_request_that_is_turned_down_says_why(outlet, keys, path, settings, status):
    async with serving(outlet, keys, handshakes_per_s=0.001, **settings) as server:
        if settings:
            server._bucket.take(server._surroundings.clock.monotonic_s())
        found = await findings(f"ws://localhost:{server.port}{path}")
    assert f"refused with {status}" in of("probe", found, Outcome.FAILED)[0]


async def test_the_platform_takes_wss_with_a_name_and_nothing_else(outlet, keys):
    async with serving(outlet, keys) as server:
        found = await findings(f"ws://u@127.0.0.1:{server.port}/audiohook#x", None)
    assert len(of("address", found, Outcome.FAILED)) == 3
    assert all(finding.codes == ("AUDIOHOOK-0001", "AUDIOHOOK-0002") for finding in found if finding.codes)


async def test_nobody_behind_the_address_ends_the_diagnosis(outlet, keys):
    async with serving(outlet, keys) as server:
        port = server.port
    found = await findings(f"wss://localhost:{port}/audiohook")
    assert failed(found) == {"address"}
    assert "no connection" in found[-1].text


async def test_a_key_without_a_secret_is_a_warning(outlet, keys):
    async with serving(outlet, keys) as server:
        found = await findings(f"ws://localhost:{server.port}/audiohook", Credentials("open"))
    assert "no secret" in of("refusals", found, Outcome.WARNING)[0]
    assert of("load", found, Outcome.OK)


async def test_replays_that_are_let_in_are_a_warning(outlet, keys):
    async with serving(outlet, keys, refuse_replays=False) as server:
        found = await findings(f"ws://localhost:{server.port}/audiohook")
    assert "twice" in of("refusals", found, Outcome.WARNING)[0]


async def test_refusals_that_come_at_once_are_a_warning(outlet, keys, monkeypatch):
    monkeypatch.setattr("ingest.server.REFUSAL_FLOOR_S", 0.0)
    async with serving(outlet, keys) as server:
        found = await findings(f"ws://localhost:{server.port}/audiohook")
    assert "so soon" in of("refusals", found, Outcome.WARNING)[0]


@asynccontextmanager
async def impostor(handler, answer=None):
    """A server that is none of ours."""
    async with serve(handler, "localhost", 0, process_request=answer) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://localhost:{port}/audiohook"


async def test_a_server_that_lets_everybody_in_and_counts_from_two_is_found_out():
    async def handler(connection) -> None:
        async for message in connection:
            opened = json.loads(message)
            parameters = {"startPaused": False, "media": opened["parameters"].get("media", [])[:1]}
            answer = {"version": "2", "id": opened["id"], "type": "opened", "seq": 2, "clientseq": opened["seq"]}
            await connection.send(json.dumps(answer | {"parameters": parameters}))
            await connection.close()

    async with impostor(handler) as url:
        found = await findings(url)
    assert "Server sequence number out of order" in of("probe", found, Outcome.FAILED)[0]
    assert next(finding.codes for finding in found if finding.step == "probe") == ("AUDIOHOOK-0004", "AUDIOHOOK-0009")
    assert {text.removeprefix("a request with ") for text in of("refusals", found, Outcome.FAILED)} == {
        "an unknown key is let in",
        "no signature is let in",
        "a wrong secret is let in",
        "an unknown key with a signature is let in",
        "a signature of an hour ago is let in",
    }


async def test_answers_that_differ_and_a_clock_that_is_wrong_are_warnings():
    async def handler(connection) -> None:
        await connection.wait_closed()

    def answer(connection, request):
        response = connection.respond(401, f"no {request.headers.get('Signature', 'signature')}\n")
        del response.headers["Date"]
        response.headers["Date"] = "Tue, 20 Apr 2021 02:07:55 GMT"
        return response

    async with impostor(handler, answer) as url:
        found = await findings(url)
    warnings = " ".join(of("refusals", found, Outcome.WARNING))
    assert "the answers differ" in warnings
    assert "the server's clock is -" in warnings


@pytest.mark.parametrize(
    ("report", "codes"),
    [
        ({"http_status": 503}, ("AUDIOHOOK-0002",)),
        ({"faults": [{"code": 408, "message": "Timeout waiting for pong"}]}, ("AUDIOHOOK-0006",)),
        ({"outcome": "lost"}, ("AUDIOHOOK-0004", "AUDIOHOOK-0006", "AUDIOHOOK-0009")),
    ],
)
def test_a_session_that_goes_wrong_shows_as_the_event_of_what_was_wrong(report, codes):
    found = module._session_failed("load", CallReport("c", "s", "x", "load", **report), "?")
    assert (found.outcome, found.codes) == (Outcome.FAILED, codes)
