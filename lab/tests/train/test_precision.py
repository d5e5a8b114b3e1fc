"""bf16 where it pays."""

import pytest
import torch

from cotam_lab.train import precision


@pytest.mark.parametrize("slow", [torch.bfloat16, torch.float32])
def test_the_faster_format_is_taken(monkeypatch, slow):
    monkeypatch.setattr(precision, "_seconds", lambda dtype: 2.0 if dtype == slow else 1.0)
    precision.bf16_pays.cache_clear()
    with precision.autocast("cpu"):
        seen = torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3)).dtype
    precision.bf16_pays.cache_clear()
    assert seen == (torch.float32 if slow == torch.bfloat16 else torch.bfloat16)
    assert precision._seconds(torch.float32) > 0
