from ingest.readiness import KAFKA, ROOM, Readiness
from runtime.admin import Health


class Scene:
    """The conditions of a process whose other conditions hold."""

    def __init__(self) -> None:
        self.health = Health()
        self.health.ready("sources", True)
        self.room = True
        self.readiness = Readiness(self.health, lambda: self.room)


def test_a_process_that_never_reached_kafka_wants_no_calls_and_says_why():
    scene = Scene()
    assert "Kafka" in scene.health.failing()[KAFKA]
    scene.readiness.report(False, "topics do not exist yet: calls.audio")
    assert scene.health.failing()[KAFKA] == "topics do not exist yet: calls.audio"
    assert not scene.health.is_ready()


def test_in_an_outage_calls_are_wanted_for_as_long_as_there_is_room_for_them():
    scene = Scene()
    scene.readiness.report(True, "")
    scene.readiness.report(False, "no broker answers")
    assert scene.health.is_ready()
    scene.room = False
    scene.readiness.look()
    assert list(scene.health.failing()) == [ROOM]
    scene.room = True
    scene.readiness.look()
    assert scene.health.is_ready()


def test_a_process_that_goes_on_for_another_wants_calls_though_kafka_is_away():
    scene = Scene()
    scene.readiness.goes_on()
    scene.readiness.report(False, "no broker answers")
    assert scene.health.is_ready()
