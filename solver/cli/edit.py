"""``python -m solver edit fill|repair FILE``: holes of a Python file filled, or a broken one made to compile again.

Exit code 0: there is a candidate that compiles; 1: there is none (the best try is on stderr, the file as it was); 2: bad input.
"""

from __future__ import annotations

import argparse
import difflib
import json
import math
import sys
from typing import TYPE_CHECKING, Any

from solver.cli import board, options
from solver.cli.main import UsageError
from solver.cli.source import read, replace_file, span

if TYPE_CHECKING:
    from solver.api.candidate import Candidate
    from solver.loop.trace import Step
    from solver.tasks.code_edit.task import Edit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=("fill", "repair"), help="fill holes, or mend what does not compile"
    )
    parser.add_argument("source", metavar="FILE", help="a Python file; - for stdin")
    parser.add_argument(
        "--hole",
        action="append",
        default=[],
        metavar="L:C-L:C",
        help="fill: from line and column to line and column, both counted from 1, the last one not included; may be given again",
    )
    parser.add_argument(
        "--n", type=options.whole(1), default=1, metavar="N", help="candidates to show, the best first (1)"
    )
    parser.add_argument(
        "--write", action="store_true", help="put the best candidate into FILE, if it compiles"
    )
    options.add_shared(parser, forwards="64 for one hole, 80 for several; a repair's own number")


def run(arguments: argparse.Namespace) -> int:
    if arguments.model is not None:
        raise UsageError("--model goes with solver.generate so far, not with edit")
    if (arguments.action == "fill") != bool(arguments.hole):
        raise UsageError("fill needs a --hole" if arguments.action == "fill" else "repair takes no --hole")
    if arguments.write and arguments.source == "-":
        raise UsageError("--write needs a file")
    if arguments.action == "repair" and (arguments.watch or arguments.trace is not None):
        raise UsageError("--watch and --trace go with fill: a repair has no steps")
    source = read(arguments.source)
    text = source.text
    holes = [span(text, hole) for hole in arguments.hole]

    from solver.api import edit as edits
    from solver.api import repair as repairs
    from solver.loop.trace import Budget, dump
    from solver.tasks.code_edit.diagnostics import compiles
    from solver.tasks.code_edit.window import WindowError

    options.limit_threads()
    usual = (
        edits.default_budget(len(holes)).forwards if holes else None
    )  # a repair asks as often as it has places to ask about
    budget = Budget(arguments.forwards or usual, arguments.seconds)
    if arguments.action == "repair" and compiles(text) is None:
        raise UsageError(f"{arguments.source} compiles already: there is nothing to repair")
    colour = board.wants_colour(sys.stdout)
    with options.open_trace(arguments.trace) as trace:

        def step(number: int, edit: Edit, event: Step) -> None:
            if arguments.watch:
                print(drawn(edit, event, colour), flush=True)
            if trace is not None:
                trace.write(
                    dump({"type": "step", "task": "code", "number": number, **event.to_json()}) + "\n"
                )

        try:
            if arguments.action == "fill":
                best = edits.edit(
                    text,
                    holes,
                    denoiser=arguments.denoiser,
                    candidates=arguments.n,
                    budget=budget,
                    seed=arguments.seed,
                    watch=step,
                )
            else:
                best = repairs.repair(
                    text,
                    denoiser=arguments.denoiser,
                    candidates=arguments.n,
                    budget=budget,
                    seed=arguments.seed,
                )
        except WindowError as error:
            raise UsageError(f"{arguments.source}: {error}") from None
        except ValueError as error:  # CheckpointError
            raise UsageError(str(error)) from error
    good = [one for one in (best, *best.alternatives) if one.status == "solved"]
    report(arguments, text, good or [best], colour)
    if good and arguments.write:
        replace_file(source, good[0].text)
        print(f"{arguments.source}: written", file=sys.stderr)
    return 0 if good else 1


def report(arguments: argparse.Namespace, before: str, found: list[Candidate], colour: bool) -> None:
    """The candidates: an object with --json, else a diff each on stdout; one that does not compile on stderr, and called so."""
    if arguments.json:
        print(
            json.dumps(
                {
                    "status": "compiles" if found[0].status == "solved" else "invalid",
                    "candidates": [as_json(one) for one in found],
                }
            )
        )
        return
    for number, one in enumerate(found, 1):
        error, names = problems_of(one)
        out = sys.stdout if error is None else sys.stderr
        said = "compiles" if error is None else f"invalid: {error}"
        unknown = f"; {'; '.join(names)}" if names else ""
        c = one.counters
        print(
            f"{number}. {said}{unknown}   score {one.score:.2f}, {c.forwards} forwards, {c.seconds:.2f} s",
            file=out,
        )
        print(diff(before, one.text, arguments.source, colour), file=out)


def problems_of(candidate: Candidate) -> tuple[str | None, list[str]]:
    """The compiler's error, or None, and the messages of the other violations."""
    error = next((item.message for item in candidate.violations if item.rule == "syntax"), None)
    return error, [item.message for item in candidate.violations if item.rule != "syntax"]


def as_json(one: Candidate) -> dict[str, Any]:
    error, names = problems_of(one)
    return {
        "fills": list(one.fills),
        "text": one.text,
        "error": error,
        "unknown": names,
        "score": round(one.score, 4) if math.isfinite(one.score) else None,
        **one.counters.summary(),
    }


def diff(before: str, after: str, name: str, colour: bool) -> str:
    """A unified diff, red and green where colour is wanted."""
    lines = (
        line.rstrip("\r")
        for line in difflib.unified_diff(by_line(before), by_line(after), name, name, lineterm="")
    )
    if not colour:
        return "\n".join(lines)
    codes = {"+": "32", "-": "31", "@": "36"}
    return "\n".join(f"\x1b[{codes[line[0]]}m{line}\x1b[0m" if line[:1] in codes else line for line in lines)


def by_line(text: str) -> list[str]:
    """Lines as Python counts them; one without an end says so, as in any diff."""
    *lines, last = text.split("\n")
    return [*lines, f"{last}\n\\ No newline at end of file"] if last else lines


def drawn(edit: Edit, event: Step, colour: bool) -> str:
    """A draft's holes: accepted tokens green, re-masked ones red."""
    from solver.tasks.code_edit.vocabulary import Vocabulary

    v, parts = Vocabulary.load(), []
    for start, capacity in edit.page.slots:
        shown = []
        for cell in range(start, start + capacity):
            token = int(event.draft[cell])
            if token == v.blank:
                continue
            code = "31;7" if event.remasked[cell] else "32" if event.visible[cell] else "0"
            shown.append(f"\x1b[{code}m{v.text_of(token)}\x1b[0m" if colour else v.text_of(token))
        parts.append("".join(shown))
    why = f"   {event.violations[0].message}" if event.violations else ""
    return f"{event.number:>4}  {'  |  '.join(parts)}{why}"
