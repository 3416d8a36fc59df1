import re

import pytest

from schemas import topics
from schemas.records import AudioFrame, SessionInfo
from schemas.topics import Topic

NAMES = [topic.name for topic in topics.all_topics()]
LEGAL = re.compile(r"[a-z]+([.-][a-z]+)*")
BROKER_SETTINGS = {
    "cleanup.policy": r"delete|compact|compact,delete",
    "message.timestamp.type": r"LogAppendTime|CreateTime",
    "retention.ms": r"\d+",
    "segment.bytes": r"\d+",
    "segment.ms": r"\d+",
    "max.message.bytes": r"\d+",
    "min.cleanable.dirty.ratio": r"0\.\d+",
}


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_lower_case_with_dots_and_hyphens(name):
    assert LEGAL.fullmatch(name)


def test_names_do_not_collide_where_the_broker_confuses_dots_and_underscores():
    assert len({name.replace(".", "_") for name in NAMES}) == len(NAMES)


def test_each_record_stands_on_one_public_topic_and_each_topic_carries_one_record():
    assert topics.SPEECH.record is topics.AUDIO.record  # it has copies
    public = [topic for topic in topics.PUBLIC if topic is not topics.SPEECH]
    carried = [topic.record for topic in public]
    assert None not in carried
    assert len(set(carried)) == len(carried)
    assert topics.by_name("calls.speech") is topics.SPEECH
    for topic in public:
        assert topics.topic_of(topic.record) is topic
        assert topics.by_name(topic.name) is topic


def test_a_record_without_topic_of_its_own_has_none():
    with pytest.raises(KeyError):
        topics.topic_of(SessionInfo)
    with pytest.raises(KeyError):
        topics.by_name("calls.nothing")


@pytest.mark.parametrize("topic", topics.all_topics(), ids=NAMES)
def test_broker_settings_are_ones_the_broker_takes(topic):
    for setting, value in topic.broker_config().items():
        assert re.fullmatch(BROKER_SETTINGS[setting], value), setting


@pytest.mark.parametrize("topic", topics.all_topics(), ids=NAMES)
def test_a_topic_that_deletes_says_after_how_long(topic):
    assert ("delete" in topic.cleanup_policy) == (topic.retention_ms is not None)


def test_only_what_ingest_writes_and_state_topics_take_the_broker_s_time():
    stamped = {topic.name for topic in topics.all_topics() if topic.log_append_time}
    state = {topic.name for topic in topics.all_topics() if topic.name.endswith((".changelog", ".turns"))}
    assert stamped == {"calls.audio", "calls.events"} | state


def test_a_dead_letter_stays_as_long_as_its_source_and_carries_bytes():
    letters = topics.dead_letters("silence")
    assert letters.name == "silence.dlq"
    assert letters.retention_ms == topics.AUDIO.retention_ms
    assert letters.record is None
    assert topics.dead_letters("audit_log").retention_ms == topics.EVENTS.retention_ms


def test_a_group_owns_its_dead_letters_and_its_state():
    assert [topic.name for topic in topics.of_group("silence")] == ["silence.dlq", "silence.changelog"]
    assert [topic.name for topic in topics.of_group("recording_sync")] == ["recording-sync.dlq"]


def test_a_changelog_is_compacted_and_takes_a_state_of_sixteen_mebibytes():
    settings = topics.changelog("silence").broker_config()
    assert settings["cleanup.policy"] == "compact"
    assert settings["max.message.bytes"] == str(16 * 1024 * 1024)
    assert "retention.ms" not in settings


def test_turns_are_compacted_and_forgotten_after_a_day():
    settings = topics.turns("cognigy").broker_config()
    assert settings["cleanup.policy"] == "compact,delete"
    assert settings["retention.ms"] == "86400000"


def test_a_subject_is_the_catalogue_name_s():
    assert topics.AUDIO.subject == "calls.audio-value"


def test_groups_read_topics_of_the_catalogue():
    assert {source for source, _ in topics.GROUPS.values()} <= {topic.name for topic in topics.PUBLIC}


def test_topics_keyed_by_conversation_have_one_partition_count():
    assert isinstance(topics.AUDIO, Topic)
    assert topics.AUDIO.record is AudioFrame
    assert (topics.DEFAULT_PARTITIONS, topics.EMBEDDED_PARTITIONS) == (24, 4)
