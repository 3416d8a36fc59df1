import pytest

from callstream.topics_plan import Alter, Create, Existing, Keep, partition_count, plan, wanted
from runtime.errors import ConfigError
from schemas.topics import AUDIO, DEFAULT_PARTITIONS, SUBSCRIPTIONS, all_topics

SETTINGS = {"cleanup.policy": "delete", "retention.ms": "1000"}


def existing(partitions=4, own=None, **settings):
    own = {"retention.ms": "1000"} if own is None else own
    in_force = {**SETTINGS, "segment.ms": "7", **own, **settings}
    return Existing(partitions, in_force, own)


def step(found, *, force=False):
    (result,) = plan({"t": SETTINGS}, {"t": found} if found else {}, 4, force=force)
    return result


def test_a_missing_topic_is_created_with_its_settings():
    assert step(None) == Create("t", 4, SETTINGS)


def test_a_topic_that_is_as_it_should_be_is_left_alone():
    assert step(existing()) == Keep("t")


def test_a_change_keeps_what_others_set_on_the_topic():
    found = existing(own={"retention.ms": "500", "min.insync.replicas": "2"})
    assert step(found) == Alter("t", {"retention.ms": "1000", "min.insync.replicas": "2"}, {"retention.ms": "1000"})


def test_a_setting_from_the_cluster_is_not_written_to_the_topic():
    assert "segment.ms" not in step(existing(own={"retention.ms": "500"})).settings


@pytest.mark.parametrize("longer", ["2000", "-1"])
def test_a_longer_retention_is_not_shortened_but_by_force(longer):
    found = existing(own={"retention.ms": longer})
    kept = step(found)
    assert isinstance(kept, Keep)
    assert "--force" in kept.remark
    assert step(found, force=True) == Alter("t", {"retention.ms": "1000"}, {"retention.ms": "1000"})


def test_a_kept_retention_stays_when_something_else_changes():
    found = existing(own={"retention.ms": "2000", "cleanup.policy": "compact"})
    assert step(found) == Alter("t", {"retention.ms": "2000", "cleanup.policy": "delete"}, {"cleanup.policy": "delete"})


def test_every_topic_gets_the_same_count():
    assert partition_count({}, None) == DEFAULT_PARTITIONS
    assert partition_count({}, 6) == 6
    assert partition_count({"a": existing(4), "b": existing(4)}, None) == 4
    assert partition_count({"a": existing(4)}, 4) == 4


def test_a_count_that_would_have_to_change_is_refused_by_name():
    with pytest.raises(ConfigError, match="b: has 8 partitions, not 4") as error:
        partition_count({"a": existing(4), "b": existing(8)}, 4)
    assert len(error.value.mistakes) == 1
    with pytest.raises(ConfigError) as error:
        partition_count({"a": existing(4), "b": existing(8)}, None)
    assert [text.partition(":")[0] for text in error.value.mistakes] == ["a", "b"]


def test_a_replay_has_its_own_names_and_no_time_retention():
    live, replay = wanted(all_topics(), ""), wanted(all_topics(), "replay.x.")
    assert set(replay) == {f"replay.x.{name}" for name in live}
    assert live[AUDIO.name]["retention.ms"] == "86400000"
    assert replay[f"replay.x.{AUDIO.name}"]["retention.ms"] == "-1"
    assert "retention.ms" not in replay[f"replay.x.{SUBSCRIPTIONS.name}"]
