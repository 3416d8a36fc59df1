"""B5 and B6: what arrives and is not what it should be. The defects: tests/data/defects/README.md."""

from types import SimpleNamespace

import pytest

from ingest.protocol import Observed
from ingest.session import Session
from tests.data.defects import messages
from tests.ingest.following_lines import Watched, media_streams, received
from tests.ingest.showing import shows
from tests.ingest.sources.media_streams.words import packet
from tests.ingest.test_session import LOST, FakeOutlet, Pipe, surroundings


async def ours(arriving):
    client = SimpleNamespace(up=False, ended=[], effects=[])
    pipe = Pipe(*arriving, LOST)
    machine = Watched(media_streams(), client)
    await Session("media-streams", machine, surroundings(FakeOutlet())).run(pipe)
    odd = sum(effect.amount for effect in client.effects if isinstance(effect, Observed))
    return messages.Handled(received(client.effects), odd, pipe.closed != [])


BINARY = [b"\xff\xfe1\x00", b"\xff" * 160, packet(7).encode()]


@shows(ours, messages.told_apart, B5=messages.binary_is_parsed)
@pytest.mark.parametrize("odd", BINARY)
async def test_a_binary_message_is_never_read_as_text(make, odd):
    assert await make([packet(0), odd, packet(1)]) == ([0, 1], 1, False)


@shows(ours, messages.told_apart, B6=messages.nothing_is_caught)
@pytest.mark.parametrize("odd", ["{", "", "[]", "acknowledged", '"{}"'])
async def test_what_is_malformed_is_counted_and_ends_nothing(make, odd):
    assert await make([packet(0), odd, packet(1)]) == ([0, 1], 1, False)
