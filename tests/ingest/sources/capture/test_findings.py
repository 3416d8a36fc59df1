from ingest.sources.capture.findings import Damage, Findings


def test_the_times_of_a_file_are_its_first_and_its_latest() -> None:
    findings = Findings()
    for at_s in (5.0, 9.0, 7.0):
        findings.see(at_s)
    assert (findings.first_s, findings.last_s) == (5.0, 9.0)


def test_damage_says_where_it_is() -> None:
    assert str(Damage(1234, "a block of 3 bytes")) == "damaged at byte 1234: a block of 3 bytes"
