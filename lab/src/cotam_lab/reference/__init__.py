"""A small multimodal LLM of two public packages, to ask about coded images."""
