"""The regions of Genesys Cloud: the name AWS gives one ↔ the domain below which its hosts lie. Pure.

API hosts are `api.` + domain, login hosts `login.` + domain. The list is that of the platform's own SDK.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

DOMAINS: Mapping[str, str] = MappingProxyType(
    {
        "us-east-1": "mypurecloud.com",
        "us-east-2": "use2.us-gov-pure.cloud",
        "us-west-2": "usw2.pure.cloud",
        "ca-central-1": "cac1.pure.cloud",
        "mx-central-1": "mxc1.pure.cloud",
        "sa-east-1": "sae1.pure.cloud",
        "eu-west-1": "mypurecloud.ie",
        "eu-west-2": "euw2.pure.cloud",
        "eu-central-1": "mypurecloud.de",
        "eu-central-2": "euc2.pure.cloud",
        "eusc-de-east-1": "edee1.eusc-pure.cloud",
        "me-central-1": "mec1.pure.cloud",
        "ap-south-1": "aps1.pure.cloud",
        "ap-southeast-1": "apse1.pure.cloud",
        "ap-southeast-2": "mypurecloud.com.au",
        "ap-northeast-1": "mypurecloud.jp",
        "ap-northeast-2": "apne2.pure.cloud",
        "ap-northeast-3": "apne3.pure.cloud",
    }
)
"""AWS name → domain."""

_NAMES = {domain: name for name, domain in DOMAINS.items()}


class Region(NamedTuple):
    """A region: its AWS name and its domain."""

    name: str
    domain: str


def find(text: str) -> Region | None:
    """Return the region of an AWS name or a domain, however it is capitalised; None for anything else.

    A host is neither: `api.mypurecloud.com` is no domain of this list, and `us-east-1.mypurecloud.com` does not exist.
    """
    wanted = text.strip().lower()
    name = wanted if wanted in DOMAINS else _NAMES.get(wanted)
    return None if name is None else Region(name, DOMAINS[name])


def listed() -> str:
    """Return all regions as one text, for the error that refuses another one."""
    return ", ".join(f"{name} ({domain})" for name, domain in DOMAINS.items())
