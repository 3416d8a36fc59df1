from dataclasses import FrozenInstanceError, fields, replace

import pytest

from processors.silence.drafts import Drafts
from schemas.codec import SchemaStore
from schemas.records import ActivityWindow, Origin
from schemas.symbols import Channel

ORIGIN = Origin(topic="calls.audio", partition=-1, offset=-1, index=-1)
PATTERN = ActivityWindow(conversation_id="c", session_id="s", origin=ORIGIN, channel=Channel.INTERNAL)


def finished(**values) -> ActivityWindow:
    drafts = Drafts(PATTERN)
    draft = drafts.draft()
    for name, value in values.items():
        setattr(draft, name, value)
    return drafts.finish(draft)


def test_a_finished_draft_is_the_record_the_constructor_makes():
    expected = replace(PATTERN, frames=50, level_dbfs=-20.5)
    record = finished(frames=50, level_dbfs=-20.5)
    assert type(record) is ActivityWindow
    assert record == expected
    assert hash(record) == hash(expected)
    assert repr(record) == repr(expected)
    assert SchemaStore().encode(record) == SchemaStore().encode(expected)


def test_a_finished_draft_is_frozen():
    with pytest.raises(FrozenInstanceError):
        finished().frames = 3


def test_drafts_do_not_change_their_pattern_or_each_other():
    before = {field.name: getattr(PATTERN, field.name) for field in fields(PATTERN)}
    drafts = Drafts(PATTERN)
    first, second = drafts.draft(), drafts.draft()
    first.frames = 7
    assert drafts.finish(second) == PATTERN
    assert {field.name: getattr(PATTERN, field.name) for field in fields(PATTERN)} == before


def test_a_field_the_record_does_not_have_cannot_be_assigned():
    with pytest.raises(AttributeError):
        finished(framez=1)
