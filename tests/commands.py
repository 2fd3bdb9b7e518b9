"""Helpers for tests of the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def imported_by(arguments: list[str]) -> set[str]:
    """Run a command in a fresh interpreter, check that it succeeds, and return the modules it imported."""
    code = "import atexit, sys; from solver.cli.main import main\n"
    code += "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    code += f"sys.exit(main({arguments!r}))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())
