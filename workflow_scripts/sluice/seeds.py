"""One seed in the config; every other one is its child, by name."""

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """A child seed that depends on the names alone, not on order, shard or worker.

    ``derive_seed(42, "sample_responses", sample_id)`` is the same in every process and on every
    machine, in [0, 2**63), so that numpy, torch and random all take it.

    Args:
        seed: the config's seed.
        names: what the child is for; ``("a", "b")`` and ``("ab",)`` differ.
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in (seed, *names):
        encoded = f"{type(part).__name__}:{part}".encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return int.from_bytes(digest.digest(), "little") >> 1
