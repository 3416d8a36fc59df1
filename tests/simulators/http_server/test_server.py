import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from runtime.errors import Unavailable
from runtime.http import HttpClient
from simulators.http_server.server import Fault, serving


async def test_an_application_is_served_while_the_context_lasts():
    async def hello(_request):
        return PlainTextResponse("hello")

    application = Starlette(routes=[Route("/here", hello)])
    async with HttpClient("stand-in", timeout_s=5) as http:
        async with serving(application) as url:
            assert (await http.request("GET", f"{url}/here")).body == b"hello"
        with pytest.raises(Unavailable):
            await http.request("GET", f"{url}/here")


async def test_a_fault_without_a_field_lets_a_request_be_served():
    assert await Fault(delay_s=0.001).answer({}) is None


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Fault(429, retry_after="7"), 429, b'{"code":"x"}'),
        (Fault(body=b"<html>", retry_after="7"), 200, b"<html>"),
        (Fault(502, body=b"", retry_after="7"), 502, b""),
    ],
)
async def test_a_fault_answers_in_place_of_the_server(fault, status, body):
    answer = await fault.answer({"code": "x"})
    assert (answer.status_code, answer.body, answer.headers["retry-after"]) == (status, body, "7")
