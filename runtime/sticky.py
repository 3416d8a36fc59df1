"""Who holds which partition of one topic, so that a change of the members moves as little as possible. Pure.

Of its own, because the Range assignor moves most partitions when a member joins, and where a partition moves, calls are
interrupted. It stands where one topic is alone in its group: co-partitioned topics would not land together.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Claim:
    """What a member says when it joins: how many keys it holds in each partition, and since which generation.

    Generation -1: it holds nothing it knows to be its own.
    """

    generation: int = -1
    held: Mapping[int, int] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the claim as it travels with a request to join."""
        return json.dumps({"generation": self.generation, "held": self.held}, sort_keys=True).encode()


def claim_of(data: bytes) -> Claim:
    """Return the claim in a member's request; one that cannot be read claims nothing."""
    try:
        read: dict[str, Any] = json.loads(data)
        return Claim(int(read["generation"]), {int(number): int(keys) for number, keys in read["held"].items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        return Claim()


def share(partitions: Collection[int], members: Mapping[str, Claim]) -> dict[str, list[int]]:
    """Return member → its partitions: all of them are given away, and nobody has two more than another.

    A partition stays with who claims it; of several the one of the latest generation, for the others were away. Who
    has too many gives up first what is empty, then what somebody else claims too and so may hold still, then those with
    the fewest keys. What is given up or free goes to who claims it, where there is one with room.
    """
    shares: dict[str, list[int]] = {member: [] for member in sorted(members)}
    if not shares:
        return {}
    claimants = {number: [member for member in shares if number in members[member].held] for number in partitions}
    for partition, claiming in sorted(claimants.items()):
        if claiming:
            shares[max(claiming, key=lambda member: members[member].generation)].append(partition)
    free = [partition for partition, claiming in claimants.items() if not claiming]
    least, more = divmod(len(partitions), len(shares))
    by_size = sorted(shares, key=lambda member: -len(shares[member]))
    most = {member: least + (place < more) for place, member in enumerate(by_size)}
    for member, share_ in shares.items():
        keys = members[member].held
        # the last go; of equals the one with the highest number
        share_.sort(key=lambda number: (not keys[number], len(claimants[number]) > 1, -keys[number], number))
        free += share_[most[member] :]
        del share_[most[member] :]
    for partition in sorted(free):
        with_room = [member for member in claimants[partition] if len(shares[member]) < most[member]]
        if with_room:
            shares[max(with_room, key=lambda member: members[member].generation)].append(partition)
            free.remove(partition)
    free.sort(reverse=True)
    for member, share_ in shares.items():
        while len(share_) < most[member]:
            share_.append(free.pop())
        share_.sort()
    return shares
