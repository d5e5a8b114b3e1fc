"""The reference model: a small multimodal LLM from PyPI packages, to ask about coded images."""
