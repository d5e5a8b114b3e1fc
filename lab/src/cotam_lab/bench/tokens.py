"""Measure a token adapter: feature distances with its tokens, as rows of a sweep.

``python -m cotam_lab.bench.tokens FOLDER -o OUT --adapter FILE``; `lab/recipes/tokens_rd.sh` calls it.
"""

from __future__ import annotations

import functools
import hashlib
import time
from pathlib import Path

import click
import torch
from tqdm import tqdm

from cotam.api import encode
from cotam.codec import weights
from cotam.codec.shared import codec_of
from cotam.errors import InputError
from cotam.format.header import read_file
from cotam.image.read import to_rgb
from cotam.options import Profile
from cotam_lab.bench.cli import errors_shown
from cotam_lab.bench.images import find_images
from cotam_lab.bench.sweep import Row, append, resumed
from cotam_lab.metrics.features import (
    decibels,
    feature_distances,
    see,
    seen_in_original,
    suffix_of,
    teacher_named,
)
from cotam_lab.nets.adapter import TokenAdapter, View, added

__all__ = ["main", "token_row"]


def token_row(path: Path, quality: int, adapter: TokenAdapter, profile: Profile) -> Row:
    """Make the row of an image at a quality, with the scores of the features metric.

    Raises InputError if the adapter was trained for another weight set than that of ``profile``.
    """
    pixels = to_rgb(path)
    height, width = pixels.shape[:2]
    started = time.perf_counter()
    data = encode(pixels, quality=quality, profile=profile, guide="none")
    encoded = time.perf_counter()
    coded = read_file(data)
    codec = codec_of(coded.header.weights)
    if not adapter.reads(codec.weights.digest):
        raise InputError(
            f"the adapter is for weight set {adapter.weights[:8]}, not that of profile {profile!r}"
        )
    begun = time.perf_counter()
    latents = codec.decode_latents(coded)
    image = codec.synthesise(latents)
    decoded = time.perf_counter()
    teacher = teacher_named(adapter.encoder)
    view = View.of((height, width), teacher.patch, resized=teacher.reduced(height, width, teacher.side))
    with torch.inference_mode():
        values = torch.from_numpy(latents.values)[None], torch.from_numpy(latents.log2_gain)[None, None]
        with added(teacher.model, adapter(*values, view)):
            ours = see(teacher, image)
    found = feature_distances(ours, seen_in_original(pixels, adapter.encoder))
    row: Row = {"quality": quality, "width": width, "height": height, "bytes": len(data)}
    row |= {"bpp": 8 * len(data) / (width * height)}
    row |= {"encode_s": encoded - started, "decode_s": decoded - begun}
    suffix = suffix_of(adapter.encoder)
    return row | {key + suffix: value for key, value in decibels(found).items()}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", "out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--adapter", "file", type=click.Path(path_type=Path), required=True)
@click.option(
    "--profile",
    type=click.Choice(["mllm", "base"]),
    default="mllm",
    show_default=True,
    help="Profile of the adapter.",
)
@click.option("--qualities", default="0,8,17,26,35,44,54,64", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Take at most N images, evenly spaced.")
@errors_shown
def main(folder: Path, out: Path, file: Path, profile: Profile, qualities: str, limit: int | None) -> None:
    """Append rows of PROFILE with tokens to OUT/rows.jsonl. Run again, it continues."""
    adapter = TokenAdapter.load(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    set_digest = weights.load(profile).digest.hex()[:12]
    name = "tokens"
    version = f"profile {profile}, guide none, weights {set_digest}, tokens {digest} for {adapter.encoder}"
    rows = out / "rows.jsonl"
    made = [row for row in resumed(rows) if (row["codec"], row["version"]) == (name, version)]
    done = {(row["image"], row["quality"]) for row in made}
    make = functools.partial(token_row, adapter=adapter, profile=profile)
    wanted = [
        (sample, quality)
        for sample in find_images(folder, limit)
        for quality in map(int, qualities.split(","))
        if (sample.name, quality) not in done
    ]
    for sample, quality in tqdm(wanted, unit="row", disable=None):
        row = {"codec": name, "version": version, "image": sample.name} | make(sample.path, quality)
        append(rows, row)


if __name__ == "__main__":
    main()
