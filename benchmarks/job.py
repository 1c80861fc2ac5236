"""What is asked: activation patching of some prompts, stated so that every tool can read it.

Prompts stand in a cycle. A patch takes the source's activations at the last token, over a window of
layers at one site, into the target; the source is the prompt so many places further on in the
cycle, so that each prompt is source and target and needs one clean pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

SITES = ("attn_out", "mlp_out", "resid_post")
SPAN = 3

Place = tuple[int, str]
"""A layer and a site."""


@dataclass(frozen=True)
class Patch:
    """One intervention of the job."""

    shift: int
    """How many places further on in the cycle the source stands."""
    site: str
    layers: tuple[int, ...]

    @property
    def places(self) -> tuple[Place, ...]:
        """The patched places, in the order in which a pass meets them."""
        return tuple((layer, self.site) for layer in self.layers)


@dataclass(frozen=True)
class Job:
    """Label logits ``[target, patch, label]`` are wanted."""

    prompts: tuple[tuple[int, ...], ...]
    """Token ids, in the order of the cycle."""
    n_targets: int
    """The first so many prompts are targets; all are sources."""
    label_ids: tuple[int, ...]
    patches: tuple[Patch, ...]

    @property
    def n_interventions(self) -> int:
        """Targets times patches."""
        return self.n_targets * len(self.patches)

    def source(self, target: int, patch: Patch) -> int:
        """Index of the prompt whose activations go into a target."""
        return (target + patch.shift) % len(self.prompts)

    def only(self, indices: Sequence[int]) -> Job:
        """The same job with some of its patches."""
        return Job(
            self.prompts, self.n_targets, self.label_ids, tuple(self.patches[i] for i in indices)
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> Job:
        """The inverse of :meth:`to_json`."""
        return Job(
            tuple(tuple(ids) for ids in values["prompts"]),
            values["n_targets"],
            tuple(values["label_ids"]),
            tuple(Patch(p["shift"], p["site"], tuple(p["layers"])) for p in values["patches"]),
        )


def windows(n_layers: int) -> list[tuple[int, ...]]:
    """All windows of :data:`SPAN` layers that fit wholly."""
    return [tuple(range(first, first + SPAN)) for first in range(n_layers - SPAN + 1)]


def patching_job(
    prompts: Sequence[Sequence[int]],
    label_ids: Sequence[int],
    *,
    n_layers: int,
    n_targets: int,
    n_patches: int | None = None,
) -> Job:
    """The job: every window at every site, from as many sources as it takes.

    Args:
        prompts: Token ids; more than there are sources for each target.
        label_ids: Tokens whose logits are wanted.
        n_layers: Blocks of the model.
        n_targets: The first so many prompts are targets.
        n_patches: Patches a target; one source's worth when None.
    """
    one_source = [(site, layers) for site in SITES for layers in windows(n_layers)]
    wanted = n_patches or len(one_source)
    n_sources = -(-wanted // len(one_source))
    assert n_sources < len(prompts), "a prompt would be its own source"
    patches = [
        Patch(shift, site, layers)
        for shift in range(1, n_sources + 1)
        for site, layers in one_source
    ]
    return Job(
        tuple(tuple(ids) for ids in prompts), n_targets, tuple(label_ids), tuple(patches[:wanted])
    )


def spread(job: Job, n: int, seed: int) -> list[int]:
    """A seeded choice of patches spread over sites and layers: one from each stretch of each site.

    Args:
        job: The whole job.
        n: How many; a multiple of the number of sites.
        seed: Fixes the choice.

    Returns:
        Indices of patches, ascending.
    """
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for site in SITES:
        of_site = sorted(
            (i for i, patch in enumerate(job.patches) if patch.site == site),
            key=lambda i: (job.patches[i].layers, job.patches[i].shift),
        )
        stretches = np.array_split(of_site, max(1, n // len(SITES)))
        chosen += [int(rng.choice(stretch)) for stretch in stretches if len(stretch)]
    return sorted(chosen)
