"""What the tests of sources with one call per connection share: an end to each story, and facts that can be written."""

import base64
from typing import Any

from hypothesis import strategies as st

from ingest.identity import Lineage, uuid7
from ingest.protocol import AudioReceived, Ended, Fact, Mark, SessionClosed, SessionOpened
from ingest.sequencer import Encoding, Moment, Sequencer
from schemas.codec import SchemaStore
from schemas.symbols import ClosedBy, FrameKind, Reason

STORE = SchemaStore()
LOST = (1006, "", ClosedBy.NETWORK)
FRAME = bytes(range(160))
FRAME_TEXT = base64.b64encode(FRAME).decode()
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def actions(messages: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Return stories of what may happen to a machine, of texts of a kind."""
    step = st.one_of(
        st.tuples(st.just("receive_text"), messages | st.text(st.characters())),
        st.tuples(st.just("receive_binary"), st.binary(max_size=400)),
        st.tuples(
            st.just("disconnected"), st.integers(1000, 4999), st.text(st.characters()), st.sampled_from(list(ClosedBy))
        ),
        st.tuples(st.just("unfollow"), st.sampled_from(["call-1", "call-2"]), st.builds(Ended, st.just(Reason.END))),
        st.tuples(st.sampled_from(["connected", "timeout", "gave_up", "drain"])),
    )
    return st.lists(step, max_size=30)


def tell(protocol: Any, story: list[tuple[Any, ...]]) -> list[Fact]:
    """Let a story happen to a machine, from its connection to a drain; return the facts. All of them can be written."""
    facts: list[Fact] = []
    for now_s, (what, *arguments) in enumerate([("connected",), *story, ("drain",)]):
        if what == "disconnected":
            effects = protocol.disconnected(float(now_s), *arguments)
        else:
            effects = getattr(protocol, what)(*arguments, float(now_s))
        facts += [effect for effect in effects if isinstance(effect, Fact)]
    ids = iter(range(1, 1000))
    sequencer = Sequencer(Encoding(STORE), lambda: uuid7(1.0, next(ids).to_bytes(10, "big")), Lineage())
    written = [record for fact in facts for record in sequencer.take(fact, Moment(1.7e9, 1.0))]
    assert len(written) >= len(facts)
    return facts


def is_one_timeline_each(facts: list[Fact]) -> bool:
    """Tell whether each session ends once, and its audio and gaps lie end to end."""
    opened, ended = (sum(isinstance(fact, kind) for fact in facts) for kind in (SessionOpened, SessionClosed))
    head = 0
    for fact in facts:
        if isinstance(fact, SessionOpened):
            head = 0
        elif isinstance(fact, AudioReceived) or (isinstance(fact, Mark) and fact.kind is FrameKind.GAP):
            if fact.position_samples != head:
                return False
            head += max(0, fact.duration_samples)
    return opened == ended > 0
