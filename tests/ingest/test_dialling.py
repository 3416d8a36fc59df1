from ingest.config import AppFoundrySettings, IngestSettings, MediaStreamsSettings
from ingest.dialling import fill, policy_of


def test_the_settings_say_how_a_connection_is_kept():
    policy = policy_of(MediaStreamsSettings(attempts=7, first_delay_s=3, ping_interval_s=0, inactivity_s=0))
    assert (policy.attempts, policy.first_delay_s, policy.ping_interval_s, policy.inactivity_s) == (7, 3, None, None)
    policy = policy_of(AppFoundrySettings())
    assert (policy.attempts, policy.first_delay_s, policy.ping_interval_s, policy.inactivity_s) == (10, 2, 20, 30)


def test_a_url_gets_domain_and_region_and_its_ids_cannot_leave_their_place():
    settings = IngestSettings(genesys_domain="mypurecloud.de", genesys_region="eu-central-1")
    template = "wss://api.{domain}/{region}/apps/{app_id}/{websocket_id}"
    assert fill(template, settings, app_id="a b", websocket_id="../x?y#z") == (
        "wss://api.mypurecloud.de/eu-central-1/apps/a%20b/..%2Fx%3Fy%23z"
    )
