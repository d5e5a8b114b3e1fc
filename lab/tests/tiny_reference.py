"""The parts of the reference model, tiny and from a seed: a DINOv2, a Llama, a tokenizer of characters."""

from __future__ import annotations

from typing import Any

import tiny_llava
import torch

from cotam_lab.reference.model import END, IMAGE_TOKEN, Settings

SETTINGS = Settings(side=84, pool=3, layers=(1, 2), hidden=16, rank=2)


def parts() -> tuple[Any, Any, Any]:
    """Encoder, language model and tokenizer, as `cotam_lab.reference.model.load_parts` loads them."""
    from transformers import Dinov2Config, Dinov2Model, LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_llava.tokenizer(["<|im_start|>", END, IMAGE_TOKEN])
    torch.manual_seed(0)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = Dinov2Model(Dinov2Config(**small, image_size=84, patch_size=14))
    language = LlamaForCausalLM(
        LlamaConfig(
            **small,
            intermediate_size=48,
            vocab_size=len(tokenizer),
            max_position_embeddings=1024,
            tie_word_embeddings=True,
        )
    )
    with torch.no_grad():
        for parameter in (*vision.parameters(), *language.parameters()):
            if parameter.dim() > 1:
                parameter.mul_(4)  # as drawn, a picture would hardly matter
        language.model.embed_tokens.weight.mul_(10)  # nor could any answer be likely
    return vision.eval(), language.eval(), tokenizer
