"""``python -m cotam_lab.bench.scale``: what a million pictures cost, from what `cotam_lab.bench.bulk` measured.

Knows arithmetic: nothing is measured here. Prices are assumptions, and options. Bytes and processor time are
taken as proportional to the area of the picture; `estimate` is the whole of the model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import click

__all__ = ["Estimate", "Measured", "Prices", "estimate"]

MILLION = 1_000_000


@dataclass(frozen=True)
class Measured:
    """Of one picture: its size, bytes of its JPEG and .cotam, processor seconds to encode and to decode."""

    megapixels: float
    jpeg: float
    cotam: float
    encode: float
    decode: float

    @classmethod
    def read(cls, path: Path) -> Measured:
        """From the JSON that `cotam_lab.bench.bulk` wrote."""
        found = json.loads(path.read_text())
        count = found["pictures"]
        return cls(
            found["megapixels"],
            found["bytes_jpeg"] / count,
            found["bytes_cotam"] / count,
            found["encode_processor_seconds"] / count,
            found["decode_processor_seconds"] / count,
        )


@dataclass(frozen=True)
class Prices:
    """Assumptions: of a gigabyte that is sent, a gigabyte stored for a month, and a core for an hour."""

    sent: float
    month: float
    core: float


@dataclass(frozen=True)
class Estimate:
    """Of a million pictures: gigabytes as JPEG and .cotam, core-hours, and money.

    Attributes
    ----------
    jpeg, cotam : gigabytes
    encode, decode : core-hours
    saved_sent, saved_month : by sending, and by storing for a month, .cotam instead of JPEG
    paid_encode, paid_decode : for core-hours; the edge's own processor may cost nothing
    """

    jpeg: float
    cotam: float
    encode: float
    decode: float
    saved_sent: float
    saved_month: float
    paid_encode: float
    paid_decode: float


def estimate(measured: Measured, prices: Prices, megapixels: float) -> Estimate:
    """The cost of a million pictures of this size."""
    times = MILLION * megapixels / measured.megapixels
    jpeg, cotam = measured.jpeg * times / 1e9, measured.cotam * times / 1e9
    encode, decode = measured.encode * times / 3600, measured.decode * times / 3600
    saved = jpeg - cotam
    return Estimate(
        jpeg=jpeg,
        cotam=cotam,
        encode=encode,
        decode=decode,
        saved_sent=saved * prices.sent,
        saved_month=saved * prices.month,
        paid_encode=encode * prices.core,
        paid_decode=decode * prices.core,
    )


@click.command()
@click.argument("measured", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--sent", default=0.09, show_default=True, help="Price of a GB that is sent.")
@click.option("--month", default=0.023, show_default=True, help="Price of a GB stored for a month.")
@click.option("--core", default=0.04, show_default=True, help="Price of a core for an hour.")
@click.option("--megapixels", "sizes", multiple=True, type=float, default=(0.1, 0.4, 1.0, 12.0))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Also write the page.")
def main(
    measured: Path, sent: float, month: float, core: float, sizes: tuple[float, ...], output: Path | None
) -> None:
    """Tables in Markdown from MEASURED, the JSON of lab/recipes/ray_batch.sh."""
    found, prices = Measured.read(measured), Prices(sent, month, core)
    speedups = json.loads(measured.read_text())["speedup_of_two"]
    lines = [
        f"Measured, for a picture of {found.megapixels:.3g} MP: JPEG {found.jpeg:,.0f} bytes, "
        f".cotam {found.cotam:,.0f} bytes; {1e3 * found.encode:.1f} ms of a core to encode, "
        f"{1e3 * found.decode:.1f} ms to decode. Two processes do {speedups['processes']:.2f} × the work of "
        f"one, two workers of Ray {speedups['ray']:.2f} ×.",
        "",
        f"Assumed: {sent:g} for a GB sent, {month:g} for a GB stored for a month, {core:g} for a core-hour.",
        "",
        "| a million of | JPEG, GB | .cotam, GB | encode, core-hours | decode, core-hours "
        "| saved: sent · a month | paid: both ends · decode |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for size in sizes:
        one = estimate(found, prices, size)
        both = one.paid_encode + one.paid_decode
        lines.append(
            f"| {size:g} MP | {one.jpeg:,.1f} | {one.cotam:,.1f} | {one.encode:,.1f} | {one.decode:,.1f} "
            f"| {one.saved_sent:,.2f} · {one.saved_month:,.2f} "
            f"| {both:,.2f} · {one.paid_decode:,.2f} |"
        )
    one = estimate(found, prices, 1.0)
    saved, both = one.jpeg - one.cotam, one.paid_encode + one.paid_decode
    lines += [
        "",
        f"At this price of a core, sending pays from {both / saved:.3f} for a GB where both ends are paid, "
        f"and from {one.paid_decode / saved:.3f} where the edge has its processor anyway; storing pays for "
        f"both after {both / one.saved_month:.1f} months.",
        "",
        f"One core encodes {24 / one.encode:.2f} and decodes {24 / one.decode:.2f} million pictures of 1 MP "
        "a day.",
    ]
    link = 8 * (found.jpeg - found.cotam) / (found.encode + found.decode) / 1e6
    lines += [
        "",
        f"With one core at each end, a picture is there sooner than its JPEG over a link of less than "
        f"{link:.1f} Mbit/s. On a faster one it is the cores that limit.",
    ]
    page = "\n".join(lines) + "\n"
    click.echo(page, nl=False)
    if output:
        output.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
