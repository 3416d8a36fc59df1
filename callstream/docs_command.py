"""`callstream docs`: the pages of topics, settings, metrics and states, made from the code that has them."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, get_args

import typer
from prometheus_client import Counter, Gauge, Histogram

from callstream import audiohook_states
from runtime import metrics
from runtime.config import Section, Settings, Variable, prefix_of, variables
from schemas.topics import GROUPS, PUBLIC, Topic, of_group
from schemas.versions import FOLDERS

app = typer.Typer(help="Write or check the generated pages.", no_args_is_help=True)

_NOTE = "<!-- made by `callstream docs write`; edit the code it is made from -->"
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_KINDS: Mapping[Any, str] = MappingProxyType(
    {bool: "true or false", int: "whole number", float: "number", Path: "path"}
)
_Folder = Annotated[Path, typer.Option(help="The folder of the pages.")]


@app.command()
def write(folder: _Folder = Path("docs")) -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        path = folder / name
        path.write_text(page(), encoding="utf-8")
        typer.echo(path)


@app.command()
def check(folder: _Folder = Path("docs")) -> None:
    """Check that the pages are as the code would make them."""
    old = [name for name, page in PAGES.items() if _text(folder / name) != page()]
    for name in old:
        typer.echo(f"{folder / name} is not up to date; run `callstream docs write`", err=True)
    if old:
        raise typer.Exit(1)
    typer.echo(f"{len(PAGES)} pages are up to date")


def topics_page() -> str:
    """Return the page of topics."""
    public = _table(
        ("topic", "key", "record", "only writer", "delivery", "retention", "cleanup", "timestamps"), map(_topic, PUBLIC)
    )
    groups = _table(
        ("topic", "key", "value", "only writer", "retention", "cleanup"),
        (_group_topic(topic) for group in GROUPS for topic in of_group(group)),
    )
    return (
        f"# Topics\n\n{_NOTE}\n\n"
        "Values are Avro in Confluent framing, ids from the registry or local. All topics have the same partition\n"
        "count. Names stand behind one prefix: none live, `replay.<name>.` in a replay, where time retention is\n"
        "off.\n\n"
        f"## For everybody\n\n{public}\n"
        "## Of one consumer group\n\n"
        "Partition counts as above; a record goes to the partition number of the record it came from.\n\n"
        f"{groups}"
    )


def settings_page() -> str:
    """Return the page of settings: the shared ones, then each component's own."""
    shared = {variable.name: variable for variable in variables(Settings, "<PREFIX>_")}
    intro = (
        "Environment variables; `.env` in the working directory fills in what the environment leaves out. An empty\n"
        "value counts as not set. A secret may come from a file: `<NAME>_FILE` holds its path.\n"
        "`python -m <component> --check-config` lists every mistake.\n"
    )
    every = f"## Every service\n\n`<PREFIX>` is the component's name in capitals.\n\n{_settings(shared.values())}"
    parts = [f"# Settings\n\n{_NOTE}\n", intro, every]
    for component, settings_type in sorted(components().items()):
        own = [v for v in variables(settings_type, prefix_of(component)) if v.path[0] not in Settings.model_fields]
        if own:
            parts.append(f"## {component}\n\n{_settings(own)}")
    return "\n".join(parts)


def metrics_page() -> str:
    """Return the page of metrics."""
    rows = [_metric(value) for value in vars(metrics).values() if isinstance(value, Counter | Gauge | Histogram)]
    return (
        f"# Metrics\n\n{_NOTE}\n\nOn `/metrics` of every service, in Prometheus' text format. A histogram is read as\n"
        "its `_bucket`, `_sum` and `_count`. No label names a call, a caller or an agent.\n\n"
        f"{_table(('metric', 'kind', 'labels', 'meaning'), rows)}"
    )


PAGES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "topics.md": topics_page,
        "settings.md": settings_page,
        "metrics.md": metrics_page,
        "audiohook-states.md": partial(audiohook_states.page, _NOTE),
    }
)


def components() -> dict[str, type[Section]]:
    """Return component → its settings, found by the folders that have a `config.py`."""
    root = Path(__file__).parents[1]
    found: dict[str, type[Section]] = {}
    for pattern in ("ingest/config.py", "processors/*/config.py", "sinks/*/config.py"):
        for path in sorted(root.glob(pattern)):
            module = import_module(".".join(path.relative_to(root).with_suffix("").parts))
            for value in vars(module).values():
                if _is_settings(value) and value.__module__ == module.__name__:
                    found[path.parent.name] = value
    return found


def _is_settings(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Settings)


def _topic(topic: Topic) -> tuple[str, ...]:
    record = f"`{FOLDERS[topic.record]}`" if topic.record else "as received"
    return (f"`{topic.name}`", topic.key, record, topic.writer, topic.delivery, *_kept(topic), _timestamps(topic))


def _group_topic(topic: Topic) -> tuple[str, ...]:
    record = f"`{FOLDERS[topic.record]}`" if topic.record else "as received"
    return (f"`{topic.name}`", topic.key, record, topic.writer, *_kept(topic))


def _kept(topic: Topic) -> tuple[str, str]:
    kept = topic.retention_ms
    if kept is None:
        return "-", topic.cleanup_policy
    return (f"{kept // _DAY_MS} d" if kept > _DAY_MS else f"{kept // _HOUR_MS} h"), topic.cleanup_policy


def _timestamps(topic: Topic) -> str:
    return "of the append" if topic.log_append_time else "by the writer"


def _settings(found: Any) -> str:
    return _table(("variable", "values", "default", "meaning"), map(_setting, found))


def _setting(variable: Variable) -> tuple[str, ...]:
    field = variable.field
    default = field.default
    shown = "-" if default is None or default in ("", (), {}) or variable.secret else f"`{_plain(default)}`"
    return f"`{variable.name}`", _values(variable), shown, field.description or ""


def _plain(default: Any) -> str:
    if isinstance(default, bool | list | tuple | dict):
        return json.dumps(default)
    return _number(default) if isinstance(default, int | float) else str(default)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _values(variable: Variable) -> str:
    """Return what a variable takes, from its type and its limits."""
    if variable.secret:
        return "secret"
    annotation = variable.field.annotation
    literals = [value for value in get_args(annotation) if isinstance(value, str)]
    if literals:
        return ", ".join(f"`{value}`" for value in literals)
    kinds = [annotation, *get_args(annotation)]
    kind = next((text for kind, text in _KINDS.items() if kind in kinds), "text")
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [
        f"{sign} {_number(getattr(limit, name))}"
        for limit in variable.field.metadata
        for name, sign in signs.items()
        if isinstance(getattr(limit, name, None), int | float)
    ]
    return ", ".join([kind, *limits])


def _metric(metric: Counter | Gauge | Histogram) -> tuple[str, ...]:
    # the library shows these nowhere else
    name, labels = metric._name, ", ".join(metric._labelnames)  # noqa: SLF001
    shown = f"{name}_total" if isinstance(metric, Counter) else name
    return f"`{shown}`", metric._type, labels or "-", metric._documentation  # noqa: SLF001


def _table(head: tuple[str, ...], rows: Any) -> str:
    return "".join(f"{line}\n" for line in _lines(head, rows))


def _lines(head: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
