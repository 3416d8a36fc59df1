"""The page of AudioHook's states: the legal transitions as a picture, and what means something where."""

from collections.abc import Iterable

from ingest.sources.audiohook.states import MEANINGFUL, MESSAGES, TRANSITIONS, State, Trigger

_OURS = "(…) is no message: a defect in what the client sent, a drain of ours, the loss of the connection."


def page(note: str) -> str:
    """Return the page, in Markdown with a Mermaid diagram. `note` says how it is made."""
    picture = "\n".join(["stateDiagram-v2", "    [*] --> OPENING", *_arrows(), "    GONE --> [*]"])
    rows = "\n".join(f"| {state.name} | {_named(MEANINGFUL[state])} |" for state in State)
    return (
        f"# The states of an AudioHook session\n\n{note}\n\n"
        f"What is not in the picture changes no state. {_OURS}\n\n"
        f"```mermaid\n{picture}\n```\n\n"
        "Messages of the client that mean something in a state. All others are counted and ignored, types we do not\n"
        "know too; audio is kept in ACTIVE and DRAINING.\n\n"
        f"| state | messages |\n| --- | --- |\n{rows}\n"
    )


def _arrows() -> Iterable[str]:
    """Return an arrow for each two states, with all that leads from the one to the other."""
    joined: dict[tuple[State, State], list[Trigger]] = {}
    order = {trigger: place for place, trigger in enumerate(Trigger)}
    for (state, trigger), target in TRANSITIONS.items():
        joined.setdefault((state, target), []).append(trigger)
    places = list(State)
    for state, target in sorted(joined, key=lambda pair: (places.index(pair[0]), places.index(pair[1]))):
        triggers = sorted(joined[state, target], key=order.__getitem__)
        yield f"    {state.name} --> {target.name}: {', '.join(trigger.value for trigger in triggers)}"


def _named(triggers: Iterable[Trigger]) -> str:
    found = set(triggers)
    return ", ".join(f"`{name}`" for name, trigger in MESSAGES.items() if trigger in found) or "-"
