"""A multimodal model of a few thousand parameters from a seed, for servers that load one from a folder.

Its answers mean nothing, but they depend on every picture that it is shown, and are always the same.
"""

from __future__ import annotations

from pathlib import Path

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}:"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


def write(folder: Path) -> None:
    """Write model and processor, as ``from_pretrained`` reads them."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    alphabet = [
        *map(chr, range(33, 127)),
        "Ġ",
        "Ċ",
    ]  # printable ASCII, space and newline, as ByteLevel has them
    tokens = Tokenizer(models.BPE({token: number for number, token in enumerate(alphabet)}, []))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    tokens.add_special_tokens([AddedToken(token) for token in ("<s>", "</s>", "<pad>", "<image>")])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
    )
    size = 56
    images = CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size}, do_convert_rgb=True
    )
    LlavaProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)

    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    first = len(alphabet)
    special = {"bos_token_id": first, "eos_token_id": first + 1, "pad_token_id": first + 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**small, image_size=size, patch_size=14, projection_dim=32),
        text_config=LlamaConfig(**small, vocab_size=first + 4, max_position_embeddings=2048, **special),
        image_token_index=first + 3,
        vision_feature_layer=-1,
        **special,
    )
    model = LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)  # as drawn, a picture would hardly matter
    model.save_pretrained(folder)
