"""What a multimodal LLM still answers after a codec: ``cotam eval`` (extra eval)."""
