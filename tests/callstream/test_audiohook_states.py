import re
from pathlib import Path

from callstream.audiohook_states import page
from callstream.docs_command import PAGES
from ingest.sources.audiohook.states import MEANINGFUL, MESSAGES, TRANSITIONS, State

DOCS = Path(__file__).parents[2] / "docs"


def arrows(text: str) -> dict[tuple[str, str], set[str]]:
    found = re.findall(r"^    (\w+) --> (\w+): (.+)$", text, re.MULTILINE)
    return {(state, target): set(triggers.split(", ")) for state, target, triggers in found}


def test_the_picture_has_every_transition_of_the_table_and_no_other():
    wanted: dict[tuple[str, str], set[str]] = {}
    for (state, trigger), target in TRANSITIONS.items():
        wanted.setdefault((state.name, target.name), set()).add(trigger.value)
    assert arrows(page("")) == wanted


def test_every_state_says_which_messages_mean_something_there():
    rows = dict(re.findall(r"^\| ([A-Z_]+) \| (.+) \|$", page(""), re.MULTILINE))
    assert set(rows) == {state.name for state in State}
    for state in State:
        named = set(re.findall(r"`(\w+)`", rows[state.name]))
        assert named == {name for name, trigger in MESSAGES.items() if trigger in MEANINGFUL[state]}


def test_the_page_in_the_project_is_the_one_of_the_table():
    assert (DOCS / "audiohook-states.md").read_text(encoding="utf-8") == PAGES["audiohook-states.md"]()
