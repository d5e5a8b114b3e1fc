"""Export a trained network as a weight set: ONNX graphs, symbol tables and hashes.

Float weights are stored as float16 or int8, integers as int8 or int32, and cast when a graph is loaded. The tables are
fitted to the residuals of training images and stored as integers.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from tqdm import tqdm

from cotam.codec import weights
from cotam.codec.still import Codec as RuntimeCodec
from cotam.codec.views import VIEWS
from cotam.format.symbols import TOTAL_BITS
from cotam.runtime import OnnxRunner
from cotam_lab.nets.codec import Codec, log2_gain
from cotam_lab.nets.context_graph import context_graph
from cotam_lab.nets.entropy import INDEX_OF_ONE, QUALITIES, STEPS_PER_OCTAVE, TABLES
from cotam_lab.nets.export import stored_small, to_onnx
from cotam_lab.nets.int8_graphs import analysis_graph, synthesis_graph
from cotam_lab.nets.layers import IntegerConv
from cotam_lab.train.data import random_levels

MAGNITUDES = 4096


class ScalesGraph(nn.Module):
    """Hyper latents, gain offsets and the biases of a quality → table index uint8 (1, M, 4h, 4w)."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.scales = _frozen(codec.scales)

    def forward(self, z: Tensor, levels: Tensor, sums64: Tensor, sums32: Tensor, offset: Tensor) -> Tensor:
        return self.scales(z, levels, sums64, sums32, offset).to(torch.uint8)


class HyperContextGraph(nn.Module):
    """Known hyper latents and sums → means and changes of the table index, integers in float32 (1, Z, h, w)."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.context = _frozen(codec.hyper_context)

    def forward(self, known: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
        return self.context(known, sums)


def _frozen(network: nn.Module) -> nn.Module:
    """Return a copy with plain convolutions that have the integers as weights."""
    network = copy.deepcopy(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, IntegerConv):
            weight, bias = (t.detach() for t in module.integers())
            plain = nn.Conv2d(
                weight.shape[1] * module.groups,
                weight.shape[0],
                weight.shape[2],
                padding=module.padding,
                groups=module.groups,
            )
            plain.weight, plain.bias = nn.Parameter(weight), nn.Parameter(bias)
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, plain)
    return network


def _examples(codec: Codec) -> dict[str, dict[str, Tensor]]:
    """Return example inputs: their names, types, and dynamic axes (those longer than 1)."""
    shape = codec.shape
    z = torch.zeros(1, shape.hyper, 3, 4)
    wide, narrow = codec.scales.quality64.anchors.shape[1], codec.scales.quality32.anchors.shape[1]
    return {
        "hyper_analysis": {"latents": torch.zeros(1, shape.latents, 12, 16)},
        "scales": {
            "z": z,
            "levels": torch.zeros(1, 1, 6, 8),
            "sums64": torch.zeros(1, wide, 1, 1),
            "sums32": torch.zeros(1, narrow, 1, 1),
            "offset": torch.zeros(1, shape.latents, 1, 1),
        },
        "hyper_context": {"known": z, "sums": torch.zeros(1, codec.hyper_context.place.shape[2], 3, 4)},
    }


def graphs(codec: Codec) -> dict[str, onnx.ModelProto]:
    """Return the graphs of a weight set."""
    examples = _examples(codec)
    traced = {
        "hyper_analysis": codec.hyper_analysis,
        "scales": ScalesGraph(codec),
        "hyper_context": HyperContextGraph(codec),
    }
    outputs = {"hyper_context": ["mean", "change"]}
    return {
        "analysis": analysis_graph(codec.analysis),
        "context": context_graph(codec.hyper_synthesis, codec.means),
        "synthesis": synthesis_graph(codec.synthesis, codec.adapter),
        **{
            name: stored_small(to_onnx(module, examples[name], False, outputs.get(name)))
            for name, module in traced.items()
        },
    }


@torch.no_grad()
def quality_tables(codec: Codec) -> dict[str, np.ndarray]:
    """The arrays of ``tables.npz`` that depend on quality: see `cotam.codec.weights.WeightSet`."""
    every = torch.arange(QUALITIES)
    sums64, sums32, offset = codec.scales.quality_tables()
    z_index = torch.round(codec.z_index.table())  # before the change by the context; may be below 1
    hyper_quality, hyper_place = codec.hyper_context.tables()
    return {
        "hyper_quality": hyper_quality.numpy(),
        "hyper_place": hyper_place.numpy(),
        "gains": torch.exp2(codec.gains.table()).numpy(),
        "nominal": log2_gain(every.float()).float().numpy(),
        "z_multipliers": codec.z_multiplier(every)[:, :, 0, 0].numpy(),
        "z_index": z_index.to(torch.int8).numpy(),
        "sums64": sums64.numpy(),
        "sums32": sums32.numpy(),
        "offset": offset.numpy(),
    }


def fit_tables(histograms: np.ndarray) -> dict[str, np.ndarray]:
    """Fit the stored frequencies to histograms of magnitudes by table, (48, 4096).

    The logistic distribution of the scale of the table, with which the network was trained, is the prior; it counts
    as 300 symbols.
    """
    halves = [np.array([1 << TOTAL_BITS], np.int64)]
    for number in range(1, TABLES):
        deviation = 2.0 ** ((number - INDEX_OF_ONE) / STEPS_PER_OCTAVE)
        last = int(np.clip(np.ceil(7 * deviation), 2, 2000))
        scale = deviation * np.sqrt(3) / np.pi
        edges = (np.arange(last + 2) - 0.5) / scale
        mass = np.diff(np.tanh(edges / 2)) / 2
        prior = np.concatenate([mass, [1 - mass[0] - 2 * mass[1:].sum()]])
        seen = histograms[number].astype(np.float64)
        counts = np.concatenate([seen[: last + 1] / 2, [seen[last + 1 :].sum()]])
        counts[0] *= 2
        pair = np.r_[1.0, np.full(last, 2.0), 1.0]
        probability = (counts + 300 * prior) / ((counts + 300 * prior) * pair).sum()
        # Each symbol gets one first, so that rounding cannot exceed the total.
        pair = pair.astype(np.int64)
        half = 1 + np.floor(probability * ((1 << TOTAL_BITS) - pair.sum())).astype(np.int64)
        half[0] += (1 << TOTAL_BITS) - (half * pair).sum()
        halves.append(half)
    return {
        "frequencies": np.concatenate(halves).astype(np.uint32),
        "lengths": np.array([len(h) for h in halves], np.uint32),
    }


def count_symbols(codec: RuntimeCodec, crops: Iterable[np.ndarray]) -> np.ndarray:
    """Count how often each magnitude is coded with each table, (48, 4096), over uint8 crops."""
    histograms = np.zeros((TABLES, MAGNITUDES), np.int64)
    rng = np.random.default_rng(0)
    for pixels in crops:
        quality = int(rng.integers(QUALITIES))
        cells = (-(-pixels.shape[0] // 32), -(-pixels.shape[1] // 32))
        levels = random_levels(rng, 1, *cells)[0, 0].astype(np.int8)
        symbols, index = codec.quantise(pixels, quality, levels)
        for values, tables in ((symbols.y, index), codec.hyper.residuals(symbols.z, quality)):
            magnitudes = np.minimum(np.abs(values.astype(np.int64)), MAGNITUDES - 1)
            np.add.at(histograms, (tables.reshape(-1), magnitudes.reshape(-1)), 1)
    return histograms


@torch.no_grad()
def export(
    codec: Codec, out: Path, crops: Sequence[np.ndarray] = (), adapts: Literal["human", "mllm"] = "mllm"
) -> None:
    """Write a weight set into ``out``, with tables fitted to the symbols of ``crops`` (uint8 RGB).

    ``adapts`` is the view that the image adapter was trained for; the other view does not use it.
    """
    codec = copy.deepcopy(codec).cpu().eval()
    out.mkdir(parents=True, exist_ok=True)
    for name, model in graphs(codec).items():
        (out / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    write_tables(codec, out, np.zeros((TABLES, MAGNITUDES), np.int64), adapts)
    if crops:
        exported = RuntimeCodec(weights.load(out.name, out), OnnxRunner(out))
        write_tables(codec, out, count_symbols(exported, tqdm(crops, desc="fit tables", unit="crop")), adapts)
        weights.load.cache_clear()


def write_tables(codec: Codec, out: Path, histograms: np.ndarray, adapts: str) -> None:
    """Write ``tables.npz`` and the manifest of a set whose graphs exist."""
    arrays = quality_tables(codec) | fit_tables(histograms)
    arrays["views"] = np.array([adapts == view for view in VIEWS], np.float32)
    np.savez(out / "tables.npz", allow_pickle=False, **arrays)
    files = sorted(p for p in out.iterdir() if p.suffix in {".onnx", ".npz"})
    manifest = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
