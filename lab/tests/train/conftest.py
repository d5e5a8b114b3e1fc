"""A weight set that several tests read: exporting its graphs takes longer than all that is asked of them."""

from pathlib import Path

import pytest
import torch
from tiny import CODEC, waves

from cotam_lab.nets.codec import Codec
from cotam_lab.nets.dct import start_from_dct
from cotam_lab.nets.integers import set_tracking
from cotam_lab.train.export import export


@pytest.fixture(scope="session")
def network() -> Codec:
    """A codec whose adapter and hyper context do something."""
    torch.manual_seed(0)
    codec = Codec(CODEC)
    start_from_dct(codec)
    for residual in (*codec.adapter.sixteenth, *codec.adapter.eighth):
        torch.nn.init.normal_(residual.leave.weight, std=0.02)
    torch.nn.init.uniform_(codec.hyper_context.leave.weight, -0.4, 0.4)
    torch.nn.init.uniform_(codec.z_index.anchors, -1, 3)  # of 8 tables: some are below the first one
    set_tracking(codec.train(), True)
    seen = torch.from_numpy(waves(128, 128)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        codec(seen, torch.tensor([50]), torch.zeros(1, 1, 4, 4), adapted=True)
    set_tracking(codec, False)
    return codec.eval()


@pytest.fixture(scope="session")
def exported(network: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weight set."""
    out = tmp_path_factory.mktemp("sets") / "tiny"
    export(network, out, [waves(128, 128)] * 3)
    return out
