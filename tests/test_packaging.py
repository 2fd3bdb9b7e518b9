"""What gets built and installed: every file, in its place, beside other packages named ``tasks`` and ``kernels``."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("tasks", "kernels")
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so", "*.pyd")
BUILT = (".so", ".pyd")  # of kernels/compact.c, where there is a C compiler

# Where each name would be imported from: a path, "namespace", or "absent". Looks modules up without running them, so that
# the environments need neither torch nor numpy.
PROBE = """
import importlib.util, json, sys
def where(name):
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return "absent"
    return "absent" if spec is None else spec.origin or "namespace"
print(json.dumps({name: where(name) for name in sys.argv[1:]}))
"""
OURS = ("solver.kernels.reference", "solver.tasks.sudoku.layout", "solver.models.checkpoint")


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command, in an environment without the caller's Python path; its errors when it fails."""
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def copy_checkout(to: Path, *, links: bool = True) -> Path:
    """What a build reads. ``links=False``: with links written as text files, as Windows and many zip tools do."""
    to.mkdir()
    for layer in ("solver", *FLOORS):
        shutil.copytree(ROOT / layer, to / layer, symlinks=True, ignore=IGNORED)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, to / name)
    for floor in FLOORS:
        link = to / "solver" / floor
        link.unlink()
        if links:
            link.symlink_to(f"../{floor}", target_is_directory=True)
        else:
            link.write_text(f"../{floor}", encoding="utf-8")
    return to


def to_install(checkout: Path) -> set[str]:
    """Every file of the three layers, by the path it is to have when installed."""
    installed = set()
    for layer in ("solver", *FLOORS):
        for path in (checkout / layer).rglob("*"):  # follows no links
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(checkout).parts)
            hidden = hidden or path.suffix in BUILT
            if path.is_file() and not hidden and path not in {checkout / "solver" / f for f in FLOORS}:
                name = path.relative_to(checkout).as_posix()
                installed.add(name if layer == "solver" else f"solver/{name}")
    return installed


class Built(NamedTuple):
    checkout: Path
    wheel: Path
    sdist: Path
    editable: Path


def build(checkout: Path) -> Built:
    """An sdist, a wheel made from that sdist, and the wheel of an editable install."""
    out = checkout.parent / "dist"
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, checkout, cwd=checkout.parent)
    editable = out / "editable"
    hook = f"import setuptools.build_meta as b; b.build_editable({str(editable)!r})"
    editable.mkdir()
    run(sys.executable, "-c", hook, cwd=checkout)
    return Built(checkout, next(out.glob("*.whl")), next(out.glob("*.tar.gz")), next(editable.glob("*.whl")))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(copy_checkout(tmp_path_factory.mktemp("links") / "checkout"))


@pytest.fixture(scope="module")
def built_without_links(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(copy_checkout(tmp_path_factory.mktemp("text") / "checkout", links=False))


def wheel_files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name and not name.endswith(BUILT)}


def test_every_folder_with_code_is_a_package() -> None:
    packages, package_dir = runpy.run_path(str(ROOT / "setup.py"))["layout"](ROOT)
    folders = {
        Path(name).parent.as_posix().replace("/", ".") for name in to_install(ROOT) if name.endswith(".py")
    }
    assert folders <= set(packages)
    if all((ROOT / "solver" / floor).is_symlink() for floor in FLOORS):
        assert package_dir == {}  # nothing is mapped by hand where the links are links


def test_links_of_the_checkout_stay_relative() -> None:
    for floor in FLOORS:
        link = ROOT / "solver" / floor
        if not link.is_symlink():
            pytest.skip("this checkout wrote its links as text files")
        assert link.readlink() == Path("..") / floor


@pytest.mark.slow
def test_wheel_has_every_file_and_nothing_else(built: Built) -> None:
    """A file of a new kind (say, tasks/json_schema/*.json) has to be named in pyproject's package-data."""
    assert wheel_files(built.wheel) == to_install(built.checkout)


@pytest.mark.slow
def test_wheel_has_the_compiled_block_where_there_is_a_compiler(built: Built) -> None:
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("this machine has no C compiler")
    with zipfile.ZipFile(built.wheel) as archive:
        assert [
            name
            for name in archive.namelist()
            if name.startswith("solver/kernels/_compact.") and name.endswith(BUILT)
        ]


@pytest.mark.slow
def test_sdist_has_every_file_and_no_top_level_floor(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    assert to_install(built.checkout) <= names
    assert not names & set(FLOORS)
    assert not [member.name for member in members if member.issym()]


@pytest.mark.slow
def test_wheel_from_a_checkout_without_links(built_without_links: Built) -> None:
    assert wheel_files(built_without_links.wheel) == to_install(built_without_links.checkout)


@pytest.mark.slow
def test_checkout_without_links_imports(built_without_links: Built) -> None:
    found = json.loads(run(sys.executable, "-c", PROBE, *OURS, cwd=built_without_links.checkout))
    root = built_without_links.checkout
    assert found == {
        "solver.kernels.reference": str(root / "kernels" / "reference.py"),
        "solver.tasks.sudoku.layout": str(root / "tasks" / "sudoku" / "layout.py"),
        "solver.models.checkpoint": str(root / "solver" / "models" / "checkpoint.py"),
    }


class Environment:
    """A fresh virtual environment with nothing in it, served by this interpreter's pip."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("pip", reason="names: this environment has no pip to install with")
        venv.create(folder, with_pip=False, symlinks=os.name != "nt")
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self.purelib = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))

    def pip(self, *arguments: str | Path, cwd: Path) -> str:
        quiet = ("--disable-pip-version-check", "--quiet", "--python", self.python)
        return run(sys.executable, "-m", "pip", *quiet, *arguments, cwd=cwd)

    def probe(self, *names: str, cwd: Path) -> dict[str, str]:
        found: dict[str, str] = json.loads(run(self.python, "-c", PROBE, *names, cwd=cwd))
        return found


def foreign_wheel(name: str, folder: Path) -> Path:
    """A wheel of somebody else's package: one regular package of that name."""
    wheel = folder / f"{name}-9.0-py3-none-any.whl"
    info = f"{name}-9.0.dist-info"
    files = {
        f"{name}/__init__.py": f"WHOSE = 'the other {name}'\n",
        f"{name}/reference.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


@pytest.mark.slow
@pytest.mark.names
@pytest.mark.parametrize("kind", ["wheel", "editable"])
@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("pip_runs_in", ["checkout", "elsewhere"])
def test_lives_beside_other_tasks_and_kernels(
    built: Built, tmp_path: Path, kind: str, first: str, pip_runs_in: str
) -> None:
    environment = Environment(tmp_path / "venv")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    cwd = built.checkout if pip_runs_in == "checkout" else elsewhere
    ours = [built.wheel if kind == "wheel" else built.editable]
    theirs = [foreign_wheel(name, tmp_path) for name in FLOORS]

    def install(wheels: list[Path]) -> None:
        environment.pip("install", "--no-deps", "--no-index", *wheels, cwd=cwd)

    def check(*, ours: bool, theirs: bool) -> None:
        for place in (built.checkout, elsewhere):
            found = environment.probe(*FLOORS, *OURS, cwd=place)
            for floor in FLOORS:
                # Our folder is a namespace package to whoever stands in the checkout: found last, or not at all.
                missing = "namespace" if place == built.checkout else "absent"
                assert found[floor] == (
                    str(environment.purelib / floor / "__init__.py") if theirs else missing
                )
            for name in OURS:
                inside = environment.purelib if kind == "wheel" and place == elsewhere else built.checkout
                here = ours or place == built.checkout
                assert found[name] == (
                    str(inside.joinpath(*name.split(".")).with_suffix(".py")) if here else "absent"
                )

    for wheels in (ours, theirs) if first == "ours" else (theirs, ours):
        install(wheels)
    check(ours=True, theirs=True)
    environment.pip("uninstall", "--yes", *FLOORS, cwd=cwd)
    check(ours=True, theirs=False)
    install(theirs)
    environment.pip("uninstall", "--yes", "remask", cwd=cwd)
    check(ours=False, theirs=True)


@pytest.mark.slow
@pytest.mark.names
def test_transformers_sees_the_real_kernels_or_none(built: Built, tmp_path: Path) -> None:
    """transformers asks for Hugging Face's ``kernels``; standing in our checkout must not answer in its place."""
    transformers = pytest.importorskip("transformers", reason="names: transformers is not installed")
    environment = Environment(tmp_path / "venv")
    # transformers and what it needs come from this interpreter, after the environment's own packages.
    (environment.purelib / "outer.pth").write_text(
        str(Path(transformers.__file__).parent.parent), encoding="utf-8"
    )
    question = "import json, transformers.utils as u; print(json.dumps(u.is_kernels_available()))"

    if environment.probe("kernels", cwd=tmp_path)["kernels"] != "absent":
        pytest.skip(
            "names: this interpreter has Hugging Face's kernels already, so its absence cannot be tried"
        )
    assert run(environment.python, "-c", question, cwd=built.checkout).strip() == "false"

    outcome = subprocess.run(
        [sys.executable, "-m", "pip", "--python", environment.python, "install", "--no-deps", "kernels"],
        capture_output=True,
        text=True,
        check=False,
    )
    if outcome.returncode:
        pytest.skip(f"names: no package index in reach ({outcome.stderr.strip().splitlines()[-1]})")
    assert environment.probe("kernels", cwd=built.checkout)["kernels"].startswith(str(environment.purelib))
    here, elsewhere = (
        run(environment.python, "-c", question, cwd=place) for place in (built.checkout, tmp_path)
    )
    assert here == elsewhere  # true or false is a matter of versions, never of where one stands
