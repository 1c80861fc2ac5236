"""A steering vector: what is added to a model's activations, in units that carry between layers.

A direction alone does not say how hard to push: the residual stream grows along the layers and
differs between models. So the coefficient counts mean lengths of the residual stream, shared by the
layers: with 1.0 at two layers, half a mean length is added at each. The vector that is added at a
layer is ``coefficient * norm / len(layers) * direction``, and a direction of length 1 makes the
coefficient mean what it says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import index
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from affectscope.atomic import plain
from affectscope.errors import InterventionError, LayerError
from affectscope.vectors.card import model_card
from affectscope.vectors.folder import CARD_NAME, FILE_NAME, vector_file, write_folder
from affectscope.vectors.hub import push_files
from affectscope.vectors.safetensors_file import broken_file, file_content, read_fields
from affectscope.vocabulary import SITES, Site


@dataclass(frozen=True, eq=False)
class SteeringVector:
    """A direction for each of some layers, added to an activation while a model reads or writes.

    Raises:
        InterventionError: Values that do not go together, or that no activation could take.
    """

    name: str
    """What it is called: ``pleasantness+``, ``joy+``."""
    site: Site
    """Which activation it is added to: one of :data:`affectscope.vocabulary.SITES`."""
    layers: tuple[int, ...]
    """Blocks, counted from 0, ascending."""
    directions: Float[Tensor, "layer d_model"]
    """A direction for each layer, float32 on the CPU, in the order of ``layers``."""
    norms: Float[Tensor, " layer"]
    """Mean length of the residual stream at each layer, in the model's units."""
    coefficient: float = 1.0
    """How much is added, in mean lengths of the residual stream, over all layers together."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from and what it does, as JSON values: model, corpus, seed, effect ..."""

    def __post_init__(self) -> None:
        values = {
            "layers": _whole_numbers(self.layers),
            "directions": _as_held(self.directions),
            "norms": _as_held(self.norms),
            "coefficient": float(self.coefficient),
            "about": _json_values(self.about),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check_words()
        self._check_layers()
        self._check_numbers()

    @property
    def d_model(self) -> int:
        """Length of an activation."""
        return self.directions.shape[1]

    def added(self) -> Float[Tensor, "layer d_model"]:
        """What is added at each layer: ``coefficient * norm / len(layers) * direction``."""
        return (self.coefficient * self.norms / len(self.layers))[:, None] * self.directions

    def times(self, factor: float) -> SteeringVector:
        """The same vector with its coefficient multiplied; a negative factor turns it round."""
        return self.with_coefficient(self.coefficient * factor)

    def with_coefficient(self, coefficient: float) -> SteeringVector:
        """The same vector with another coefficient, in mean lengths of the residual stream."""
        return replace(self, coefficient=coefficient)

    @classmethod
    def from_pretrained(
        cls, path: str | Path, *, revision: str | None = None, endpoint: str | None = None
    ) -> Self:
        """Read a vector that :meth:`save_pretrained` or :meth:`push_to_hub` wrote.

        Args:
            path: A folder, a ``.safetensors`` file, or ``OWNER/NAME`` of a repository on the Hub.
            revision: Branch, tag or commit on the Hub; the main branch when absent.
            endpoint: Address of the Hub, when it is not that of huggingface_hub.

        Raises:
            ModelNotFoundError: There is no vector of that name or path.
            ModelAccessError: It may not be read, or the Hub cannot be reached.
            ModelFileError: The file is damaged, is not a steering vector, or is too new.
            UsageError: A revision is asked of a folder or file on this machine.
        """
        file = vector_file(path, revision=revision, endpoint=endpoint)
        try:
            return cls(**read_fields(file))
        except InterventionError as error:
            raise broken_file(file, error.message) from error

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the vector and its card into a folder, which is made where it is missing.

        Args:
            folder: Where to; a vector that is there already is replaced.

        Returns:
            The folder.

        Raises:
            RunFolderError: The folder has a ``README.md`` and no vector: it is something else's.
            DiskFullError: No space is left.
        """
        return write_folder(Path(folder), self._files())

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = True,
        token: str | None = None,
        endpoint: str | None = None,
    ) -> str:
        """Put the vector and its card into a repository on the Hub, which is made if needed.

        Args:
            repo_id: ``OWNER/NAME``.
            private: The repository is to be seen by its owners only. One that exists and is public
                is then refused.
            token: The user's; the one that ``hf auth login`` or ``HF_TOKEN`` left when absent.
            endpoint: Address of the Hub, when it is not that of huggingface_hub.

        Returns:
            The repository's address.

        Raises:
            ModelAccessError: No token, no right to write, no network, or public where private was
                asked for.
            ModelNotFoundError: The Hub could not have a repository of that name.
        """
        return push_files(
            self._files(),
            repo_id,
            message=f"Steering vector {self.name}",
            private=private,
            token=token,
            endpoint=endpoint,
        )

    def _files(self) -> dict[str, bytes]:
        return {FILE_NAME: file_content(self), CARD_NAME: model_card(self).encode()}

    def _check_words(self) -> None:
        if not self.name.strip() or not self.name.isprintable():
            raise InterventionError(
                f"the name {self.name!r} of a steering vector cannot be shown",
                expected="one line of printable characters",
                remedy='name what it moves, such as "joy+"',
            )
        if self.site not in SITES:
            raise InterventionError(
                f"a steering vector cannot be added at the site {self.site!r}",
                expected=f"one of {', '.join(SITES)}",
            )

    def _check_layers(self) -> None:
        if not self.layers or self.layers[0] < 0 or list(self.layers) != sorted(set(self.layers)):
            raise LayerError(
                f"the layers of a steering vector are {list(self.layers)}",
                expected="at least one, counted from 0, each once and in ascending order",
            )
        n = len(self.layers)
        for name, value, rank in (("directions", self.directions, 2), ("norms", self.norms, 1)):
            if value.ndim != rank or value.shape[0] != n or not value.numel():
                axes = f"[{n}, d_model]" if rank == 2 else f"[{n}]"
                raise InterventionError(
                    f"the {name} have shape {list(value.shape)}",
                    expected=f"{axes}: one entry for each of {n} layers",
                )

    def _check_numbers(self) -> None:
        if not bool(torch.isfinite(self.directions).all()):
            raise InterventionError("the directions are not all finite numbers")
        if not bool((torch.isfinite(self.norms) & (self.norms > 0)).all()):
            raise InterventionError(
                f"the norms are {self.norms.tolist()}",
                expected="mean lengths of the residual stream, above 0 and finite",
            )
        # what is added is in float32, where a large coefficient has no room
        if not math.isfinite(self.coefficient) or not bool(torch.isfinite(self.added()).all()):
            raise InterventionError(
                f"the coefficient {self.coefficient} adds what is no finite number",
                expected="a number, mostly between -2 and 2 mean lengths of the residual stream",
            )


def _whole_numbers(layers: Iterable[int]) -> tuple[int, ...]:
    try:
        return tuple(map(index, layers))
    except TypeError as error:
        raise LayerError(
            f"the layers of a steering vector are {layers!r}", expected="whole numbers, from 0"
        ) from error


def _as_held(value: Tensor) -> Tensor:
    """A copy nobody else can change, as it is stored."""
    return value.detach().to(device="cpu", dtype=torch.float32, copy=True).contiguous()


def _json_values(about: Mapping[str, Any]) -> dict[str, Any]:
    """A copy as it would come back from a file, so that saving changes nothing."""
    try:
        return dict(json.loads(json.dumps(plain(about), allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise InterventionError(
            f"what a steering vector says about itself is not JSON: {error}",
            expected="strings, numbers, lists and mappings of them",
        ) from error
