"""Graphs as they are exported: in integers, with the outputs of the network; hyper latents in four steps."""

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import tiny
import torch
from default_codec import are_equal
from tiny import CODEC, waves

from cotam.codec import weights
from cotam.codec.still import Codec as RuntimeCodec
from cotam.errors import DamagedError
from cotam.format.symbols import SymbolReader, SymbolWriter
from cotam.runtime import OnnxRunner
from cotam_lab.nets.entropy import STEPS_PER_OCTAVE
from cotam_lab.nets.integers import WEIGHT_LIMIT


@pytest.fixture(scope="module")
def codec(exported) -> RuntimeCodec:
    return RuntimeCodec(weights.load("tiny", exported), OnnxRunner(exported, threads=1))


@pytest.mark.parametrize("size", [(64, 64), (150, 201), (65, 330)])
@pytest.mark.parametrize("quality", [5, 60, 95])
def test_what_is_encoded_is_decoded(codec, size, quality):
    pixels = waves(*size)
    symbols, _ = codec.quantise(pixels, quality)
    data = codec.encode(pixels, quality)
    assert are_equal(codec.decode_symbols(data), symbols)
    assert codec.decode(data).shape == pixels.shape


def test_hyper_latents_are_coded_with_the_means_and_tables_of_training(network, codec):
    rng = np.random.default_rng(0)
    z = rng.integers(-20, 21, (8, 5, 7)).astype(np.int16)
    coded, index = codec.hyper.residuals(z, 40)
    quality = torch.tensor([40])
    with torch.no_grad():
        multiplier = network.z_multiplier(quality)
        known = network.dequantise_z(torch.from_numpy(z[None]).float(), multiplier)
        plain = torch.round(network.z_index(quality)).expand_as(known)
        mean, expected = network.hyper_context.predict(known, multiplier, plain, quality)
    assert np.array_equal(index, expected[0].numpy())
    assert np.array_equal(z - coded, mean[0].numpy())
    assert np.ptp(z - coded) > 3


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (6, 4)])
def test_hyper_latents_come_back_and_skipped_cells_stay_zero(codec, shape):
    rng = np.random.default_rng(1)
    for mask in (None, rng.random(shape) < 0.3):
        z = rng.integers(-127, 128, (8, *shape)).astype(np.int16) * (1 if mask is None else ~mask)
        writer = SymbolWriter(codec.weights.tables)
        codec.hyper.put(writer, z, 70, mask)
        reader = SymbolReader(codec.weights.tables, writer.finish())
        assert np.array_equal(codec.hyper.get(reader, 70, z.shape, mask), z)


def test_a_changed_byte_of_the_hyper_latents_is_noticed(codec):
    file = codec.encode(waves(), 50)
    payload = bytearray(file.payload)
    payload[8] ^= 0x10
    with pytest.raises(DamagedError):
        codec.decode(replace(file, payload=bytes(payload)))


def operators(graph):
    """Count the operators of a graph, those in branches included."""
    count = Counter(node.op_type for node in graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            count += operators(attribute.g)
    return count


@pytest.mark.parametrize("level", ["none", "basic", "extended", "all"])
def test_graphs_run_in_integers_at_every_level_of_optimisation(exported, tmp_path, level):
    levels = {
        "none": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
        "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    }
    for name, blocks, residuals in (("analysis", 2, 0), ("synthesis", 2, 2), ("context", 6, 0)):
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = levels[level]
        options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        ort.InferenceSession(exported / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
        count = operators(onnx.load(tmp_path / "optimised.onnx").graph)
        assert count["QLinearConv"] == 3 * blocks + 2 * residuals
        assert count["MatMulIntegerToFloat"] == 2 * blocks + residuals
        assert not count["Conv"] + count["FusedConv"]


def test_stored_weights_are_within_63(exported):
    for name in ("analysis", "synthesis"):
        arrays = [
            onnx.numpy_helper.to_array(t) for t in onnx.load(exported / f"{name}.onnx").graph.initializer
        ]
        found = [np.abs(a.astype(int)).max() for a in arrays if a.dtype == np.int8 and a.ndim > 1]
        assert found
        assert max(found) == WEIGHT_LIMIT


def pixels_of(network, latents, levels, nominal, adapted):
    """What the synthesis graph is to give."""
    octaves = torch.nn.functional.interpolate(levels, scale_factor=2.0) / STEPS_PER_OCTAVE
    octaves = octaves[:, :, : latents.shape[2], : latents.shape[3]]
    found = network.synthesis(latents, nominal + octaves, network.adapter, adapted)
    return torch.round(found.clamp(0, 1) * 255).permute(0, 2, 3, 1).numpy()


def test_transforms_give_what_the_network_gives(network, exported):
    runner = OnnxRunner(exported)
    pixels = waves(112, 176)[None]
    (latents,) = runner("analysis", {"pixels": pixels})
    with torch.no_grad():
        expected = network.analysis(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).numpy()
    assert latents.shape == expected.shape
    # A value at the edge of two integers may fall to either side: rarely, and by one step.
    assert np.mean((latents - expected) ** 2) < 1e-4 * np.mean(expected**2)
    inputs = {
        "latents": expected,
        "levels": np.random.default_rng(0).integers(-7, 8, (1, 1, 4, 6)).astype(np.float32),
        "nominal": np.full((1, 1, 1, 1), 0.7, np.float32),
        "adapted": np.ones(1, np.float32),
    }
    (pixels,) = runner("synthesis", inputs)
    with torch.no_grad():
        expected = pixels_of(network, *(torch.from_numpy(a) for a in inputs.values()))
    assert pixels.shape == expected.shape
    assert np.mean(np.abs(pixels.astype(int) - expected)) < 0.3
    assert np.abs(pixels.astype(int) - expected).max() <= 4


@pytest.mark.parametrize("size", [(8, 12), (4, 4), (12, 4)])
def test_context_graph_gives_what_the_network_gives(network, exported, size):
    rng = np.random.default_rng(0)
    height, width = size
    runner = OnnxRunner(exported)
    channels, hyper = CODEC.latents, CODEC.hyper
    latents = rng.normal(scale=4, size=(1, channels, height, width)).astype(np.float32)
    z = rng.integers(-40, 40, (1, hyper, -(-height // 4), -(-width // 4))).astype(np.float32)
    levels = rng.integers(-4, 5, (1, 1, -(-height // 2), -(-width // 2))).astype(np.float32)
    index = rng.integers(0, 3, latents.shape).astype(np.uint8)
    inputs = {
        "z": z,
        "levels": levels,
        "nominal": np.full((1, 1, 1, 1), 0.3, np.float32),
        "gain": rng.uniform(0.5, 2, (1, channels, 1, 1)).astype(np.float32),
        "index": index,
        "values": latents,
        "given": np.zeros(1, np.float32),
    }
    symbols, decoded = runner("context", inputs)
    given = {
        "values": symbols.astype(np.float32),
        "index": np.zeros_like(index),
        "given": np.ones(1, np.float32),
    }
    given = inputs | given
    again, decoded_again = runner("context", given)
    assert np.array_equal(again, symbols)
    np.testing.assert_allclose(decoded_again, decoded, atol=1e-4)
    assert not symbols[index == 0].any()
    octaves = torch.from_numpy(levels.repeat(2, 2).repeat(2, 3)[:, :, :height, :width]) / STEPS_PER_OCTAVE
    gains = torch.from_numpy(inputs["gain"]) * torch.exp2(octaves)
    with torch.no_grad():
        features = network.hyper_synthesis(torch.from_numpy(z) / 16)[:, :, :height, :width]
        expected = tiny.decoded(network.means, features, 0.3 + octaves, torch.from_numpy(symbols) / gains)
    # Weights of layers in floats are stored as int8, so that activations of others fall to other integers.
    assert np.abs(decoded - expected.numpy()).mean() < 0.03 * expected.std()
    assert len(np.unique(symbols)) > 5
