from ingest.dial import policy_of
from ingest.sources.appfoundry.config import AppFoundrySettings
from ingest.sources.media_streams.config import MediaStreamsSettings


def test_the_settings_say_how_a_connection_is_kept():
    policy = policy_of(MediaStreamsSettings(attempts=7, first_delay_s=3, ping_interval_s=0, inactivity_s=0))
    assert (policy.attempts, policy.first_delay_s, policy.ping_interval_s, policy.inactivity_s) == (7, 3, None, None)
    policy = policy_of(AppFoundrySettings(start_spread_s=2))
    assert (policy.attempts, policy.first_delay_s, policy.ping_interval_s, policy.inactivity_s) == (10, 2, 20, 30)
    assert policy.start_spread_s == 2


def test_every_time_of_the_settings_is_kept():
    own = MediaStreamsSettings(
        longest_delay_s=9,
        open_timeout_s=8,
        ping_interval_s=7,
        pong_timeout_s=6,
        close_timeout_s=5.5,
        inactivity_s=4,
        stable_s=3,
        max_message_bytes=2048,
    )
    policy = policy_of(own)
    assert (policy.longest_delay_s, policy.open_timeout_s, policy.ping_interval_s) == (9, 8, 7)
    assert (policy.pong_timeout_s, policy.close_timeout_s, policy.inactivity_s) == (6, 5.5, 4)
    assert (policy.stable_s, policy.max_message_bytes) == (3, 2048)
