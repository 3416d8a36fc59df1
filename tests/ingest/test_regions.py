import pytest

from ingest.regions import DOMAINS, Region, find, listed


@pytest.mark.parametrize("name", DOMAINS)
def test_a_region_is_found_by_its_name_and_by_its_domain(name):
    assert find(name) == find(DOMAINS[name]) == Region(name, DOMAINS[name])


def test_eighteen_regions_are_known_and_no_two_share_a_domain():
    assert len(DOMAINS) == len(set(DOMAINS.values())) == 18


@pytest.mark.parametrize("text", ["EU-Central-1", " mypurecloud.de ", "MyPureCloud.DE"])
def test_spelling_does_not_matter(text):
    assert find(text) == ("eu-central-1", "mypurecloud.de")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "us-east-3",
        "us-east-1.mypurecloud.com",
        "api.mypurecloud.com",
        "https://mypurecloud.com",
        "mypurecloud",
        "*",
    ],
)
def test_anything_else_is_no_region(text):
    assert find(text) is None


def test_the_list_names_each_region_both_ways():
    assert all(f"{name} ({domain})" in listed() for name, domain in DOMAINS.items())
