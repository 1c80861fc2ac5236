"""The public names are exactly those exported, and importing them is cheap."""

from __future__ import annotations

import subprocess
import sys

import affectscope as afs


def test_every_exported_name_is_there():
    for name in afs.__all__:
        assert getattr(afs, name) is not None
    assert sorted([*afs._HOMES, "analyses"]) == sorted(afs.__all__)


def test_importing_the_package_loads_no_model_library():
    program = "import sys, affectscope; print('torch' in sys.modules or 'pandas' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "False"


def test_edits_are_the_ones_the_design_names():
    for name in ("Zero", "Noise", "Mean", "Replace", "Add", "ProjectOut"):
        assert issubclass(getattr(afs, name), afs.Edit)
