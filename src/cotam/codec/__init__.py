"""The codecs of still images and sequences: learned, AV1 and lossless."""
