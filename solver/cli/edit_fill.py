"""``python -m solver edit fill``: fill holes in a Python file, and print a diff.

>>> parser = argparse.ArgumentParser()
>>> add_arguments(parser)
>>> parser.parse_args(["mean.py", "--hole", "5:12-5:17"]).hole
['5:12-5:17']
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from solver.cli import options, output, watch
from solver.cli.source import add_source_options, finish, read_python, to_span

if TYPE_CHECKING:
    from solver.loop.trace import Step
    from solver.tasks.code_edit.task import EditProblem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_options(parser, "compiles")
    parser.add_argument(
        "--hole",
        action="append",
        required=True,
        metavar="L:C-L:C",
        help="from line and column to line and column (exclusive), counted from 1; may be repeated",
    )
    options.add_budget(parser, "64 for one hole, 80 for several")
    options.add_output(parser)
    options.add_model(parser, batch=False)


def run(arguments: argparse.Namespace) -> int:
    source = read_python(arguments)
    holes = [to_span(source.text, hole) for hole in arguments.hole]
    with watch.spinner("importing torch", not arguments.quiet):
        options.limit_threads(arguments.threads)
        from solver.api import edit
        from solver.tasks.code_edit.vocabulary import Vocabulary

    blank = Vocabulary.load().blank
    viewer = watch.Viewer(sys.stderr if arguments.json else sys.stdout) if arguments.watch else None
    opened = set[int]()
    with output.Recorder(arguments.trace, viewer) as recorder:

        def record_step(number: int, problem: EditProblem, step: Step) -> None:
            if number not in opened:
                opened.add(number)
                slots = [list(slot) for slot in problem.window.slots]
                names = {"denoiser": arguments.denoiser, "seed": arguments.seed}
                recorder.write("problem", number, {"task": "code", "slots": slots, "blank": blank, **names})
            recorder.write("step", number, step.to_json())

        default = edit.default_budget(len(holes), arguments.seconds)
        candidate = edit.edit(
            source.text,
            holes,
            denoiser=arguments.denoiser,
            candidates=arguments.n,
            budget=replace(default, forwards=arguments.forwards or default.forwards),
            seed=arguments.seed,
            watch=record_step if recorder.is_active else None,
        )
        record = {"status": candidate.status, "fills": list(candidate.fills), **candidate.counters.summary()}
        recorder.write("outcome", max(opened, default=0), record)
    return finish(arguments, source, candidate)
