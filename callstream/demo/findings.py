"""Every check of the demo: what each call must have left behind, held against its script."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from callstream.demo.bot_checks import check_bot
from callstream.demo.checks import Check, PlacedCall, Recording, check_call, check_level
from callstream.demo.evidence import Evidence
from callstream.demo.live import check_live
from callstream.demo.loss_checks import check_loss
from callstream.demo.pause_checks import check_keys, check_withheld
from callstream.demo.play import Play
from callstream.demo.stage import Stage
from callstream.demo.stream import check_stream
from schemas.records import RecordingEvent
from simulators.audiohook.demo_call import MARKER_TEXTS
from simulators.audiohook.scenario import Dtmf
from simulators.conversation.script import read_mulaw_wav

Finding = tuple[str, Check]
"""The name of the call, or "all", and a check."""


def findings(running: Stage, play: Play, evidence: Evidence) -> list[Finding]:
    """Return every check of every call, each with the name of its call."""
    found: list[Finding] = []
    reports = {report.conversation_id: report for report in play.reports}
    for call in play.calls:
        conversation = str(call.conversation_id)
        name = f"{call.scenario.name} {conversation[:8]}"
        report = reports.get(conversation)
        if report is None:
            found.append((name, Check("the call was placed", ok=False, found="it was not")))
            continue
        placed = PlacedCall(call.scenario, report, real_time=running.options.speed == 1)
        found += [(name, check) for check in _call_checks(running, placed, evidence)]
    for conversation, stream in running.others.media.reports.items():
        files = _recordings(running, evidence, conversation)
        found += [(conversation[:8], check) for check in check_stream(conversation, stream, evidence, files)]
    live = running.others.live
    if live is not None:
        for conversation, player in live.calls.items():
            files = _recordings(running, evidence, conversation)
            found += [(conversation[:8], check) for check in check_live(conversation, player.report, evidence, files)]
        found += live.checks(evidence)
    if play.placed.texts:
        texts = len(MARKER_TEXTS) * len(play.placed.texts)
        found.append(("all", check_withheld(play.reports, texts, evidence.withheld)))
    bad = Check("no frame became unreadable", evidence.bad_frames == 0, f"{evidence.bad_frames} bad records")
    return [*found, ("all", bad)]


def _call_checks(running: Stage, call: PlacedCall, evidence: Evidence) -> Iterator[Check]:
    conversation, scenario = call.report.conversation_id, call.scenario
    yield from check_call(call, evidence, _recordings(running, evidence, conversation))
    yield from check_loss(call, evidence.losses.get(conversation, []))
    if any(isinstance(action, Dtmf) for action in scenario.actions):
        yield check_keys(scenario, evidence.events.get(conversation, []))
        heard = running.others.bot.texts(conversation)
        yield from check_bot(call, heard, evidence.turns.get(conversation, []))
    if scenario.conversation is None:
        events = evidence.silence.get(conversation, [])
        silent = scenario.name.startswith("silence")
        yield check_level(scenario.name, events, scenario.audio.samples, silent=silent)


def _recordings(running: Stage, evidence: Evidence, conversation: str) -> list[Recording]:
    return [_recording(running.recordings, event) for event in evidence.recordings.get(conversation, [])]


def _recording(folder: Path, event: RecordingEvent) -> Recording:
    payload, _, _ = read_mulaw_wav((folder / event.location).read_bytes())
    sidecar = json.loads((folder / (event.sidecar_location or "")).read_text(encoding="utf-8"))
    return Recording(payload, sidecar)


def recording_paths(running: Stage, evidence: Evidence, conversations: Sequence[str]) -> list[Path]:
    """Return where the recordings of these conversations lie."""
    events = [event for conversation in conversations for event in evidence.recordings.get(conversation, [])]
    return [running.recordings / event.location for event in events]
