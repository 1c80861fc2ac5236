"""The model that all tools share: a folder, or random weights of a given shape."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

LLAMA_3_1_8B: dict[str, Any] = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
    "tie_word_embeddings": False,
}
"""The shape of Llama 3.1 8B, as `LlamaConfig` takes it."""


@dataclass(frozen=True)
class ModelSource:
    """Where the model comes from and how it is held."""

    folder: str
    """A local folder with the tokenizer, and with the weights when ``shape`` is None."""
    dtype: str = "float32"
    device: str = "cpu"
    threads: int = 1
    shape: dict[str, Any] | None = None
    """A `LlamaConfig`'s values: the weights are drawn at random, the same in every process."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @property
    def config(self) -> PreTrainedConfig:
        """The model's configuration."""
        if self.shape is None:
            return AutoConfig.from_pretrained(self.folder)
        return LlamaConfig(**self.shape)

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the folder."""
        return AutoTokenizer.from_pretrained(self.folder)

    def hugging_face(self, attention: str = "sdpa") -> PreTrainedModel:
        """The Hugging Face model, in evaluation mode, without gradients."""
        dtype = getattr(torch, self.dtype)
        if self.shape is None:
            model = AutoModelForCausalLM.from_pretrained(
                self.folder, dtype=dtype, attn_implementation=attention
            ).to(self.device)
        else:
            torch.manual_seed(0)
            with torch.device(self.device):
                model = AutoModelForCausalLM.from_config(
                    self.config, dtype=dtype, attn_implementation=attention
                )
        return model.eval().requires_grad_(False)


def clock(device: str) -> float:
    """Seconds, after the device has done all that was asked of it."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
