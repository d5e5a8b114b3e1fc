"""A multimodal model of a few thousand parameters from a seed, for servers that load one from a folder.

Its answers mean nothing, but they depend on every picture that it is shown, and are always the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}:"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


def tokenizer(marks: Sequence[str], **names: str) -> Any:
    """One token for each character; ``names`` are attributes that stand for some of the marks."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # Printable ASCII, space and newline, as ByteLevel has them.
    alphabet = [*map(chr, range(33, 127)), "Ġ", "Ċ"]
    tokens = Tokenizer(models.BPE({token: number for number, token in enumerate(alphabet)}, []))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    tokens.add_special_tokens([AddedToken(token) for token in ("<s>", "</s>", "<pad>", *marks)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens=names,
    )


def save_loud(model: Any, folder: Path) -> None:
    """Save a model with its weights made larger: as drawn, a picture would hardly matter."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    model.eval().save_pretrained(folder)


def write(folder: Path, vision: Any = None, images: Any = None, strategy: str = "default") -> None:
    """Write model and processor, as ``from_pretrained`` reads them.

    ``vision`` is the configuration of the tower, with patches of 14 pixels, and ``images`` its processor; by
    default those of a CLIP of 56 × 56 pixels.
    """
    import torch
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    size = 56
    images = images or CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size}, do_convert_rgb=True
    )
    characters = tokenizer(["<image>"], image_token="<image>")
    LlavaProcessor(
        images,
        characters,
        patch_size=14,
        vision_feature_select_strategy=strategy,
        chat_template=TEMPLATE,
        num_additional_image_tokens=int(strategy == "default"),
    ).save_pretrained(folder)

    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = characters.get_vocab()
    special = {"bos_token_id": ids["<s>"], "eos_token_id": ids["</s>"], "pad_token_id": ids["<pad>"]}
    config = LlavaConfig(
        vision_config=vision or CLIPVisionConfig(**small, image_size=size, patch_size=14, projection_dim=32),
        text_config=LlamaConfig(**small, vocab_size=len(ids), max_position_embeddings=2048, **special),
        image_token_index=ids["<image>"],
        vision_feature_layer=-1,
        vision_feature_select_strategy=strategy,
        **special,
    )
    save_loud(LlavaForConditionalGeneration(config), folder)
