"""How much arithmetic the job takes, and how fast the machine multiplies matrices."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig

from benchmarks.job import Job, Patch


@dataclass(frozen=True)
class Shape:
    """What of a Llama-family model decides the arithmetic."""

    n_layers: int
    d_model: int
    d_mlp: int
    d_heads: int
    """Query heads times their width."""
    d_kv: int
    """Key heads times their width."""
    vocabulary: int

    @staticmethod
    def of(config: PreTrainedConfig) -> Shape:
        """The shape of a Hugging Face configuration."""
        d_head = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads
        )
        return Shape(
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads * d_head,
            config.num_key_value_heads * d_head,
            config.vocab_size,
        )

    @property
    def block_parameters(self) -> int:
        """Weights of a block's linear maps: queries and output, keys and values, gated MLP."""
        attention = 2 * self.d_model * self.d_heads + 2 * self.d_model * self.d_kv
        return attention + 3 * self.d_model * self.d_mlp

    def full_pass(self, length: int) -> int:
        """Floating-point operations of a prompt's pass: every token sees those up to itself."""
        keys = length * (length + 1) // 2
        blocks = 2 * self.block_parameters * length + 4 * keys * self.d_heads
        return self.n_layers * blocks + 2 * self.vocabulary * self.d_model

    def sibling(self, length: int, first_block: int) -> int:
        """Operations of one more last token, from a block on."""
        return (self.n_layers - first_block) * (
            2 * self.block_parameters + 4 * length * self.d_heads
        )


def full_pass_operations(shape: Shape, job: Job, passes: int) -> int:
    """Of the job's patched passes (three for each intervention in the paper's procedure)."""
    targets = job.prompts[: job.n_targets]
    return passes * len(job.patches) * sum(shape.full_pass(len(ids)) for ids in targets)


def first_block(patch: Patch) -> int:
    """The first block that a patch makes it necessary to compute again.

    A patched attention output changes what the same block's MLP sees. After a patched MLP output
    the next block is the first to differ; after a window of patched residual streams, the one after
    the window, as each patch overwrites what came before.
    """
    return {
        "attn_out": patch.layers[0],
        "mlp_out": patch.layers[0] + 1,
        "resid_post": patch.layers[-1] + 1,
    }[patch.site]


def sweep_operations(shape: Shape, job: Job) -> int:
    """Of the job's siblings, each from its first block on, without any clean pass."""
    return sum(
        shape.sibling(len(ids), first_block(patch))
        for ids in job.prompts[: job.n_targets]
        for patch in job.patches
    )


def kept_past_operations(shape: Shape, job: Job) -> int:
    """Of one-token passes through all blocks, on kept keys and values, with all logits."""
    one = [
        shape.sibling(len(ids), 0) + 2 * shape.vocabulary * shape.d_model
        for ids in job.prompts[: job.n_targets]
    ]
    return len(job.patches) * sum(one)


def product_shapes(shape: Shape, device: str) -> list[tuple[int, int, int]]:
    """Matrix products to measure: square ones, and the model's MLP on 1024 rows, up and down."""
    squares = [1024, 2048] if torch.device(device).type == "cpu" else [4096, 8192]
    return [
        *((side, side, side) for side in squares),
        (1024, shape.d_model, shape.d_mlp),
        (1024, shape.d_mlp, shape.d_model),
    ]


def product_rate(rows: int, inner: int, columns: int, *, dtype: str, device: str) -> float:
    """Operations a second of one matrix product: the best of those done in half a second."""
    generator = torch.Generator(device).manual_seed(0)
    options = {"generator": generator, "device": device}
    left = torch.randn((rows, inner), **options).to(getattr(torch, dtype))
    right = torch.randn((inner, columns), **options).to(getattr(torch, dtype))
    repeats = 1 if torch.device(device).type == "cpu" else 20
    best, end = float("inf"), time.perf_counter() + 0.5
    torch.mm(left, right)
    while time.perf_counter() < end:
        _wait(device)
        began = time.perf_counter()
        for _ in range(repeats):
            torch.mm(left, right)
        _wait(device)
        best = min(best, (time.perf_counter() - began) / repeats)
    return 2 * rows * inner * columns / best


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def best_product_rate(shape: Shape, *, dtype: str, device: str) -> float:
    """The machine's rate: the best over :func:`product_shapes`."""
    return max(
        product_rate(*sizes, dtype=dtype, device=device) for sizes in product_shapes(shape, device)
    )
