"""Reading and editing activations: capture, interventions and the counterfactual sweep.

The engine works on an unmodified Hugging Face causal language model through forward hooks. It
knows no model family; :class:`ModelAccess` tells it where a model's sites are.
"""

from affectscope.engine.access import ModelAccess, execution_device, has_heads, head_contribution
from affectscope.engine.allocation import hand_back_freed_memory, keep_freed_memory
from affectscope.engine.batching import Prompt, common_prefix_length, encode_all
from affectscope.engine.budget import Budget, free_memory, is_out_of_memory
from affectscope.engine.capture import States, capture
from affectscope.engine.decoding import Sampling, Written, write
from affectscope.engine.following import divergence, log_likelihood
from affectscope.engine.full_passes import score_full_passes
from affectscope.engine.interventions import (
    ActivationEdit,
    Add,
    Edit,
    Intervention,
    Mean,
    Noise,
    ProjectOut,
    Replace,
    Zero,
)
from affectscope.engine.knockout import BlockAttention
from affectscope.engine.memory import PassMemory
from affectscope.engine.reading import PromptReader
from affectscope.engine.readouts import Readout
from affectscope.engine.starts import chain_length, start_of
from affectscope.engine.steering import (
    STEERED_TOKENS,
    SteeredTokens,
    check_steering,
)
from affectscope.engine.sweep import Sweep, intervene
from affectscope.engine.weights import AttentionWeights, attention_weights
from affectscope.vectors import SteeringVector

__all__ = [
    "STEERED_TOKENS",
    "ActivationEdit",
    "Add",
    "AttentionWeights",
    "BlockAttention",
    "Budget",
    "Edit",
    "Intervention",
    "Mean",
    "ModelAccess",
    "Noise",
    "PassMemory",
    "ProjectOut",
    "Prompt",
    "PromptReader",
    "Readout",
    "Replace",
    "Sampling",
    "States",
    "SteeredTokens",
    "SteeringVector",
    "Sweep",
    "Written",
    "Zero",
    "attention_weights",
    "capture",
    "chain_length",
    "check_steering",
    "common_prefix_length",
    "divergence",
    "encode_all",
    "execution_device",
    "free_memory",
    "hand_back_freed_memory",
    "has_heads",
    "head_contribution",
    "intervene",
    "is_out_of_memory",
    "keep_freed_memory",
    "log_likelihood",
    "score_full_passes",
    "start_of",
    "write",
]
