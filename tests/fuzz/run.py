"""Fuzz a target with atheris, guided by the coverage of Cotam's own code.

    python tests/fuzz/run.py decode CORPUS [libFuzzer options: -max_total_time=60 …]

Inputs that reach new code are kept in CORPUS, for the next time. One that fails is written to ``crash-…`` in
the working folder: put it into ``tests/fuzz/found/TARGET/``, and mend what it shows. Half of the mutations of
.cotam files have payload length and header checksum made to agree again: else hardly one would get past.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["cotam"]):
    from fuzz.targets import TARGETS, seeds
    from mutations import with_length

    import cotam.gateway.for_model  # noqa: F401
    from cotam.errors import CotamError
    from cotam.format.header import read_header
    from cotam.runtime import limit_threads


def resealed(data: bytes) -> bytes:
    """The file with a payload length and a header checksum that agree, where there is a header."""
    try:
        fixed = with_length(data, 0)
        return with_length(data, max(0, len(fixed) - read_header(fixed).payload_start))
    except (CotamError, IndexError):
        return data


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's own mutation; every second one resealed."""
    changed = atheris.Mutate(data, max_size)
    return resealed(changed)[:max_size] if seed % 2 else changed


def main() -> None:
    """Run; see the module."""
    target, corpus = sys.argv[1], Path(sys.argv[2])
    function: Callable[[bytes], None] = TARGETS[target]
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(data)
    limit_threads(1)
    for data in seeds(target):
        function(data)  # graphs are loaded now, and not on the fuzzer's time
    mutator = {"custom_mutator": mutate} if target in ("decode", "info") else {}
    options = ["-timeout=20", "-rss_limit_mb=2048", "-max_len=16384", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[3:], str(corpus)], function, **mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
