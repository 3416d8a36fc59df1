from runtime.deadletter import headers


def made(error="too short"):
    return dict(
        headers(
            error=error,
            stage="process",
            topic="calls.audio",
            partition=3,
            offset=41,
            group="silence",
            error_class="InvalidRecord",
        )
    )


def test_the_headers_are_those_of_kafka_connect_and_our_version():
    assert list(made()) == [
        "__connect.errors.topic",
        "__connect.errors.partition",
        "__connect.errors.offset",
        "__connect.errors.connector.name",
        "__connect.errors.task.id",
        "__connect.errors.stage",
        "__connect.errors.class.name",
        "__connect.errors.exception.class.name",
        "__connect.errors.exception.message",
        "callstream.version",
    ]


def test_values_are_text():
    found = made("zu kurz: ä")
    assert found["__connect.errors.partition"] == b"3"
    assert found["__connect.errors.offset"] == b"41"
    assert found["__connect.errors.exception.message"].decode() == "zu kurz: ä"


def test_a_long_text_is_cut():
    assert len(made("x" * 10_000)["__connect.errors.exception.message"]) == 500
