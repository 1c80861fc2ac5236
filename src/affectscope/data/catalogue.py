"""The corpora that are known by name: their sources, terms and hashes, and where they lie.

None but the vignettes comes with affectscope. The others are fetched by their user, from addresses
that name one version of the file where the source has versions, and are used only when their bytes
have the SHA-256 given here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from affectscope.user_cache import cache_path
from affectscope.vocabulary import EMOTIONS


@dataclass(frozen=True)
class KnownFile:
    """One file of a corpus, as it is known."""

    name: str
    """Its name at the source and in the cache."""
    holds: str
    """What is in it."""
    url: str
    """Where it is fetched from."""
    size: int
    """In bytes."""
    sha256: str
    """Of its content, in hexadecimal."""

    def is_at(self, path: Path) -> bool:
        """Whether a file with exactly this content is at a path."""
        try:
            if path.stat().st_size != self.size:
                return False
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256
        except OSError:
            return False


@dataclass(frozen=True)
class KnownCorpus:
    """A corpus with a name."""

    name: str
    """What it is called here."""
    holds: str
    """What it is a corpus of."""
    rows: int | None
    """Rows of the file with the texts; None where they have to be counted."""
    labels: tuple[str, ...]
    """The label set, as used here."""
    files: tuple[KnownFile, ...]
    """Its files, that with the texts first; none for a corpus that comes with affectscope."""
    source: str
    """Who has it."""
    terms: str
    """What is known of the terms of use."""
    citation: str
    """What to cite."""


_EMO_LLM = (
    "https://raw.githubusercontent.com/aminbana/emo-llm/8d4ed2312aa7ac8783552ba3614d798e45462711"
)
_ISEAR = (
    "https://raw.githubusercontent.com/sinmaniphel/py_isear_dataset/"
    "10d9b34cca49154253c6fa22c2aa1bd9d945045c"
)

_VIGNETTES = KnownCorpus(
    name="vignettes",
    holds="situations written for affectscope; no human self-reports",
    rows=None,
    labels=EMOTIONS,
    files=(),
    source="comes with affectscope; its card lies next to it, in affectscope/vignettes",
    terms="Apache-2.0",
    citation="affectscope, with its version",
)

_CROWD_ENVENT = KnownCorpus(
    name="crowd-envent",
    holds="events that crowdworkers told for a given emotion, rated by them on 21 appraisals, "
    "1,200 of them also by five readers each",
    rows=6600,
    labels=EMOTIONS,
    files=(
        KnownFile(
            name="enVent_gen_Data.csv",
            holds="the authors' texts, emotions and ratings",
            url=f"{_EMO_LLM}/data/enVent_gen_Data.csv",
            size=3_601_240,
            sha256="941683c991923cdecf2953c4c945227bbbd3678b96139564c7ed68cb432c5a2c",
        ),
        KnownFile(
            name="enVent_val_Data.csv",
            holds="the readers' emotions and ratings, five for each of 1,200 texts",
            url=f"{_EMO_LLM}/data/enVent_val_Data.csv",
            size=1_418_936,
            sha256="395c940e4f4189ff170201ea71c9120935c8ab01307a99b707f09e75b60973f0",
        ),
    ),
    source="GitHub repository aminbana/emo-llm, commit 8d4ed23",
    terms="not stated at the source: for your own research; ask its authors before passing it on",
    citation="Troiano, Oberländer and Klinger (2023), Dimensional Modeling of Emotions in Text "
    "with Appraisal Theories, Computational Linguistics 49(1), doi 10.1162/coli_a_00461",
)

_ISEAR_CORPUS = KnownCorpus(
    name="isear",
    holds="situations in which students of 16 countries felt one of seven emotions, with answers "
    "on their appraisal",
    rows=7666,
    labels=("anger", "disgust", "fear", "guilt", "joy", "sadness", "shame"),
    files=(
        KnownFile(
            name="isear.csv",
            holds="the texts, emotions and answers",
            url=f"{_ISEAR}/isear.csv",
            size=1_670_985,
            sha256="370110fff70a1e1d9e23b10cf6db1f64876120fa02276afe5916fbfeb038cdca",
        ),
    ),
    source="GitHub repository sinmaniphel/py_isear_dataset, commit 10d9b34",
    terms="not stated at the source: for research; ask the Swiss Center for Affective Sciences "
    "before passing it on",
    citation="Scherer and Wallbott (1994), Evidence for universality and cultural variation of "
    "differential emotion response patterning, Journal of Personality and Social Psychology 66(2), "
    "doi 10.1037/0022-3514.66.2.310",
)

KNOWN: Mapping[str, KnownCorpus] = MappingProxyType(
    {corpus.name: corpus for corpus in (_VIGNETTES, _CROWD_ENVENT, _ISEAR_CORPUS)}
)
"""The known corpora by name."""


def corpus_folder(name: str) -> Path:
    """Where the files of a known corpus are kept, whether they are there or not."""
    return cache_path() / "data" / name


def corpus_file(name: str, file: str | None = None) -> Path | None:
    """A file of a known corpus in the user's cache.

    Args:
        name: The corpus.
        file: The file's name; that with the texts when absent.

    Returns:
        Its path; None when it is not there, or when what is there has other content.
    """
    files = {known.name: known for known in KNOWN[name].files}
    if not files:
        return None
    known = files[file or next(iter(files))]
    path = corpus_folder(name) / known.name
    return path if known.is_at(path) else None
