"""Train the codec, measure codecs beside each other, and study what compression does to multimodal LLMs."""
