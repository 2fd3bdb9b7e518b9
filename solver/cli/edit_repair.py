"""``python -m solver edit repair``: repair a Python file that does not compile, and print a diff.

>>> parser = argparse.ArgumentParser()
>>> add_arguments(parser)
>>> parser.parse_args(["broken.py", "--n", "3"]).n
3
"""

import argparse

from solver.cli import options, watch
from solver.cli.main import UsageError
from solver.cli.source import add_source_options, finish, read_python


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_options(
        parser,
        "compiles and keeps all names, numbers, strings and comments; otherwise only print the diff, and exit with 1",
    )
    options.add_budget(parser, "no limit")
    options.add_output(parser, has_steps=False)
    options.add_model(parser, batch=False)


def run(arguments: argparse.Namespace) -> int:
    source = read_python(arguments)
    with watch.spinner("importing torch", not arguments.quiet):
        options.limit_threads(arguments.threads)
        from solver.api import repair
        from solver.loop.trace import Budget
        from solver.tasks.code_edit.localize import compile_message
        from solver.tasks.code_edit.preserved import lost_text, names_left_undefined

    if compile_message(source.text) is None:
        raise UsageError(f"{source.name} compiles already: there is nothing to repair")
    candidate = repair.repair(
        source.text,
        denoiser=arguments.denoiser,
        candidates=arguments.n,
        budget=Budget(arguments.forwards, arguments.seconds),
        seed=arguments.seed,
    )

    def losses(text: str) -> list[str]:
        lost, undefined = lost_text(source.text, text), names_left_undefined(source.text, text)
        return [f"loses {' '.join(lost)}"] * bool(lost) + [f"leaves {' '.join(undefined)} undefined"] * bool(
            undefined
        )

    return finish(arguments, source, candidate, losses)
