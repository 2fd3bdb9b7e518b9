"""``python -m solver evaluate TASK``: measure arms, write their rows, and draw tables and plots from them."""

import argparse
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solver.cli import evaluate_code, evaluate_json, evaluate_sudoku
from solver.cli.main import UsageError
from solver.cli.options import integer, limit_threads, make_folder, split_names

TASKS = {"sudoku": evaluate_sudoku, "json": evaluate_json, "code": evaluate_code}
PLANS = {
    "sudoku": evaluate_sudoku.plan_sudoku,
    "json": evaluate_json.plan_json,
    "code": evaluate_code.plan_code,
}
EPILOG = (
    "sections:\n{sections}\n\nexample: python -m solver evaluate {task} --data DIR --out results --resume"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for name, task in TASKS.items():
        described = [f"  {section:<12} {text}" for section, text in task.SECTIONS.items()]
        options = tasks.add_parser(
            name,
            help=f"sections {', '.join(task.SECTIONS)}",
            description=f"Measure the {name} arms. Rows go to DIR/{task.RESULTS}, tables to DIR/report.md.",
            epilog=EPILOG.format(sections="\n".join(described), task=name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        options.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
        options.add_argument("--sections", default=task.DEFAULT, metavar="A,B", help=f"({task.DEFAULT})")
        options.add_argument("--resume", action="store_true", help="skip what the same weights have done")
        options.add_argument("--quick", action="store_true", help="fewer problems")
        options.add_argument("--data", metavar="DIR", help="folder of development data (REMASK_DATA)")
        options.add_argument("--limit", type=integer(1), metavar="N", help=task.LIMIT)
        options.add_argument(
            "--checkpoint",
            action="append",
            default=[],
            metavar="MODEL=DIR",
            help=f"another checkpoint of a model: {', '.join(task.MODELS)}",
        )
        task.add_arguments(options)


def run(arguments: argparse.Namespace) -> int:
    task = TASKS[arguments.task]
    sections = split_names("section", arguments.sections, ",", task.SECTIONS)
    refuse_unused(vars(arguments), sections, task.OPTIONS)
    arguments.checkpoint = parse_checkpoints(arguments.checkpoint, task.MODELS)
    if arguments.out.exists() and not arguments.out.is_dir():
        raise UsageError(f"{arguments.out} is a file, not a folder")

    import torch

    from solver.errors import CheckpointError
    from solver.evaluation.harness import run_jobs
    from solver.evaluation.rows import ResultsFile
    from solver.evaluation.tables import read_results, report_text
    from solver.files import replace_text

    limit_threads()
    try:
        results = ResultsFile(arguments.out / task.RESULTS, environment(torch.get_num_threads()))
    except ValueError as error:
        raise UsageError(str(error)) from error
    make_folder(arguments.out)
    try:
        jobs = PLANS[arguments.task](arguments, sections, results)
        run_jobs(jobs, results, arguments.resume, print_row)
    except CheckpointError as error:
        raise UsageError(str(error)) from error
    rows = read_results(arguments.out)
    replace_text(arguments.out / "report.md", report_text(rows))
    names = [task.RESULTS, "report.md"]
    try:
        from solver.evaluation.plots import draw_plots

        names += draw_plots(rows, arguments.out)
    except ImportError:
        print("no plots: they need matplotlib (pip install 'remask[notebooks]')", file=sys.stderr)
    print(f"{arguments.out}: {', '.join(names)}")
    return 0


def refuse_unused(values: Mapping[str, Any], sections: Sequence[str], used: Mapping[str, str]) -> None:
    """Raise UsageError for an option that is given but used by none of the sections.

    Args:
        values: of all options; None: not given.
        sections: to be measured.
        used: the sections that use an option, by option; options that are missing here concern all sections.
    """
    for option, names in used.items():
        if values[option] not in (None, []) and not set(sections) & set(names.split()):
            raise UsageError(f"--{option} concerns only the sections {names.replace(' ', ', ')}")


def parse_checkpoints(options: Sequence[str], models: Sequence[str]) -> dict[str, Path]:
    """Return the folders of ``MODEL=DIR`` by model. Raises UsageError."""
    folders = {}
    for option in options:
        model, _, folder = option.partition("=")
        if model not in models or not folder:
            raise UsageError(f"--checkpoint {option}: not MODEL=DIR with a model among {', '.join(models)}")
        folders[model] = Path(folder)
    return folders


def print_row(row: Any) -> None:
    figures = {name: value for name, value in row.plain().items() if not isinstance(value, dict | list)}
    print("  ".join(f"{name} {value}" for name, value in figures.items()), file=sys.stderr, flush=True)


def environment(threads: int) -> dict[str, Any]:
    import torch

    from solver import __version__
    from solver.kernels import looped_c

    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "remask": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpu": names[0] if names else cpu,
        "cores": os.cpu_count(),
        "threads": threads,
        "compiled": looped_c.available(),
    }
