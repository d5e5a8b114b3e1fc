"""Train and evaluate codecs, and study what compression does to multimodal LLMs."""
