"""The settings of ingest."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from ingest import regions
from ingest.connecting import Place, url_mistake
from ingest.follow_settings import FollowSettings
from ingest.platform_settings import PlatformSettings
from ingest.sources.appfoundry.config import AppFoundrySettings
from ingest.sources.audiohook.config import AudioHookSettings
from ingest.sources.conversation_audio.config import ConversationAudioSettings
from ingest.sources.media_streams.config import MediaStreamsSettings
from ingest.sources.media_websocket.config import MediaWebSocketSettings
from ingest.spool.config import SpoolSettings
from runtime.config import Section, Settings


def _region(text: str) -> str:
    """Return the AWS name of a region given by name or by domain. Raises with the list of those there are."""
    found = regions.find(text)
    if found is None:
        error, message = "region", "is no region of Genesys Cloud, by name or by domain; there are {regions}"
        raise PydanticCustomError(error, message, {"regions": regions.listed()})
    return found.name


class OAuthSettings(Section):
    """Where the tokens for the connections we open come from."""

    token_url: str = Field(
        "https://login.{domain}/oauth/token", description="Where tokens are given; `{domain}` is the Genesys domain."
    )
    client_id: str | None = Field(None, description="Id of the OAuth client, for client credentials.")
    client_secret: SecretStr | None = Field(None, description="Its secret.")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return what is missing beside the other."""
        mistake = url_mistake(self.token_url, "https", {"domain", "region"})
        if mistake is not None:
            yield "token_url", mistake
        if self.client_id is not None and self.client_secret is None:
            yield "client_secret", "is needed beside the client id"
        if self.client_secret is not None and self.client_id is None:
            yield "client_id", "is needed beside the client secret"


class IngestSettings(Settings):
    """Settings of the ingest service."""

    audiohook: AudioHookSettings = AudioHookSettings()
    oauth: OAuthSettings = OAuthSettings()
    platform: PlatformSettings = PlatformSettings()
    follow: FollowSettings = FollowSettings()
    spool: SpoolSettings = SpoolSettings()
    media_streams: MediaStreamsSettings = MediaStreamsSettings()
    appfoundry: AppFoundrySettings = AppFoundrySettings()
    media_websocket: MediaWebSocketSettings = MediaWebSocketSettings()
    conversation_audio: ConversationAudioSettings = ConversationAudioSettings()
    genesys_region: Annotated[str, AfterValidator(_region)] = Field(
        "us-east-1",
        description="Region of Genesys Cloud: its AWS name or its domain. Login and API hosts lie below the domain.",
    )
    dials_per_s: float = Field(
        20,
        ge=0.1,
        le=10_000,
        description="Most connections opened in a second, over all sources: those lost at once come back so fast.",
    )
    publish_when_pause_unknown: bool = Field(
        False,
        description="Publish audio, digits and texts of sources that do not say when a call is paused, "
        "while no other session of the call says it either.",
    )
    resume_guard_s: float = Field(
        2,
        ge=0,
        le=60,
        description="Digits and texts of such sources that come so soon after a pause are withheld: "
        "they may be of the time of the pause.",
    )
    linger_ms: int = Field(10, ge=1, le=1_000, description="How long records gather before they are sent to Kafka.")
    max_batch_bytes: int = Field(
        256 * 1024, ge=128 * 1024, le=900 * 1024, description="A batch of this size is sent at once."
    )
    max_buffer_bytes: int = Field(
        256 * 2**20,
        ge=2**20,
        le=2**36,
        description="Records that may wait for Kafka in memory; above it audio is dropped and announced as a gap.",
    )
    tick_interval_s: float = Field(5, gt=0, le=60, description="How often every partition gets a TICK.")
    drain_sessions_s: float = Field(5, ge=0, le=3_600, description="How long calls may go on after a stop was asked.")

    @property
    def place(self) -> Place:
        """Where in Genesys Cloud the connections we open lead."""
        return Place(regions.DOMAINS[self.genesys_region], self.genesys_region)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return the times that do not fit together, and what is missing to dial."""
        # what we dialled is asked to close, then made to
        dialled = (self.media_streams, self.appfoundry, self.media_websocket, self.conversation_audio)
        dialled_s = 2 * max(own.close_timeout_s for own in dialled)
        # two for connections that do not close either, one kept back for the end, one to write the last records
        needed_s = self.drain_sessions_s + max(self.audiohook.close_deadline_s + 2, dialled_s) + 2
        if needed_s > self.service.drain_budget_s:
            yield "drain_sessions_s", "leaves no time within the drain budget to close sessions and write the rest"
        single = (self.appfoundry, self.media_websocket, self.conversation_audio)
        wanted = self.media_streams.interactions or any(own.needs_token for own in single)
        if self.oauth.client_id is None and wanted:
            yield "oauth_client_id", "is needed to open the connections that are wanted"
