"""Ask a multimodal LLM about images after each codec: ``cotam eval``."""
