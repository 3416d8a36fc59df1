"""What a registry remembers, and the answers it gives: pure, without HTTP.

An answer is (status, body). Error codes as Confluent's registry has them: 40401 subject, 40402 version, 40403 schema
not found, 42201 invalid schema, 42203 invalid compatibility level, 409 incompatible.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from fastavro.schema import parse_schema

Answer = tuple[int, Any]

_LEVELS = frozenset(f"{kind}{suffix}" for kind in ("BACKWARD", "FORWARD", "FULL") for suffix in ("", "_TRANSITIVE")) | {
    "NONE"
}


def failure(code: int, message: str) -> Answer:
    """Return an error answer; its status are the code's first three digits."""
    return int(str(code)[:3]), {"error_code": code, "message": message}


@dataclass
class RegistryStore:
    """Schemas by id, ids by subject. `incompatible` names subjects that refuse every further version."""

    schemas: dict[int, str] = field(default_factory=dict)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    incompatible: set[str] = field(default_factory=set)

    def list_subjects(self) -> Answer:
        """GET /subjects."""
        return 200, sorted(self.subjects)

    def register(self, subject: str, body: Any) -> Answer:
        """POST /subjects/{subject}/versions: the id, the same for the same schema under any subject."""
        canonical = _canonical(body)
        if canonical is None:
            return failure(42201, "Either the input schema or one of its references is invalid")
        versions = self.subjects.get(subject, [])
        for schema_id in versions:
            if self.schemas[schema_id] == canonical:
                return 200, {"id": schema_id}
        if versions and subject in self.incompatible:
            return failure(
                409, f"Schema being registered is incompatible with an earlier schema for subject {subject!r}"
            )
        schema_id = next((known for known, text in self.schemas.items() if text == canonical), len(self.schemas) + 1)
        self.schemas[schema_id] = canonical
        self.subjects.setdefault(subject, []).append(schema_id)
        return 200, {"id": schema_id}

    def look_up(self, subject: str, body: Any) -> Answer:
        """POST /subjects/{subject}: which version of the subject this schema is."""
        if subject not in self.subjects:
            return failure(40401, f"Subject '{subject}' not found.")
        canonical = _canonical(body)
        if canonical is None:
            return failure(42201, "Either the input schema or one of its references is invalid")
        for version, schema_id in enumerate(self.subjects[subject], 1):
            if self.schemas[schema_id] == canonical:
                return 200, {"subject": subject, "id": schema_id, "version": version, "schema": canonical}
        return failure(40403, "Schema not found")

    def versions(self, subject: str) -> Answer:
        """GET /subjects/{subject}/versions."""
        if subject not in self.subjects:
            return failure(40401, f"Subject '{subject}' not found.")
        return 200, list(range(1, len(self.subjects[subject]) + 1))

    def version(self, subject: str, number: str) -> Answer:
        """GET /subjects/{subject}/versions/{number or latest}."""
        if subject not in self.subjects:
            return failure(40401, f"Subject '{subject}' not found.")
        ids = self.subjects[subject]
        version = len(ids) if number == "latest" else int(number) if number.isdigit() else 0
        if not 1 <= version <= len(ids):
            return failure(40402, f"Version {number} not found.")
        schema_id = ids[version - 1]
        return 200, {"subject": subject, "id": schema_id, "version": version, "schema": self.schemas[schema_id]}

    def schema(self, schema_id: int) -> Answer:
        """GET /schemas/ids/{schema_id}."""
        if schema_id not in self.schemas:
            return failure(40403, f"Schema {schema_id} not found")
        return 200, {"schema": self.schemas[schema_id]}

    def level(self, subject: str) -> Answer:
        """GET /config/{subject}."""
        return 200, {"compatibilityLevel": self.levels.get(subject, "BACKWARD")}

    def set_level(self, subject: str, body: Any) -> Answer:
        """PUT /config/{subject}."""
        level = body.get("compatibility") if isinstance(body, dict) else None
        if level not in _LEVELS:
            return failure(42203, "Invalid compatibility level")
        self.levels[subject] = level
        return 200, {"compatibility": level}


def _canonical(body: Any) -> str | None:
    """Return a schema's JSON in one form, None when the body holds no Avro schema."""
    try:
        definition = json.loads(body["schema"])
        parse_schema(definition)
    except Exception:  # noqa: BLE001 - fastavro raises many kinds for a bad schema
        return None
    return json.dumps(definition, separators=(",", ":"))
