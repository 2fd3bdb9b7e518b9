"""The documentation site builds offline without a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_documents_the_public_functions(tmp_path: Path) -> None:
    for module in ("sphinx", "furo", "myst_nb"):
        pytest.importorskip(module, reason=f"site: {module} is not installed (pip install '.[docs]')")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(ROOT / "docs"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "api.html").read_text(encoding="utf-8")
    for name in ("fill", "edit", "repair", "generate", "refine", "Candidate", "Budget"):
        assert f"solver.{name}" in api
