import re

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from runtime import metrics

COMPONENTS = (
    "service|http|websocket|oauth|registry|task|forwarder|ingest|sink|silence|speech|recording|audit|loss"
    "|transcription|cognigy|monitor"
)
UNITS = "seconds|bytes|ratio|info|records|jobs|open|owned|paused|samples|dbfs|timestamp"
LABELS = {
    "component",
    "version",
    "peer",
    "outcome",
    "topic",
    "partition",
    "reason",
    "source",
    "channel",
    "codec",
    "alarm",
    "kind",
    "what",  # a fixed phrase of a protocol
    "predecessor",  # found, or none
    "input",  # where an utterance comes from
    "mark",  # what makes a bot's turn remarkable
    "state",  # how a bot's turn ended
    "type",  # of a message of a bridge
}
DECLARED = {name: value for name, value in vars(metrics).items() if isinstance(value, Counter | Gauge | Histogram)}


def test_every_name_says_product_component_noun_and_unit():
    for metric in DECLARED.values():
        name = metric._name
        if isinstance(metric, Counter):
            assert re.fullmatch(rf"callstream_({COMPONENTS})_[a-z_]+", name), name
        elif isinstance(metric, Histogram):
            assert re.fullmatch(rf"callstream_({COMPONENTS})_[a-z_]+_(seconds|bytes|records)", name), name
        else:
            assert re.fullmatch(rf"callstream_({COMPONENTS})_([a-z_]+_)?({UNITS})", name), name


def test_counters_end_in_total_where_they_are_read():
    for metric in DECLARED.values():
        if isinstance(metric, Counter):
            assert f"{metric._name}_total" in {sample.name for sample in _samples(metric)}


def _samples(metric):
    labelled = metric.labels(*("x" for _ in metric._labelnames)) if metric._labelnames else metric
    found = [sample for family in metric.collect() for sample in family.samples]
    if metric._labelnames:
        assert labelled is not None
        metric.remove(*("x" for _ in metric._labelnames))
    return found


def test_no_label_can_name_a_call_a_caller_or_an_agent():
    used = {label for metric in DECLARED.values() for label in metric._labelnames}
    assert used <= LABELS


def test_every_metric_is_explained():
    assert all(metric._documentation.endswith(".") for metric in DECLARED.values())


def test_nothing_of_ours_is_declared_elsewhere():
    ours = {name for name in REGISTRY._names_to_collectors if name.startswith("callstream_")}
    declared = {name for name in ours if REGISTRY._names_to_collectors[name] in DECLARED.values()}
    assert ours == declared
    assert declared
