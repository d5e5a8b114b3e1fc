"""Damaged and hostile files, made from a seed, and what the decoder makes of them.

    python tests/mutations.py --count 10000 --seed 0

Each mutation must end in an error of `cotam.errors` or in exactly the symbols of the original, within
`SECONDS` of processor time and within ``--memory`` MiB beside what the loaded decoder takes. Counts by
outcome are printed; the exit code is 1 at the first mutation that does anything else. Mutation ``n`` of a
seed is always the same one: ``--first n --count 1`` repeats it.
"""

from __future__ import annotations

import argparse
import binascii
import resource
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from default_codec import CODEC, are_equal
from synthetic import level_map, picture

import cotam
from cotam.codec.planes import Symbols
from cotam.errors import CotamError
from cotam.format.header import MAGIC, MAX_SIDE, File, check_size, read_file, read_header, write_file
from cotam.format.varint import read_varint, varint

SECONDS = 2.0
"""Processor time that one file may take, or twice what its original takes where that is more: on a slow, busy
machine the largest, whole, takes that long."""

Random = np.random.Generator
Mutation = Callable[[Random, bytes], bytes]


def with_header_crc(data: bytes) -> bytes:
    """The file with its header's checksum made to agree again."""
    at = len(MAGIC) + 4
    for _ in range(3):
        _, at = read_varint(data, at, "field")
    crc = binascii.crc_hqx(data[: at + 4], 0xFFFF)
    return data[: at + 4] + crc.to_bytes(2, "little") + data[at + 6 :]


def with_boxes(file: File, boxes: bytes) -> bytes:
    """The file with these bytes as its metadata boxes, all checksums right."""
    data = bytearray(write_file(replace(file, metadata={})))
    data[len(MAGIC)] |= 0x80
    return with_header_crc(bytes(data)) + boxes + b"\0" + zlib.crc32(boxes).to_bytes(4, "little")


def with_length(data: bytes, length: int) -> bytes:
    """The file with another payload length in its header, the header's checksum right."""
    at = len(MAGIC) + 4
    for _ in range(2):
        _, at = read_varint(data, at, "field")
    _, after = read_varint(data, at, "field")
    return with_header_crc(data[:at] + varint(length) + data[after:])


# Blind damage


def flip_bits(rng: Random, data: bytes) -> bytes:
    out = bytearray(data)
    for at in rng.integers(0, 8 * len(data), rng.integers(1, 4)).tolist():
        out[at // 8] ^= 1 << at % 8
    return bytes(out)


def change_bytes(rng: Random, data: bytes) -> bytes:
    out = bytearray(data)
    for at in rng.integers(0, len(data), rng.integers(1, 9)).tolist():
        out[at] = rng.integers(256)
    return bytes(out)


def cut(rng: Random, data: bytes) -> bytes:
    return data[: rng.integers(len(data))]


def insert(rng: Random, data: bytes) -> bytes:
    at = rng.integers(len(data) + 1)
    return data[:at] + rng.bytes(rng.integers(1, 20)) + data[at:]


def delete(rng: Random, data: bytes) -> bytes:
    start, stop = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    return data[:start] + data[stop:]


def swap_parts(rng: Random, data: bytes) -> bytes:
    a, b, c, d = sorted(rng.integers(0, len(data) + 1, 4).tolist())
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def overwrite(rng: Random, data: bytes) -> bytes:
    start, stop = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    return data[:start] + bytes([rng.choice([0, 255])]) * (stop - start) + data[stop:]


# Damage behind a header that is right


def damage_payload(rng: Random, data: bytes) -> bytes:
    file = read_file(data)
    if not file.payload:
        return data
    return write_file(replace(file, payload=flip_bits(rng, file.payload)))


def damage_end_of_payload(rng: Random, data: bytes) -> bytes:
    """The last bytes only: most symbols are right by then."""
    file = read_file(data)
    at = max(0, len(file.payload) - int(rng.integers(1, 12)))
    return write_file(replace(file, payload=file.payload[:at] + rng.bytes(rng.integers(12))))


def random_payload(rng: Random, data: bytes) -> bytes:
    size = int(rng.integers(0, 4000))
    same = bytes([rng.integers(256)]) * size
    payload = (rng.bytes(size), bytes(size), b"\xff" * size, same)[rng.integers(4)]
    return write_file(replace(read_file(data), payload=payload))


def lie_about_length(rng: Random, data: bytes) -> bytes:
    true = read_header(data).payload_length
    near = true + int(rng.integers(-true, 40))
    return with_length(data, rng.choice([near, int(rng.integers(2**35)), 0, len(data)]))


def change_fields(rng: Random, data: bytes) -> bytes:
    file = read_file(data)
    header = file.header
    changes = [
        {"quality": int(rng.integers(128))},
        {"has_levels": not header.has_levels},
        {"weights": rng.bytes(2)},
        {"checksum": int(rng.integers(2**32))},
        {"width": header.width + int(rng.integers(-3, 4))},
        {"height": header.height + int(rng.integers(-3, 4))},
        {"width": header.height, "height": header.width},
    ]
    chosen = rng.choice(len(changes), rng.integers(1, 3), replace=False)
    for number in chosen.tolist():
        header = replace(header, **changes[number])
    header = replace(header, width=abs(header.width), height=abs(header.height))
    return write_file(replace(file, header=header))


def change_size(rng: Random, data: bytes) -> bytes:
    """Any size, up to the largest, behind which there is next to nothing."""
    file = read_file(data)
    height, width = (int(2 ** rng.uniform(0, 20.1)) for _ in range(2))
    if rng.random() < 0.3:
        height = int(rng.choice([1, MAX_SIDE, 200_000_000 // width]))
    payload = rng.bytes(5000) if rng.random() < 0.3 else file.payload
    header = replace(file.header, width=width, height=height)
    return write_file(replace(file, header=header, payload=payload))


def change_version(rng: Random, data: bytes) -> bytes:
    out = bytearray(data)
    out[len(MAGIC)] = rng.integers(256)
    return with_header_crc(bytes(out))


def random_boxes(rng: Random, data: bytes) -> bytes:
    boxes = b""
    for _ in range(rng.integers(5)):
        whole, cut_off = zlib.compress(rng.bytes(40)), zlib.compress(b"x" * 10**5, 9)[:-4]
        body = (rng.bytes(30), whole, cut_off, b"")[rng.integers(4)]
        length = len(body) if rng.random() < 0.8 else int(rng.integers(2**20))
        boxes += bytes([rng.choice(list(b"EIX?\xff"))]) + varint(length) + body
    return with_boxes(read_file(data), boxes)


BOMB = zlib.compress(bytes(64 << 20), 9)


def bomb_boxes(rng: Random, data: bytes) -> bytes:
    letters = rng.permutation(list(b"EIX"))[: rng.integers(1, 4)].tolist()
    return with_boxes(read_file(data), b"".join(bytes([n]) + varint(len(BOMB)) + BOMB for n in letters))


BLIND: list[Mutation] = [flip_bits, change_bytes, cut, insert, delete, swap_parts, overwrite]
AIMED: list[Mutation] = [
    damage_payload,
    damage_end_of_payload,
    random_payload,
    lie_about_length,
    change_fields,
    change_size,
    change_version,
    random_boxes,
    bomb_boxes,
]


def resealed(mutation: Mutation) -> Mutation:
    """Blind damage, then a payload length and a header checksum that agree, where there still is a header."""

    def mutate(rng: Random, data: bytes) -> bytes:
        out = data[:20] + mutation(rng, data[20:])
        try:
            start = read_header(with_header_crc(out)).payload_start
            return with_length(out, max(0, len(out) - start))
        except (CotamError, IndexError):
            return out

    mutate.__name__ = f"{mutation.__name__}_resealed"
    return mutate


MUTATIONS: list[Mutation] = BLIND + AIMED + [resealed(mutation) for mutation in BLIND]


# The decoder's answer


@dataclass(frozen=True)
class Original:
    """A valid file and what is in it."""

    name: str
    data: bytes
    symbols: Symbols
    pixels: np.ndarray


def originals() -> list[Original]:
    """Valid files of all kinds: with and without levels, metadata and several bands."""
    metadata = {"exif": b"II*\0" + bytes(200), "icc": bytes(range(256)) * 3, "xmp": b"<x:xmpmeta/>" * 20}
    tall, wide = (8, 65_700), (65_700, 8)
    strip = np.tile(picture(8, 900), (1, 73, 1))
    kinds = {
        "plain": CODEC.encode(picture(96, 140), 50),
        "tiny": CODEC.encode(picture(1, 1), 0),
        "levels": CODEC.encode(picture(130, 70), 30, levels=level_map(130, 70) | 1),
        "metadata": CODEC.encode(picture(17, 33), 90, metadata=metadata),
        "everything": CODEC.encode(picture(64, 64), 75, levels=level_map(64, 64) | 1, metadata=metadata),
        "wide": CODEC.encode(strip, 5, levels=level_map(*tall)),
        "tall": CODEC.encode(strip.transpose(1, 0, 2), 5, levels=level_map(*wide), metadata=metadata),
    }
    found = []
    for name, file in kinds.items():
        data = file.data
        symbols = CODEC.decode_symbols(file)
        found.append(Original(name, data, symbols, np.asarray(cotam.decode(data))))
    return found


def outcome(original: Original, data: bytes, *, whole: bool) -> str:
    """Name of the error, "same symbols", or what is wrong.

    ``whole`` takes the way of users too: the image with its metadata, and `cotam.info`.
    """
    try:
        file = read_file(data)
        check_size(file.width, file.height)
        symbols = CODEC.decode_symbols(file)
    except CotamError as error:
        found = type(error).__name__
        if not str(error) or "\n" in str(error):
            return f"wrong: the text of {error!r}"
    else:
        found = "same symbols"
        if not are_equal(symbols, original.symbols):
            return "wrong: other symbols, and no error"
    if whole:
        try:
            cotam.info(data)
            if not np.array_equal(np.asarray(cotam.decode(data)), original.pixels):
                return "wrong: another picture, and no error"
            assert found == "same symbols"
        except CotamError:
            if found == "same symbols":
                return "wrong: the symbols decode, the picture does not"
    return found


def main() -> int:
    """Run mutations; see the module."""
    parser = argparse.ArgumentParser(description="Mutate valid files and decode them.")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, default=1024, help="MiB beside what the loaded decoder takes")
    arguments = parser.parse_args()

    valid = originals()
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resource.setrlimit(resource.RLIMIT_AS, (taken + (arguments.memory << 20),) * 2)

    allowed = {}
    for original in valid:
        start = time.process_time()
        outcome(original, original.data, whole=True)
        allowed[original.name] = max(SECONDS, 2 * (time.process_time() - start))
    outcomes: Counter[str] = Counter()
    slowest = (0.0, "")
    for number in range(arguments.first, arguments.first + arguments.count):
        rng = np.random.default_rng([arguments.seed, number])
        original = valid[rng.choice(len(valid), p=np.array([9, 4, 9, 9, 9, 2, 2]) / 44)]
        mutation = MUTATIONS[number % len(MUTATIONS)]
        data = mutation(rng, original.data)
        start = time.process_time()
        answer = outcome(original, data, whole=number % 10 == 0)
        seconds = time.process_time() - start
        what = f"mutation {number} of seed {arguments.seed}: {mutation.__name__} of {original.name!r}"
        if seconds > allowed[original.name]:
            answer = f"wrong: took {seconds:.1f} s"
        if answer.startswith("wrong"):
            print(f"{what}: {answer}")
            return 1
        outcomes[answer] += 1
        slowest = max(slowest, (seconds, what))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, count in outcomes.most_common():
        print(f"{count:6} {name}")
    print(f"slowest {slowest[0]:.2f} s ({slowest[1]})")
    print(f"peak of memory {after / 1024:.0f} MiB, {before / 1024:.0f} MiB of it before the first")
    return 0


if __name__ == "__main__":
    sys.exit(main())
