import numpy as np
import pytest

from callstream.calibrate.listening import Heard
from callstream.calibrate.proposal import Levels, NoProposal, Proposal, block_levels, measure, parts_of, propose
from schemas.symbols import Channel
from tests.callstream.calibrate.sounds import BLOCK, stream


def levels(*streams, **unheard_s: float) -> Levels:
    return measure(Heard(streams, unheard_s))


def proposed(*streams) -> Proposal:
    return propose(levels(*streams))


def test_each_block_is_exactly_one_thing():
    parts = parts_of(
        stream(("noise", 2, -60), ("speech", 1, -20), ("noise", 1, -60), ("music", 1, -30), ("digital", 1, 0))
    )
    counts = [int(flags.sum()) for flags in (parts.speech, parts.noise, parts.near, parts.other, parts.digital)]
    assert counts == [50, 100 - 10 + 50 - 10, 20, 50, 50]
    assert (parts.speech ^ parts.noise ^ parts.near ^ parts.other ^ parts.digital).all()


def test_a_level_is_a_root_mean_square_against_full_scale():
    assert block_levels(stream(("noise", 0.02, -40), ("digital", 0.02, 0))) == pytest.approx([-40, -120], abs=0.01)


def test_the_noise_floor_is_given_as_percentiles_over_its_blocks():
    ramp = stream(*(("noise", 0.2, -70 + number / 10) for number in range(101)))
    (found,) = levels(ramp).channels
    assert found.noise_dbfs == {10: -69.0, 50: -65.0, 95: -60.5, 99: -60.1}
    assert (found.seconds, found.noise_s, found.speech_s, found.speech_dbfs) == (20.2, 20.2, 0, None)


def test_noise_alone_gives_thresholds_above_it_and_says_that_nobody_speaks():
    found = proposed(stream(("noise", 20, -52.3)))
    assert (found.on_dbfs, found.off_dbfs) == (-46.0, -49.0)
    assert "6 dB above" in found.reason
    assert "nobody speaks" in found.doubts[0]


def test_louder_noise_gives_higher_thresholds():
    found = [proposed(stream(("noise", 20, dbfs))).on_dbfs for dbfs in (-80, -60, -40, -20)]
    assert found == [-74, -54, -34, -14]


def test_with_speech_the_threshold_lies_half_way_between_noise_and_soft_speech():
    found = proposed(stream(("noise", 20, -60), ("speech", 10, -24.1)))
    assert (found.on_dbfs, found.off_dbfs) == (-50.0, -53.0)
    assert "half-way" in found.reason
    assert found.doubts == ()


def test_the_noisiest_channel_and_the_quietest_talker_decide():
    quiet = stream(("noise", 20, -60), ("speech", 10, -30), channel=Channel.EXTERNAL)
    loud = stream(("noise", 20, -56), ("speech", 10, -20), channel=Channel.INTERNAL)
    found = proposed(quiet, loud)
    assert found.on_dbfs == pytest.approx((-56 + -30 - 15.9) / 2, abs=0.5)
    assert "internal" in found.reason
    assert "external" in found.reason


def test_of_many_calls_the_talkers_count_alike_however_long_they_speak():
    calls = [stream(("noise", 10, -60), ("speech", 4, -30), session=str(number)) for number in range(10)]
    chatterbox = stream(("noise", 10, -60), ("speech", 4000, -15), session="long")
    (found,) = levels(*calls, chatterbox).channels
    assert found.streams == 11
    assert found.speech_dbfs == pytest.approx(-30, abs=0.1)


def test_where_speech_is_near_the_noise_the_threshold_stays_above_the_noise_and_that_is_said():
    found = proposed(stream(("noise", 20, -40), ("speech", 10, -22)))
    assert (found.on_dbfs, found.off_dbfs) == (-37, -40)
    assert "only 18.0 dB above the noise" in found.doubts[0]


def test_noise_as_loud_as_speech_has_no_threshold():
    with pytest.raises(NoProposal, match=r"no level tells noise from speech: .* -28.0 dBFS, and speech .* -24.0 dBFS"):
        proposed(stream(("noise", 20, -28), ("speech", 10, -24)))


def test_a_word_is_not_taken_for_a_level_of_speech():
    (found,) = levels(stream(("noise", 20, -60), ("speech", 2, -20))).channels
    assert (found.speech_s, found.speech_dbfs) == (2, None)


def test_too_little_noise_is_refused_with_what_there_was_instead():
    audio = stream(("noise", 9, -60), ("music", 30, -20), ("speech", 1, -20), ("digital", 2, 0))
    with pytest.raises(NoProposal, match=r"10 s are needed.*9.0 s of noise, 1.0 s of speech, 2.0 s of digital"):
        proposed(audio)


def test_a_channel_with_too_little_noise_is_named_and_the_other_decides():
    found = proposed(stream(("noise", 20, -60)), stream(("noise", 5, -30), channel=Channel.INTERNAL))
    assert found.on_dbfs == -54
    assert found.doubts[0].startswith("internal has 5.0 s of noise")


def test_clipped_audio_is_left_out():
    samples = 20 * 50 * BLOCK
    with pytest.raises(NoProposal, match=r"external: clipped, 0.2 % of the samples"):
        levels(stream(("noise", 20, -60), clipped_samples=samples // 500))
    assert levels(stream(("noise", 20, -60), clipped_samples=samples // 2000)).left_out == ()


def test_digital_silence_alone_is_refused_and_beside_noise_it_is_no_noise():
    with pytest.raises(NoProposal, match="digital silence only"):
        levels(stream(("digital", 20, 0)))
    (found,) = levels(stream(("digital", 20, 0), ("noise", 20, -60))).channels
    assert found.noise_dbfs[10] == pytest.approx(-60, abs=0.1)


def test_what_is_left_out_of_several_is_said_and_the_others_count():
    found = levels(
        stream(("noise", 20, -60)),
        stream(("digital", 20, 0), channel=Channel.INTERNAL),
        stream(("noise", 20, -60), clipped_samples=8000, session="a"),
        stream(("noise", 20, -60), clipped_samples=16000, session="b"),
        **{"44100 Hz": 3.0},
    )
    assert [each.channel for each in found.channels] == [Channel.EXTERNAL]
    assert len(found.streams) == 1
    assert found.left_out == (
        "external of 2 calls: clipped, 10.0 % of the samples are at full scale (0.1 % may be); turn down the gain",
        "internal: digital silence only, so there is no noise to measure",
        "3.0 s of 44100 Hz: cannot be listened to",
    )


def test_audio_nobody_can_listen_to_is_refused_with_what_could_be():
    with pytest.raises(NoProposal, match=r"20.0 s of 44100 Hz; PCMU, PCMA and L16 of 8000, 16000"):
        levels(**{"44100 Hz": 20.0})
    with pytest.raises(NoProposal, match="there is no audio"):
        levels()


def test_thresholds_stay_within_what_the_settings_take():
    for dbfs in (-119.0, -100.0, -3.0):
        found = proposed(stream(("noise", 20, dbfs)))
        assert -90 <= found.off_dbfs < found.on_dbfs <= -1


def test_the_proposal_does_not_depend_on_the_order_of_the_calls():
    random = np.random.default_rng(3)
    calls = [
        stream(("noise", 12, -60 + number), ("speech", 4, -20 - number), session=str(number)) for number in range(6)
    ]
    found = {proposed(*(calls[index] for index in random.permutation(6))) for _ in range(5)}
    assert len(found) == 1
