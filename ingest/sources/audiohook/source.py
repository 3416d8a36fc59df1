"""AudioHook as a source that calls us: its settings → who may connect, and the machine of each connection."""

from collections.abc import Iterable

from ingest.keys import parse_keys
from ingest.protocol import Admitted, Refused
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
        self._authenticator = auth.Authenticator(
            parse_keys(settings.keys_file.read_text(encoding="utf-8")) if settings.keys_file else {},
            window=auth.Window(settings.signature_max_age_s, settings.signature_skew_s),
            authority=settings.public_authority,
            refuse_replays=settings.refuse_replays,
        )
        self._limits = Limits(
            source_name=NAME,
            l16=Codec.L16_LE if settings.l16_byte_order == "little" else Codec.L16_BE,
            max_message_bytes=settings.max_message_bytes,
            open_deadline_s=settings.open_deadline_s,
            idle_s=settings.idle_s,
            close_deadline_s=settings.close_deadline_s,
            publish_digits=settings.publish_digits,
            supported_languages=settings.supported_languages,
        )

    def admit(self, target: str, headers: Iterable[tuple[str, str]], wall_s: float) -> Admitted | Refused:
        """Return the machine of a new connection, or the refusal."""
        decision = self._authenticator.decide(target, headers, wall_s)
        if isinstance(decision, auth.Refused):
            return Refused(decision.status, decision.reason.value, decision.correlation_id)
        identity = decision.identity
        protocol = AudioHookProtocol(
            identity.organization_id, identity.session_id, identity.correlation_id, self._limits
        )
        return Admitted(protocol, identity.correlation_id)
