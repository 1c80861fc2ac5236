"""Edits of activations, and interventions made of them.

An edit says *where* (site, layer, position) and *what* takes the activation's place. Edits know
nothing of how the model is run: they see activations as rows ``[row, d_model]`` and are told which
prompt and which token each row belongs to. What a token attends to is edited by
:class:`affectscope.engine.knockout.BlockAttention`.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from affectscope.errors import InterventionError
from affectscope.vocabulary import PRENORM_SITES, SITES, Site, head_of, site_index

Position = int | Literal["all"]
"""A token counted from the end (-1 is the last), or every token."""


@dataclass(frozen=True)
class Where:
    """Which prompt and token each edited row belongs to."""

    prompts: Int[Tensor, " row"]
    """Index of the prompt in the call."""
    tokens: Int[Tensor, " row"]
    """Index of the token in its prompt, from 0."""
    encoded: Sequence[tuple[int, ...]]
    """Token ids of every prompt of the call."""


@dataclass(frozen=True, eq=False)
class Edit:
    """A change in one layer, at one token or all.

    Args:
        site: What is changed.
        layer: Which block, from 0.
        position: Which token, counted from the end; ``"all"`` for every token.
    """

    site: Site
    layer: int
    position: Position = field(default=-1, kw_only=True)

    def __post_init__(self) -> None:
        if self.position != "all" and self.position >= 0:
            raise InterventionError(
                f"position {self.position} does not count from the end",
                expected='-1 (the last token), -2, ... or "all"',
                remedy="count positions from the end of the prompt",
            )

    def check(self, n_prompts: int, d_model: int) -> None:
        """Raise :class:`InterventionError` when the edit cannot apply to such a call."""


@dataclass(frozen=True, eq=False)
class ActivationEdit(Edit, ABC):
    """A change of one activation.

    Args:
        site: Which activation of the block.
        layer: Which block, from 0.
        position: Which token, counted from the end; ``"all"`` for every token.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.site not in (*SITES, *PRENORM_SITES) and head_of(self.site) is None:
            raise InterventionError(
                f"there is no site {self.site!r}",
                expected=f"one of {', '.join((*SITES, *PRENORM_SITES))} or head_out[h]",
                remedy="name one of these sites",
            )

    @abstractmethod
    def apply(
        self, activation: Float[Tensor, "row d_model"], where: Where
    ) -> Float[Tensor, "row d_model"]:
        """The activation that takes the place of ``activation``."""


def _check_value(name: str, value: Tensor, n_prompts: int, d_model: int) -> None:
    shape = tuple(value.shape)
    if shape not in ((d_model,), (n_prompts, d_model)):
        raise InterventionError(
            f"{name} has shape {list(shape)}",
            expected=f"[d_model] = [{d_model}] or [prompt, d_model] = [{n_prompts}, {d_model}]",
            remedy="give one vector for all prompts, or one for each",
        )


def _rows_of(value: Tensor, where: Where, like: Tensor) -> Tensor:
    """The value for every edited row, as the activation's type."""
    rows = value if value.ndim == 1 else value[where.prompts.to(value.device)]
    return rows.to(device=like.device, dtype=like.dtype).expand_as(like)


@dataclass(frozen=True, eq=False)
class Zero(ActivationEdit):
    """Zero ablation: the activation becomes 0."""

    def apply(
        self, activation: Float[Tensor, "row d_model"], where: Where
    ) -> Float[Tensor, "row d_model"]:
        """Zeros."""
        return torch.zeros_like(activation)


def noise_direction(
    ids: Sequence[int], *, seed: int, site: Site, layer: int, token: int, d_model: int
) -> Float[Tensor, " d_model"]:
    """The Gaussian direction that :class:`Noise` uses, of unit norm.

    It is drawn by ``numpy.random.default_rng([seed, crc32(ids as little-endian int64), site, layer,
    token])``, the site as the number of :func:`affectscope.vocabulary.site_index`, so that it
    depends on what is edited and not on batching or order.

    Args:
        ids: Token ids of the whole prompt.
        seed: The edit's seed.
        site: The edited site.
        layer: The edited layer.
        token: Index of the edited token in the prompt, from 0.
        d_model: Length of the vector.
    """
    key = zlib.crc32(np.asarray(ids, dtype="<i8").tobytes())
    generator = np.random.default_rng([seed, key, site_index(site), layer, token])
    draw = generator.standard_normal(d_model)
    return torch.from_numpy((draw / np.linalg.norm(draw)).astype(np.float32))


@dataclass(frozen=True, eq=False)
class Noise(ActivationEdit):
    """Norm-matched noise: a Gaussian direction with the norm of the activation it replaces.

    Args:
        seed: Fixes the directions; see :func:`noise_direction`.
    """

    seed: int = field(kw_only=True)

    def check(self, n_prompts: int, d_model: int) -> None:
        """Raise :class:`InterventionError` for a negative seed."""
        if self.seed < 0:
            raise InterventionError(
                f"the seed {self.seed} of the noise is negative",
                expected="a whole number, 0 or more",
                remedy="choose another seed",
            )

    def apply(
        self, activation: Float[Tensor, "row d_model"], where: Where
    ) -> Float[Tensor, "row d_model"]:
        """A random direction per row, scaled to the row's norm."""
        directions = torch.stack(
            [
                noise_direction(
                    where.encoded[prompt],
                    seed=self.seed,
                    site=self.site,
                    layer=self.layer,
                    token=token,
                    d_model=activation.shape[-1],
                )
                for prompt, token in zip(where.prompts.tolist(), where.tokens.tolist(), strict=True)
            ]
        ).to(activation.device)
        norm = activation.float().norm(dim=-1, keepdim=True)
        return (directions * norm).to(activation.dtype)


@dataclass(frozen=True, eq=False)
class Replace(ActivationEdit):
    """Activation patching: another activation takes the place of this one.

    Args:
        value: ``[d_model]``, or ``[prompt, d_model]`` with one vector for each prompt of the call.
    """

    value: Float[Tensor, "*prompt d_model"] = field(kw_only=True)

    def apply(
        self, activation: Float[Tensor, "row d_model"], where: Where
    ) -> Float[Tensor, "row d_model"]:
        """The given value."""
        return _rows_of(self.value, where, activation)

    def check(self, n_prompts: int, d_model: int) -> None:
        """Raise :class:`InterventionError` for a value of the wrong shape."""
        _check_value("the replacing value", self.value, n_prompts, d_model)


@dataclass(frozen=True, eq=False)
class Mean(Replace):
    """Mean ablation: the mean activation of a reference set takes the place of this one.

    Args:
        value: The mean, ``[d_model]`` (or ``[prompt, d_model]``, a mean for each prompt).
    """


@dataclass(frozen=True, eq=False)
class Add(ActivationEdit):
    """Steering: ``activation + coefficient * vector``.

    Args:
        vector: ``[d_model]`` or ``[prompt, d_model]``.
        coefficient: Multiplies the vector.
    """

    vector: Float[Tensor, "*prompt d_model"] = field(kw_only=True)
    coefficient: float = field(default=1.0, kw_only=True)

    def apply(
        self, activation: Float[Tensor, "row d_model"], where: Where
    ) -> Float[Tensor, "row d_model"]:
        """The activation moved along the vector."""
        return activation + self.coefficient * _rows_of(self.vector, where, activation)

    def check(self, n_prompts: int, d_model: int) -> None:
        """Raise :class:`InterventionError` for a vector of the wrong shape."""
        _check_value("the added vector", self.vector, n_prompts, d_model)


@dataclass(frozen=True, eq=False)
class ProjectOut(ActivationEdit):
    """Erasure of a subspace: ``activation - Q Qᵀ activation``, Q an orthonormal basis.

    Args:
        basis: Vectors spanning the subspace, ``[vector, d_model]``; they need not be orthogonal.
    """

    basis: Float[Tensor, "vector d_model"] = field(kw_only=True)

    def apply(
        self, activation: Float[Tensor, "row d_model"], where: Where
    ) -> Float[Tensor, "row d_model"]:
        """The activation without its component in the subspace."""
        Q, _ = torch.linalg.qr(self.basis.double().T)
        Q = Q.to(device=activation.device, dtype=torch.float32)
        x = activation.float()
        return (x - (x @ Q) @ Q.T).to(activation.dtype)

    def check(self, n_prompts: int, d_model: int) -> None:
        """Raise :class:`InterventionError` for a basis of the wrong shape or without full rank."""
        if self.basis.ndim != 2 or self.basis.shape[1] != d_model:
            raise InterventionError(
                f"the basis has shape {list(self.basis.shape)}",
                expected=f"[vector, d_model] with d_model = {d_model}",
                remedy="give the vectors as rows",
            )
        if int(torch.linalg.matrix_rank(self.basis.double())) < self.basis.shape[0]:
            raise InterventionError(
                f"the {self.basis.shape[0]} vectors of the basis are linearly dependent",
                expected="independent vectors",
                remedy="leave out the vectors that the others span",
            )


@dataclass(frozen=True, eq=False)
class Intervention:
    """One counterfactual: all its edits happen in the same pass.

    Args:
        edits: The edits. Two at the same place apply in the order given.
        name: How the intervention is called in tables and messages.
    """

    edits: Sequence[Edit]
    name: str = ""

    def __post_init__(self) -> None:
        if not self.edits:
            raise InterventionError(
                f"the intervention {self.name!r} has no edits",
                expected="at least one edit",
                remedy="clean scores come with every call as `.clean`, without an intervention",
            )

    @property
    def at_last_token(self) -> bool:
        """Whether only the last token is edited, so that a sibling of it is enough."""
        return all(edit.position == -1 for edit in self.edits)
