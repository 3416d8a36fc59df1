"""AudioHook as a source that calls us: its settings → who may connect, and the machine of each connection."""

from collections.abc import Iterable

from ingest.keys import KeyRing
from ingest.protocol import Admitted, Refreshed, Refused
from ingest.sources.audiohook import auth
from ingest.sources.audiohook.config import AudioHookSettings
from ingest.sources.audiohook.protocol import AudioHookProtocol, Limits
from schemas.symbols import Codec

NAME = "audiohook"


class AudioHookSource:
    """Implements `ingest.protocol.AcceptingSource`."""

    name = NAME

    def __init__(self, settings: AudioHookSettings) -> None:
        self.path_prefix = settings.path_prefix
        self._public_path = settings.public_path
        self._ring = KeyRing(settings.keys_file)
        self._authenticator = auth.Authenticator(
            self._ring.keys,
            window=auth.Window(settings.signature_max_age_s, settings.signature_skew_s),
            authority=settings.public_authority,
            refuse_replays=settings.refuse_replays,
        )
        self._limits = Limits(
            source_name=NAME,
            l16=Codec.L16_LE if settings.l16_byte_order == "little" else Codec.L16_BE,
            max_message_bytes=settings.max_message_bytes,
            max_ahead_s=settings.max_ahead_s,
            open_deadline_s=settings.open_deadline_s,
            idle_s=settings.idle_s,
            close_deadline_s=settings.close_deadline_s,
            publish_digits=settings.publish_digits,
            supported_languages=settings.supported_languages,
        )

    def refresh(self) -> Refreshed | None:
        """Read the keys again. Connections that a key has opened stay, whatever becomes of it."""
        found = self._ring.refresh()
        self._authenticator.use(self._ring.keys)
        return found

    def admit(self, target: str, headers: Iterable[tuple[str, str]], wall_s: float) -> Admitted | Refused:
        """Return the machine of a new connection, or the refusal."""
        decision = self._authenticator.decide(self._signed_target(target), headers, wall_s)
        if isinstance(decision, auth.Refused):
            return Refused(decision.status, decision.reason.value, decision.correlation_id)
        identity = decision.identity
        protocol = AudioHookProtocol(
            identity.organization_id, identity.session_id, identity.correlation_id, self._limits
        )
        return Admitted(protocol, identity.correlation_id, identity.organization_id.lower())

    def _signed_target(self, target: str) -> str:
        """Return the target as the platform has signed it: with the public path in place of ours."""
        if self._public_path is None:
            return target
        return self._public_path.rstrip("/") + target[len(self.path_prefix.rstrip("/")) :]
