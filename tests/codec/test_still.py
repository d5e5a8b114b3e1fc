"""Pixels → bytes → pixels: sizes, rates, levels, tiles, bands, and what must not depend on the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from default_codec import CODEC, are_equal
from synthetic import level_map, picture
from unoptimised import UnoptimisedRunner

from cotam.codec import planes, tiling
from cotam.codec.planes import Grid
from cotam.codec.still import Codec
from cotam.errors import CotamError, DamagedError, InputError, TargetSizeError
from cotam.image.psnr import psnr
from cotam.image.read import to_rgb
from cotam.runtime import OnnxRunner, Runner

WEIGHTS = CODEC.weights
SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("kodim*.webp"))[:2]
SIZES = [(1, 1), (1, 700), (700, 1), (17, 33), (16, 16), (64, 64), (65, 63), (63, 129), (336, 336)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("with_levels", [False, True])
def test_any_size_comes_back(size: tuple[int, int], with_levels: bool) -> None:
    pixels = picture(*size)
    levels = level_map(*size, seed=1) if with_levels else None
    data = CODEC.encode(pixels, 60, levels=levels)
    symbols = CODEC.decode_symbols(data)
    grid = symbols.grid
    assert are_equal(symbols, CODEC.quantise(pixels, 60, levels)[0])
    assert (grid.height, grid.width) == size
    assert symbols.z.shape[1:] == grid.cells
    assert symbols.y.shape[1:] == grid.latents
    decoded = CODEC.decode(data)
    assert decoded.shape == pixels.shape
    assert decoded.dtype == np.uint8
    assert psnr(decoded, pixels) > psnr(np.full_like(pixels, 128), pixels) + 3


def test_edges_are_as_good_as_the_middle() -> None:
    """Beyond the edge the encoder repeats the picture: no bright or dark rim may come of it."""
    pixels = picture(131, 197)
    error = (CODEC.decode(CODEC.encode(pixels, 60)).astype(float) - pixels) ** 2
    inside = error[16:-16, 16:-16].mean()
    assert max(e.mean() for e in (error[:3], error[-3:], error[:, :3], error[:, -3:])) < 3 * inside


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_size_and_fidelity_rise_with_quality(sample: Path) -> None:
    pixels = to_rgb(sample)
    files = [CODEC.encode(pixels, quality) for quality in range(0, 101, 20)]
    sizes = [len(file.data) for file in files]
    fidelity = [psnr(CODEC.decode(data), pixels) for data in files]
    assert sizes == sorted(set(sizes))
    assert fidelity == sorted(fidelity)
    assert sizes[-1] > 8 * sizes[0]


def test_size_is_what_the_tables_promise() -> None:
    for quality in (10, 50, 90):
        symbols, index = CODEC.quantise(picture(336, 336), quality)
        coded = CODEC.hyper.residuals(symbols.z, quality)
        bits = WEIGHTS.tables.bits(symbols.y, index) + WEIGHTS.tables.bits(*coded)
        real = 8 * len(CODEC.encode(picture(336, 336), quality).payload)
        # The coder ends on a whole word: 64 bits at most.
        assert -1 < real - bits < 0.001 * bits + 64


def test_encoding_is_repeatable() -> None:
    pixels = picture(100, 90)
    assert CODEC.encode(pixels, 40) == CODEC.encode(pixels.copy(order="F"), 40)


# Target size


def test_target_size_takes_the_best_that_fits() -> None:
    pixels = picture(128, 160)
    sizes = {quality: len(CODEC.encode(pixels, quality).data) for quality in range(101)}
    for target in (sizes[0], sizes[30] - 1, sizes[77], 10**6):
        data = CODEC.encode_within(pixels, target)
        quality = data.header.quality
        assert len(data.data) <= target
        assert data == CODEC.encode(pixels, quality)
        assert quality == 100 or sizes[quality + 1] > target


def test_target_size_counts_metadata_and_levels() -> None:
    pixels, levels = picture(128, 160), np.abs(level_map(128, 160))
    metadata = {"exif": np.random.default_rng(0).bytes(500)}
    plain = CODEC.encode_within(pixels, 2000).header.quality
    data = CODEC.encode_within(pixels, 2000, levels=levels, metadata=metadata)
    assert len(data.data) <= 2000
    assert data.header.quality < plain
    zeros = {"exif": bytes(50_000)}  # which are written as a few bytes
    assert len(CODEC.encode_within(pixels, 2000, metadata=zeros).data) <= 2000


def test_a_target_that_no_quality_reaches() -> None:
    smallest = len(CODEC.encode(picture(64, 64), 0).data)
    with pytest.raises(TargetSizeError, match=rf"about {smallest} bytes, more than {smallest - 1}"):
        CODEC.encode_within(picture(64, 64), smallest - 1)


# Levels


def test_levels_move_bits_to_where_they_are_high() -> None:
    pixels = picture(256, 384)
    levels = np.zeros((8, 12), np.int8)
    levels[:, :4], levels[:, 8:] = 4, -4
    flat, steered = (
        (CODEC.decode(CODEC.encode(pixels, 40, levels=one)).astype(float) - pixels) ** 2
        for one in (None, levels)
    )
    # Away from where the levels change.
    assert steered[:, :96].mean() < 0.85 * flat[:, :96].mean()
    assert steered[:, -96:].mean() > 1.2 * flat[:, -96:].mean()


def test_a_level_is_a_quarter_octave_of_gain() -> None:
    """The table index moves by one for each level where the scale network learned nothing else, nearly."""
    _, flat = CODEC.quantise(picture(128, 128), 50)
    _, raised = CODEC.quantise(picture(128, 128), 50, np.full((4, 4), 4))
    inner = (flat > 4) & (flat < 40)
    assert (raised[inner].astype(int) - flat[inner]).mean() == pytest.approx(4, abs=2)


def test_zero_levels_cost_nothing() -> None:
    pixels = picture(96, 96)
    assert CODEC.encode(pixels, 50, levels=np.zeros((3, 3), np.int64)) == CODEC.encode(pixels, 50)


@pytest.mark.parametrize(
    "levels",
    [
        np.full((3, 3), 8),
        np.full((3, 3), -8),
        np.full((3, 3), -128, np.int8),  # whose absolute value is -128
        np.full((3, 3), 200, np.uint8),
        np.full((3, 3), 1 << 40),
        np.zeros((3, 4), np.int8),
        np.zeros((3, 3, 1), np.int8),
        np.zeros((3, 3), np.float32),
        np.zeros((3, 3), bool),
    ],
)
def test_wrong_levels_are_refused(levels: np.ndarray) -> None:
    with pytest.raises(InputError, match="levels must be"):
        CODEC.encode(picture(96, 96), 50, levels=levels)


# Tiles and bands


def test_tiles_join_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, levels = picture(500, 600), level_map(500, 600)
    whole_symbols, whole_index = CODEC.quantise(pixels, 60, levels)
    whole_file = CODEC.encode(pixels, 60, levels=levels)
    whole = CODEC.decode(whole_file)
    monkeypatch.setattr(tiling, "WHOLE", 3 * 64)
    monkeypatch.setattr(tiling, "TILE", 3 * 64)
    assert len(list(tiling.tiles(*Grid(500, 600).cells, 1))) == 12
    tiled = CODEC.decode(whole_file)
    away = np.abs(tiled.astype(int) - whole)
    assert away.max() <= 1
    assert (away > 0).mean() < 0.001
    symbols, index = CODEC.quantise(pixels, 60, levels)
    assert (symbols.z != whole_symbols.z).mean() < 0.001
    assert (symbols.y != whole_symbols.y).mean() < 0.001
    if np.array_equal(symbols.z, whole_symbols.z):
        assert np.array_equal(index, whole_index)
    # What the encoder saw in a halo is what the decoder finds there.
    decoded = CODEC.decode(CODEC.encode(pixels, 60, levels=levels))
    assert np.abs(decoded.astype(int) - whole).mean() < 0.05


def test_nothing_beyond_a_halo_is_seen() -> None:
    """What lies farther away than the halos of tiles has no effect: they are as wide as receptive fields."""
    grid, seen = Grid(640, 320), 3 * 16  # the lower half of the picture is other than it was
    pixels, other = picture(640, 320, seed=1), picture(640, 320, seed=2)
    changed = np.concatenate([pixels[:320], other[320:]])
    latents, moved = CODEC.analyse(pixels, grid), CODEC.analyse(changed, grid)
    assert np.array_equal(latents[:, : (320 - seen) // 16], moved[:, : (320 - seen) // 16])
    assert not np.array_equal(latents[:, : 320 // 16], moved[:, : 320 // 16])

    symbols, _ = CODEC.quantise(pixels, 40)
    beyond = replace(symbols, z=symbols.z.copy(), y=symbols.y.copy())
    beyond.z[:, 5:], beyond.y[:, 20:] = 3, -2
    known, changed = (CODEC.dequantise(one) for one in (symbols, beyond))
    assert np.array_equal(known.values[:, :12], changed.values[:, :12])
    values = known.values.copy()
    values[:, 20:] = 1
    drawn, changed = (CODEC.synthesise(one, "human") for one in (known, replace(known, values=values)))
    assert np.array_equal(drawn[:256], changed[:256])
    assert not np.array_equal(drawn[:320], changed[:320])


@pytest.mark.parametrize(("cells", "count"), [(1000, 1), (30, 3), (5, 16), (1, 80)])
def test_bands_do_not_change_symbols(monkeypatch: pytest.MonkeyPatch, cells: int, count: int) -> None:
    pixels, levels = picture(500, 600), level_map(500, 600)
    expected = CODEC.quantise(pixels, 40, levels)
    single = CODEC.encode(pixels, 40, levels=levels)
    monkeypatch.setattr(planes, "BAND_CELLS", cells)
    assert len(list(Grid(500, 600).bands())) == count
    symbols, index = CODEC.quantise(pixels, 40, levels)
    assert are_equal(symbols, expected[0])
    assert np.array_equal(index, expected[1])
    data = CODEC.encode(pixels, 40, levels=levels)
    assert are_equal(CODEC.decode_symbols(data), symbols)
    # A check of 16 bits after the hyper latents and after each band but the last.
    checks = 2 * count if count > 1 else 0
    assert abs(len(data.data) - len(single.data) - checks) <= 8


@pytest.mark.parametrize("size", [(65_700, 8), (8, 65_700)])
def test_long_pictures_have_several_bands(size: tuple[int, int]) -> None:
    pixels = picture(*(min(n, 900) for n in size))
    pixels = np.resize(pixels, (*size, 3)) if size[0] > size[1] else np.tile(pixels, (1, 73, 1))
    levels = level_map(*size)
    assert len(list(Grid(*size).bands())) == 2
    symbols = CODEC.decode_symbols(CODEC.encode(pixels, 10, levels=levels))
    assert are_equal(symbols, CODEC.quantise(pixels, 10, levels)[0])
    assert symbols.grid == Grid(*size)


def test_bands_are_bounded_and_cover_a_picture_once() -> None:
    for height, width in [(1, 1 << 20), (1 << 20, 1), (9_000, 12_000), (190, 1 << 20), (64, 65_600)]:
        grid = Grid(height, width)
        covered = np.zeros(grid.cells, int)
        for row, column in grid.bands():
            covered[row.core(1), column.core(1)] += 1
            assert (row.stop - row.start) * (column.stop - column.start) <= planes.BAND_CELLS
        assert (covered == 1).all()


def test_a_damaged_picture_of_many_bands_is_found_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each band is checked before the next is decoded."""
    monkeypatch.setattr(planes, "BAND_CELLS", 1)
    pixels = picture(300, 300)
    file = CODEC.encode(pixels, 60)
    length = len(file.payload)
    decoded: list[str] = []

    def noting(graph: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        decoded.append(graph)
        return CODEC.runner(graph, inputs)

    for at, most in [(0, 4), (length // 2, 24), (length - 9, 29)]:
        changed = bytearray(file.payload)
        changed[at] ^= 0x55
        decoded.clear()
        with pytest.raises(DamagedError):
            Codec(WEIGHTS, noting).decode_symbols(replace(file, payload=bytes(changed)))  # type: ignore[arg-type]
        assert len(decoded) <= most


# Files


def test_header_fields_are_covered_by_the_checksum_of_symbols() -> None:
    """A header that was changed with care, its own checksum right, is found all the same."""
    file = CODEC.encode(picture(60, 60), 50)
    for change in ({"width": 59}, {"height": 61}, {"quality": 51}, {"has_levels": True}):
        header = replace(file.header, **change)
        with pytest.raises(DamagedError):
            CODEC.decode_symbols(replace(file, header=header))


# Weights


def other_weights(digest: bytes, **change: object) -> Codec:
    return Codec(replace(WEIGHTS, digest=digest, **change), CODEC.runner)  # type: ignore[arg-type]


def test_files_of_other_weights_are_refused() -> None:
    data = CODEC.encode(picture(64, 64), 50)
    changed = other_weights(b"\0\0" + WEIGHTS.digest[2:], name="other")
    with pytest.raises(
        CotamError, match=rf"with weights {WEIGHTS.short_hash.hex()}, these are 0000 \(other\)"
    ):
        changed.decode(data)


def test_weights_whose_short_hash_is_the_same_are_refused_too() -> None:
    """Two bytes name a set; the checksum of the symbols covers all 32."""
    data = CODEC.encode(picture(64, 64), 50)
    with pytest.raises(DamagedError):
        other_weights(WEIGHTS.digest[:-1] + bytes([WEIGHTS.digest[-1] ^ 1])).decode(data)


def test_one_changed_table_value_is_an_error_and_not_a_picture() -> None:
    """Even when the hash of the weights says nothing of it."""
    pixels = picture(128, 128)
    data = CODEC.encode(pixels, 50)
    halves = list(WEIGHTS.tables.halves)
    used = int(np.bincount(CODEC.quantise(pixels, 50)[1].reshape(-1))[1:].argmax()) + 1
    halves[used] = halves[used].copy()
    halves[used][0] -= 2
    halves[used][1] += 1
    changed = other_weights(WEIGHTS.digest, tables=replace(WEIGHTS.tables, halves=tuple(halves)))
    with pytest.raises(DamagedError):
        changed.decode(data)


# The same on every machine


def test_symbols_do_not_depend_on_threads_or_optimisation() -> None:
    runners: list[Runner] = [
        OnnxRunner(WEIGHTS.folder, threads=2),
        UnoptimisedRunner(WEIGHTS.folder, 1),
        UnoptimisedRunner(WEIGHTS.folder, 2),
    ]
    for number, size in enumerate([(200, 300), (65, 63), (17, 700)]):
        pixels, levels = picture(*size, seed=number), level_map(*size, seed=number)
        for quality in (0, 35, 70, 100):
            data = CODEC.encode(pixels, quality, levels=levels)
            expected = CODEC.quantise(pixels, quality, levels)[0]
            assert are_equal(CODEC.decode_symbols(data), expected)
            for runner in runners:
                assert are_equal(Codec(WEIGHTS, runner).decode_symbols(data), expected)
