"""The one thing pyproject.toml cannot say: where the package ``solver`` finds its two lower floors.

``tasks/`` and ``kernels/`` are installed as ``solver.tasks`` and ``solver.kernels``, because other distributions own the
top-level names. In a checkout they are reached through the links ``solver/tasks`` and ``solver/kernels``; in an sdist they
are real folders there; where a checkout wrote the links as text files (Windows, zip archives) they are mapped by hand.
Packages are found, not listed: a new sub-package, with or without ``__init__.py``, cannot be forgotten.

``kernels/compact.c`` is built where there is a C compiler; without one the package works as well, more slowly.
"""

from pathlib import Path

from setuptools import Extension, find_namespace_packages, setup

ROOT = Path(__file__).resolve().parent
FLOORS = ("tasks", "kernels")
# Folders under weights/ hold checkpoints, which are package data of solver.weights (see pyproject.toml).
EXCLUDE = ("solver.weights.*",)


def layout(root: Path) -> tuple[list[str], dict[str, str]]:
    """``packages`` and ``package_dir`` for the checkout or unpacked sdist at ``root``."""
    packages = find_namespace_packages(str(root), include=("solver", "solver.*"), exclude=EXCLUDE)
    package_dir: dict[str, str] = {}
    for floor in FLOORS:
        if not (root / "solver" / floor).is_dir():
            package_dir[f"solver.{floor}"] = floor
            found = find_namespace_packages(str(root), include=(floor, f"{floor}.*"))
            packages += [f"solver.{name}" for name in found]
    return sorted(packages), package_dir


if __name__ == "__main__":  # the build runs this file as a script; tests import it for layout()
    packages, package_dir = layout(ROOT)
    compact = Extension(
        "solver.kernels._compact",  # a plain library, loaded with ctypes: it needs no header of Python's
        sources=[
            "solver/kernels/compact.c" if (ROOT / "solver" / "kernels").is_dir() else "kernels/compact.c"
        ],
        extra_compile_args=["-O3", "-fno-math-errno", "-Wno-psabi"],
        libraries=["m"],
        optional=True,
    )
    setup(packages=packages, package_dir=package_dir, ext_modules=[compact])
