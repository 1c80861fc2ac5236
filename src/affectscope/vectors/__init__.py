"""Steering vectors that people can carry: a file, a model card, the Hub, and llama.cpp."""

from affectscope.vectors.gguf_file import ControlVector, read_gguf, write_gguf
from affectscope.vectors.vector import SteeringVector

__all__ = ["ControlVector", "SteeringVector", "read_gguf", "write_gguf"]
