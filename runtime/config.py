"""The environment → one frozen, checked settings object per component. The only module that reads the environment.

A component's settings are a `Settings` subclass; each field is one variable, named by the component's prefix and the
field (`SILENCE_` + `frame_ms` = `SILENCE_FRAME_MS`). What every component shares (Kafka, registry, logging) has names
of its own. Where the working directory has a `.env` file, it fills in what the environment leaves out. An empty value
counts as not set. A secret may come from a file: `<NAME>_FILE` holds its path.
"""

import difflib
import hashlib
import json
import os
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretBytes, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import DotEnvSettingsSource
from pydantic_settings.main import BaseSettings

from runtime.errors import ConfigError, UsageError

S = TypeVar("S", bound="Section")

_CONTRADICTION = "contradiction"
_SHARED_PREFIXES = ("KAFKA_", "SCHEMA_REGISTRY_")
_CLOSE = 0.85
_CLOSE_BEHIND = 0.6
# Kubernetes announces a service named like a component by variables that start with the component's prefix
_SERVICE_LINK = re.compile(r"(SERVICE_(HOST|PORT(_.*)?)|PORT(_\d+_(TCP|UDP)(_.*)?)?)")
_HOST_AND_PORT = re.compile(r"[^\s,:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
_TOPIC_PREFIX = re.compile(r"(replay\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)?")


class Section(BaseModel):
    """Settings that belong together. Every field needs a description: the tables of settings are made from it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a field nobody explained. Raises `UsageError`."""
        super().__pydantic_init_subclass__(**kwargs)
        missing = [name for name, field in cls.model_fields.items() if not (field.description or _section(field))]
        if missing:
            message = f"{cls.__name__}: no description for {', '.join(missing)}"
            raise UsageError(message)

    @classmethod
    def env_name(cls, field: str, prefix: str, section: str) -> str:
        """Return the variable of a field: in a section `<PREFIX><SECTION>_<FIELD>`, else `<PREFIX><FIELD>`."""
        return f"{prefix}{section}_{field}".upper() if section else f"{prefix}{field}".upper()

    def contradictions(self) -> Iterable[tuple[str, str]]:
        """Return (field, what is wrong) for fields that do not fit together. For subclasses to override."""
        return ()

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        found = list(self.contradictions())
        if found:
            raise PydanticCustomError(_CONTRADICTION, "the settings contradict each other", {"found": found})
        return self


def _section(field: FieldInfo) -> type[Section] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


class KafkaSettings(Section):
    """How to reach Kafka, and the prefix of the topics there."""

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Brokers to ask first, `host:port`, comma-separated.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Plain or TLS connection, with or without SASL."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="How to authenticate where the protocol has SASL."
    )
    sasl_username: str | None = Field(None, description="User of PLAIN and SCRAM.")
    sasl_password: SecretStr | None = Field(None, description="Password of PLAIN and SCRAM, token of OAUTHBEARER.")
    ssl_cafile: str | None = Field(None, description="PEM file of the authorities to trust; the system's if not set.")
    ssl_certfile: str | None = Field(None, description="PEM file of our certificate, for mutual TLS.")
    ssl_keyfile: str | None = Field(None, description="PEM file of our certificate's key.")
    topic_prefix: str = Field(
        "", description="Stands before every topic name: empty live, `replay.<name>.` in a replay."
    )

    @classmethod
    def env_name(cls, field: str, prefix: str, section: str) -> str:  # noqa: ARG003 - the same in every component
        """Return the variable: `KAFKA_<FIELD>`, but `TOPIC_PREFIX`."""
        return "TOPIC_PREFIX" if field == "topic_prefix" else f"KAFKA_{field}".upper()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return what is missing or too much for the chosen protocol."""
        servers = [server.strip() for server in self.bootstrap_servers.split(",")]
        if not all(_HOST_AND_PORT.fullmatch(server) for server in servers):
            yield "bootstrap_servers", "Input should be host:port pairs separated by commas"
        if not _TOPIC_PREFIX.fullmatch(self.topic_prefix):
            yield "topic_prefix", "Input should be empty, or `replay.<name>.` with a name of a-z, 0-9 and hyphens"
        yield from self._sasl()
        yield from self._tls()

    def _sasl(self) -> Iterator[tuple[str, str]]:
        if not self.security_protocol.startswith("SASL_"):
            for name in ("sasl_username", "sasl_password"):
                if getattr(self, name) is not None:
                    yield name, f"is of no use with {self.security_protocol}; choose SASL_SSL"
            return
        if self.sasl_password is None:
            yield "sasl_password", f"is needed for {self.security_protocol}"
        if self.sasl_username is None and self.sasl_mechanism != "OAUTHBEARER":
            yield "sasl_username", f"is needed for {self.security_protocol} with {self.sasl_mechanism}"

    def _tls(self) -> Iterator[tuple[str, str]]:
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            path = getattr(self, name)
            if path is not None and not self.security_protocol.endswith("SSL"):
                yield name, f"is of no use with {self.security_protocol}; choose SSL or SASL_SSL"
            elif path is not None and not os.access(path, os.R_OK):
                yield name, "the file cannot be read"
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            yield (
                "ssl_certfile" if self.ssl_certfile is None else "ssl_keyfile",
                "is needed beside the other of the two",
            )


class RegistrySettings(Section):
    """The schema registry. Without a URL the package's own schema ids are used."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")] | None = Field(
        None, description="Root of a registry with Confluent's interface; not set: local ids."
    )
    username: str | None = Field(None, description="User, where the registry wants basic authentication.")
    password: SecretStr | None = Field(None, description="Password of that user.")
    cafile: str | None = Field(None, description="PEM file of the authorities to trust; the system's if not set.")
    timeout_s: float = Field(5.0, gt=0, le=60, description="How long one request may take.")

    @classmethod
    def env_name(cls, field: str, prefix: str, section: str) -> str:  # noqa: ARG003 - the same in every component
        """Return the variable: `SCHEMA_REGISTRY_<FIELD>`."""
        return f"SCHEMA_REGISTRY_{field}".upper()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return what is missing beside the other."""
        if self.username is not None and self.password is None:
            yield "password", "is needed beside the username"
        if self.password is not None and self.username is None:
            yield "username", "is needed beside the password"
        if self.cafile is not None and not os.access(self.cafile, os.R_OK):
            yield "cafile", "the file cannot be read"


class ServiceSettings(Section):
    """What every service has: its admin port, its end, its log."""

    admin_host: str = Field("127.0.0.1", description="Address of `/livez`, `/readyz` and `/metrics`.")
    admin_port: int = Field(0, ge=0, le=65535, description="Its port; 0 takes a free one and logs it.")
    drain_budget_s: float = Field(25, gt=0, le=3600, description="How long a stop may take before it counts as failed.")
    stuck_after_s: float = Field(
        120,
        gt=0,
        le=3600,
        description="How long the event loop, polls or commits may stand still, while Kafka answers, before the "
        "process drains and ends with 1.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least level to log.")
    log_format: Literal["json", "console"] = Field("json", description="JSON lines, or lines for a terminal.")

    @classmethod
    def env_name(cls, field: str, prefix: str, section: str) -> str:  # noqa: ARG003 - no section in its names
        """Return the variable: `LOG_LEVEL` and `LOG_FORMAT` for all, else `<PREFIX><FIELD>`."""
        return field.upper() if field.startswith("log_") else f"{prefix}{field}".upper()


class Settings(Section):
    """The settings of one component. Subclass it, and add fields with descriptions."""

    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    service: ServiceSettings = ServiceSettings()


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a component: its name, where it goes in the settings, and its field."""

    name: str
    path: tuple[str, ...]
    field: FieldInfo

    @property
    def secret(self) -> bool:
        """Whether the value is secret, and may come from `<NAME>_FILE`."""
        return _mentions(self.field.annotation, (SecretStr, SecretBytes))


def prefix_of(component: str) -> str:
    """Return a component's prefix: `recording_sync` → `RECORDING_SYNC_`."""
    return f"{component.upper()}_"


def variables(settings_type: type[Section], prefix: str, section: str = "") -> Iterator[Variable]:
    """Return every variable of a component, its own first, then the shared ones."""
    nested = []
    for name, field in settings_type.model_fields.items():
        inner = _section(field)
        if inner is None:
            yield Variable(settings_type.env_name(name, prefix, section), (name,), field)
        else:
            nested.append((name, inner))
    for name, inner in sorted(nested, key=lambda item: item[0] in Settings.model_fields):
        below = f"{section}_{name}" if section else name
        for variable in variables(inner, prefix, below):
            yield Variable(variable.name, (name, *variable.path), variable.field)


def load(
    settings_type: type[S],
    prefix: str,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = Path(".env"),
    changes: Mapping[str, str] | None = None,
) -> S:
    """Return the settings the environment gives, `env_file` where it is silent, `changes` before both.

    `prefix` is empty for settings that have shared names only. Raises `ConfigError` that lists every mistake, each
    beginning with the variable's name, never with its value.
    """
    given = _given(environ, env_file) | dict(changes or {})
    known = {variable.name: variable for variable in variables(settings_type, prefix)}
    mistakes = list(_unknown(given, known, prefix))
    values: dict[str, Any] = {}
    unread = set()
    for variable in known.values():
        try:
            text = _text(variable, given)
            if text is not None:
                _put(values, variable.path, _decoded(variable, text))
        except ValueError as error:
            mistakes.append(f"{variable.name}: {error}")
            unread.add(variable.path)
    names = {variable.path: variable.name for variable in known.values()}
    try:
        settings = settings_type.model_validate(values)
    except ValidationError as error:
        found = [(path, text) for path, text in _errors(error) if path not in unread]
        mistakes += [f"{names.get(path) or _named(path, names, prefix)}: {text}" for path, text in found]
        raise ConfigError(mistakes) from None
    if mistakes:
        raise ConfigError(mistakes)
    return settings


def settings_hash(settings: BaseModel, names: Iterable[str]) -> str:
    """Return a digest of the named fields: 16 hex digits of the SHA-256 over their canonical JSON.

    Raises `UsageError` for a field that does not exist or is secret.
    """
    wanted = sorted(set(names))
    for name in wanted:
        field = type(settings).model_fields.get(name)
        if field is None or _mentions(field.annotation, (SecretStr, SecretBytes)):
            message = f"{name} is no field of {type(settings).__name__} that a digest may be made of"
            raise UsageError(message)
    text = json.dumps(settings.model_dump(mode="json", include=set(wanted)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_given(name: str, env_file: Path | None = Path(".env")) -> bool:
    """Tell whether a variable is set, in the environment or in `env_file`."""
    return name in _given(None, env_file)


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with changes, for a process it starts."""
    return {**os.environ, **changes}


class _DotEnv(BaseSettings):
    model_config: ClassVar[Any] = {"extra": "allow"}


def _given(environ: Mapping[str, str] | None, env_file: Path | None) -> dict[str, str]:
    merged: dict[str, str | None] = {}
    if env_file is not None and env_file.is_file():
        merged.update(DotEnvSettingsSource(_DotEnv, env_file, case_sensitive=True).env_vars)
    merged.update(os.environ if environ is None else environ)
    return {name: value for name, value in merged.items() if value}


def _mentions(annotation: Any, types: tuple[type, ...]) -> bool:
    return annotation in types or any(_mentions(argument, types) for argument in typing.get_args(annotation))


def _unknown(given: Mapping[str, str], known: Mapping[str, Variable], prefix: str) -> Iterator[str]:
    allowed = {*known, *(f"{name}_FILE" for name, variable in known.items() if variable.secret)}
    for name in sorted(set(given) - allowed):
        own = bool(prefix) and name.startswith(prefix)
        if own and _SERVICE_LINK.fullmatch(name.removeprefix(prefix)):
            continue
        if own or name.startswith(_SHARED_PREFIXES):
            closest = _closest(name, allowed, prefix if own else "")
            if own or closest:
                yield f"{name}: there is no such setting" + (f"; did you mean {closest}?" if closest else "")


def _closest(name: str, allowed: Iterable[str], prefix: str) -> str | None:
    """Return the setting that differs least behind the prefix, None where none is near."""
    behind = {other.removeprefix(prefix): other for other in sorted(allowed) if other.startswith(prefix)}
    found = difflib.get_close_matches(name.removeprefix(prefix), behind, 1, _CLOSE if not prefix else _CLOSE_BEHIND)
    return behind[found[0]] if found else None


def _text(variable: Variable, given: Mapping[str, str]) -> str | None:
    """Return a variable's value as given, or from its file. Raises `ValueError`."""
    path = given.get(f"{variable.name}_FILE") if variable.secret else None
    if path is None:
        return given.get(variable.name)
    if variable.name in given:
        message = f"is set twice; unset it or {variable.name}_FILE"
        raise ValueError(message)
    try:
        text = Path(path).read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        message = f"the file that {variable.name}_FILE names cannot be read: {type(error).__name__}"
        raise ValueError(message) from None
    if not text:
        message = f"the file that {variable.name}_FILE names is empty"
        raise ValueError(message)
    return text


def _decoded(variable: Variable, text: str) -> Any:
    """Return a value for pydantic: lists as `a,b`, mappings as `a=1,b=2`, both also as JSON. Raises `ValueError`."""
    annotation = variable.field.annotation
    mapping = _is_collection(annotation, (dict, Mapping))
    if not mapping and not _is_collection(annotation, (list, tuple, set, frozenset)):
        return text
    if text.lstrip().startswith(("{", "[")):
        try:
            return json.loads(text)
        except ValueError:
            message = "Input should be valid JSON"
            raise ValueError(message) from None
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not mapping:
        return items
    pairs = [item.partition("=") for item in items]
    if not all(equals for _, equals, _ in pairs):
        message = "Input should be name=value pairs separated by commas, or JSON"
        raise ValueError(message)
    found = {key.strip(): value.strip() for key, _, value in pairs}
    if len(found) != len(pairs):
        message = "names the same twice"
        raise ValueError(message)
    return found


def _is_collection(annotation: Any, types: tuple[type, ...]) -> bool:
    origin = typing.get_origin(annotation) or annotation
    if isinstance(origin, type) and issubclass(origin, types):
        return True
    optional = [item for item in typing.get_args(annotation) if item is not type(None)]
    return len(optional) == 1 and len(typing.get_args(annotation)) > 1 and _is_collection(optional[0], types)


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _errors(error: ValidationError) -> Iterator[tuple[tuple[str, ...], str]]:
    """Return (path, text) of each mistake pydantic found."""
    for item in error.errors(include_input=False, include_url=False):
        path = tuple(str(part) for part in item["loc"])
        if item["type"] == _CONTRADICTION:
            yield from (((*path, field), text) for field, text in item["ctx"]["found"])
        else:
            yield path, item["msg"]


def _named(path: tuple[str, ...], names: Mapping[tuple[str, ...], str], prefix: str) -> str:
    """Return the name of the variable that holds the path: items of lists and branches of unions lie below one."""
    for length in range(len(path), 0, -1):
        if path[:length] in names:
            return names[path[:length]]
    return f"{prefix}{'_'.join(path)}".upper()
