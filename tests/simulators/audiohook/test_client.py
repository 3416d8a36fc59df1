import asyncio
import hashlib
import struct
from collections import Counter

import pytest

from simulators.audiohook import media, scenario
from simulators.audiohook.call import NIL, Call
from simulators.audiohook.client import Options, run_call, run_calls
from simulators.audiohook.scenario import (
    Close,
    Discard,
    Drop,
    Dtmf,
    Leak,
    Pause,
    Scenario,
    Stall,
    Transcript,
    Update,
    expected_actions,
)
from simulators.audiohook.signature import Credentials

MS = 8


def busy() -> Scenario:
    actions = (
        Dtmf(30 * MS, "5"),
        Discard(333 * MS + 3, 120 * MS),
        Update(500 * MS, "de-DE"),
        Pause(605 * MS, 100 * MS, skips=False),
        Stall(700 * MS, 150 * MS),
    )
    return Scenario("busy", media.tone(1000), actions, frame_ms=100)


async def test_a_call_delivers_its_frames_byte_for_byte_and_no_position_drifts(serving, tmp_path):
    call = Call(scenario=busy(), speed=10)
    async with serving() as server:
        report = await run_call(server.url, call, Options(record_folder=tmp_path))
    (peer,) = server.peers
    frames = list(busy().frames())
    assert report.ok, report
    assert peer.frames == frames
    assert set(peer.drifts) == {0}
    assert report.sha256 == hashlib.sha256(b"".join(frames)).hexdigest()
    assert (report.frames_sent, report.bytes_sent) == (len(frames), sum(map(len, frames)))
    assert sum(size * count for size, count in report.frame_sizes) == report.bytes_sent
    recorded = (tmp_path / f"{call.conversation_id}.frames").read_bytes()
    assert recorded == b"".join(struct.pack("<I", len(frame)) + frame for frame in frames)
    assert peer.close_code == 1005


async def test_actions_happen_in_order_at_the_positions_worked_out_before(serving):
    async with serving() as server:
        report = await run_call(server.url, Call(scenario=busy(), speed=0))
    (peer,) = server.peers
    assert peer.kinds() == ["open", "dtmf", "discarded", "update", "paused", "resumed", "close"]
    assert [action["position_samples"] for action in report.actions] == [
        placed.position_samples for placed in expected_actions(busy())
    ]
    discarded = peer.texts[2]
    assert discarded["parameters"] == {"start": "PT0.333375S", "discarded": "PT0.12S"}
    assert discarded["position"] == "PT0.453375S"
    assert peer.texts[-1]["position"] == "PT1.1S"
    assert report.position_samples == 8800


@pytest.mark.parametrize("speed", [0, 10])
async def test_a_leak_goes_out_inside_the_pause_and_into_no_count(serving, speed):
    secret = media.tone(250, 1000)
    texts = []
    leak = Leak(secret, "D", ("secret",))
    actions = (Transcript(200 * MS, "before"), Pause(400 * MS, 600 * MS, skips=False, leak=leak))
    call = Call(scenario=Scenario("leaky", media.silence(800), actions, frame_ms=100), speed=speed)
    async with serving(bears_leaks=True) as server:
        options = Options(on_text=lambda placed, text: texts.append((placed.conversation_id, text)))
        report = await run_call(server.url, call, options)
    (peer,) = server.peers
    assert report.ok
    assert b"".join(peer.leaked) == secret.payload
    assert [len(frame) for frame in peer.leaked] == [1600, 1600, 800]
    assert (report.leaked_frames, report.leaked_digits) == (3, 1)
    assert peer.kinds() == ["open", "paused", "dtmf", "resumed", "close"]
    assert texts == [(call.conversation_id, "before"), (call.conversation_id, "secret")]
    assert report.sha256 == hashlib.sha256(b"".join(call.scenario.frames())).hexdigest()
    assert peer.texts[-1]["position"] == "PT1.4S"


async def test_frames_leave_no_earlier_than_their_position_is_due(serving):
    arrivals = []

    async def note(peer):
        arrivals.append((peer.connection.loop.time(), peer.timeline))

    quiet = Scenario("quiet", media.silence(600), (Stall(200 * MS, 200 * MS),), frame_ms=100)
    async with serving(script={"frame": note}) as server:
        begin_s = asyncio.get_running_loop().time()
        report = await run_call(server.url, Call(scenario=quiet))
    after_s = [at_s - begin_s for at_s, _ in arrivals]
    assert all(after >= due for after, due in zip(after_s, (0, 0.1, 0.4, 0.4, 0.4, 0.5), strict=True))
    # what was due in the stall leaves at its end at once
    assert after_s[4] - after_s[2] < 0.09
    assert report.lateness.summary()["count"] == 6


async def test_the_probe_opens_with_zeros_and_closes_at_once(serving):
    async with serving(choose=lambda _: []) as server:
        report = await run_call(server.url, Call(scenario=scenario.conversation(), probe=True))
    (peer,) = server.peers
    opened = peer.texts[0]["parameters"]
    assert report.ok
    assert report.conversation_id == str(NIL)
    assert (opened["conversationId"], opened["participant"]["id"]) == (str(NIL), str(NIL))
    assert [offer["channels"] for offer in opened["media"]] == [["external", "internal"], ["external"], ["internal"]]
    assert peer.kinds() == ["open", "close"]
    assert peer.frames == []


async def test_an_upgrade_carries_the_identities_and_is_signed_if_there_is_a_secret(serving):
    call = Call(scenario=scenario.conversation(), probe=True)
    async with serving() as server:
        await run_call(server.url, call, Options(credentials=Credentials("key", "c2VjcmV0")))
        await run_call(server.url, call, Options(credentials=Credentials("key")))
        await run_call(server.url, call)
    signed, unsigned, anonymous = server.headers
    assert signed["Audiohook-Session-Id"] == str(call.session_id)
    assert signed["User-Agent"] == "GenesysCloud-AudioHook-Client"
    assert signed["Signature"].startswith("sig1=:")
    assert 'keyid="key"' in signed["Signature-Input"]
    assert "Sec-WebSocket-Extensions" not in signed
    assert unsigned["X-API-KEY"] == "key"
    assert "Signature" not in unsigned
    assert "X-API-KEY" not in anonymous


@pytest.mark.parametrize("status", [302, 401, 503])
async def test_a_refused_upgrade_is_reported_with_its_status(serving, status):
    async with serving(status=status) as server:
        report = await run_call(server.url, Call(scenario=busy()))
    assert (report.outcome, report.http_status, report.ok) == ("refused", status, False)
    assert len(server.headers) == 1


async def test_a_server_that_is_not_there_is_reported(serving):
    async with serving() as server:
        pass
    report = await run_call(server.url, Call(scenario=busy()))
    assert (report.outcome, report.ok) == ("unreachable", False)


async def test_a_mono_choice_gets_that_channel_alone(serving):
    async with serving(choose=lambda offers: offers[2:3]) as server:
        report = await run_call(server.url, Call(scenario=busy(), speed=0))
    assert report.media == ("internal",)
    assert b"".join(server.peers[0].frames) == b"".join(busy().frames(("internal",)))
    assert b"".join(busy().frames(("internal",))) == b"".join(busy().frames())[1::2]


async def test_no_media_means_no_frames_but_the_position_goes_on(serving):
    async with serving(choose=lambda _: []) as server:
        report = await run_call(server.url, Call(scenario=busy(), speed=0))
    (peer,) = server.peers
    assert report.ok
    assert (peer.frames, report.frames_sent) == ([], 0)
    assert peer.texts[-1]["position"] == "PT1.1S"


async def test_a_server_pause_holds_the_audio_until_its_resume(serving):
    async def pause_after_two(peer):
        if len(peer.frames) == 2:
            await peer.say("pause")

    async def resume(peer):
        if len(peer.frames) < 4:
            await peer.say("resume")

    async with serving(script={"frame": pause_after_two, "paused": resume}) as server:
        report = await run_call(server.url, Call(scenario=busy(), speed=4))
    (peer,) = server.peers
    assert report.ok, report
    assert peer.frames == list(busy().frames())
    assert peer.kinds().count("paused") == peer.kinds().count("resumed") == 2
    assert set(peer.drifts) == {0}


async def test_a_call_opened_paused_sends_nothing_before_the_resume(serving):
    async def resume(peer):
        if len(peer.texts) == 2:
            await peer.say("resume")

    async with serving(opened_extra={"startPaused": True}, script={"paused": resume}) as server:
        report = await run_call(server.url, Call(scenario=busy(), speed=4))
    (peer,) = server.peers
    assert report.ok, report
    assert peer.kinds()[:3] == ["open", "paused", "resumed"]
    assert peer.frames_at[2] == 0
    assert set(peer.drifts) == {0}


async def test_discard_to_skips_to_the_frame_boundary_before_it(serving):
    async with serving(opened_extra={"discardTo": "PT0.25S"}) as server:
        report = await run_call(server.url, Call(scenario=busy(), speed=0))
    (peer,) = server.peers
    assert report.ok, report
    assert peer.texts[1]["type"] == "discarded"
    assert peer.texts[1]["parameters"] == {"start": "PT0S", "discarded": "PT0.2S"}
    assert set(peer.drifts) == {0}


async def test_what_discard_to_skips_takes_no_time(serving):
    short = Scenario("short", media.silence(200), frame_ms=100)
    async with asyncio.timeout(15), serving(opened_extra={"discardTo": "PT30S"}) as server:
        report = await run_call(server.url, Call(scenario=short))
    assert report.position_samples == 30_200 * MS


async def test_a_disconnect_is_answered_by_close_and_ends_the_call(serving):
    async def enough(peer):
        if len(peer.frames) == 3:
            await peer.say("disconnect", {"reason": "completed"})

    async with serving(script={"frame": enough}) as server:
        report = await run_call(server.url, Call(scenario=busy(), speed=4))
    (peer,) = server.peers
    assert (report.outcome, report.disconnect_reason, report.ok) == ("closed", "completed", True)
    assert peer.texts[-1]["parameters"] == {"reason": "disconnect"}
    assert len(peer.frames) < len(list(busy().frames()))


async def test_a_dropped_call_ends_without_close(serving):
    cut = Scenario("cut", media.tone(500), (Drop(250 * MS),), frame_ms=100)
    async with serving() as server:
        report = await run_call(server.url, Call(scenario=cut, speed=0))
    (peer,) = server.peers
    assert (report.outcome, report.ok) == ("dropped", True)
    assert peer.frames == list(cut.frames())
    assert "close" not in peer.kinds()
    assert report.actions[0]["position_samples"] == 250 * MS


async def test_a_dropped_call_has_delivered_all_it_sent(serving):
    cut = Scenario("cut", media.silence(200).repeated(5000), (Drop(200 * MS * 5000),))
    async with serving() as server:
        report = await run_call(server.url, Call(scenario=cut, speed=0))
    assert report.frames_sent == 5000
    assert len(server.peers[0].frames) == 5000


async def test_a_scripted_close_states_its_reason(serving):
    short = Scenario("short", media.tone(500), (Close(300 * MS, "error"),), frame_ms=100)
    async with serving() as server:
        report = await run_call(server.url, Call(scenario=short, speed=0))
    assert report.ok
    assert server.peers[0].texts[-1]["parameters"] == {"reason": "error"}


async def test_audio_from_the_server_is_answered_by_415_and_close(serving):
    async def talk_back(peer):
        await peer.connection.send(b"\xff" * 160)

    async with serving(script={"open": talk_back}) as server:
        report = await run_call(server.url, Call(scenario=busy(), speed=1))
    (peer,) = server.peers
    assert [fault["code"] for fault in report.faults] == [415]
    assert peer.kinds()[-2:] == ["error", "close"]
    assert not report.ok


async def test_a_server_that_goes_away_leaves_a_lost_call(serving):
    async def leave(peer):
        peer.connection.transport.abort()

    async with serving(script={"frame": leave}) as server:
        report = await run_call(server.url, Call(scenario=busy(), speed=1))
    assert (report.outcome, report.ok) == ("lost", False)


async def test_many_calls_run_at_once_with_identities_of_their_own(serving):
    calls = [Call(scenario=busy(), speed=20) for _ in range(20)]
    begun = []
    async with serving() as server:
        run = await run_calls(server.url, calls, Options(on_start=begun.append), stagger_s=0.001)
    assert run.ok, run.as_json()
    assert [report.conversation_id for report in run.calls] == [str(call.conversation_id) for call in calls]
    assert len({report.session_id for report in begun}) == len(calls)
    assert len({report.sha256 for report in run.calls}) == 1
    assert Counter(len(peer.frames) for peer in server.peers) == {len(list(busy().frames())): len(calls)}
    assert run.totals().frames_sent == sum(len(peer.frames) for peer in server.peers)
