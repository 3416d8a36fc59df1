import inspect

import pytest

from callstream.replay.components import Around, names, stage
from callstream.replay.stage import Stage
from schemas.codec import SchemaStore


@pytest.mark.parametrize("name", [name for name in names() if name != "cognigy"])
def test_what_is_replayed_offers_the_interface(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = stage(name, Around("replay.one.", SchemaStore()))
    for method in ("begin", "take", "end"):
        assert inspect.signature(getattr(type(found), method)) == inspect.signature(getattr(Stage, method))
    assert found.name == name
    assert found.topics[-1].name == f"{name.replace('_', '-')}.dlq"
