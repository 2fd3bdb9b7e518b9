"""``python -m solver replay``: draw the steps of a trace again, without a model.

>>> parse_record('{"type": "outcome", "number": 0}')["type"]
'outcome'
"""

import argparse
import json
import sys
from pathlib import Path

from solver.cli.main import UsageError
from solver.cli.options import integer
from solver.cli.watch import DELAY, Record, Viewer, describe_costs

# Raised for lines that are JSON but no records, or none at all.
BAD_RECORD = (LookupError, TypeError, ValueError, AttributeError, RecursionError, StopIteration)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", metavar="TRACE", help="a file that --trace wrote")
    parser.add_argument(
        "--problem", "--puzzle", type=integer(1), metavar="N", help="only the N-th problem (all)"
    )
    parser.add_argument(
        "--delay", type=float, default=DELAY, metavar="S", help=f"seconds per board in a terminal ({DELAY})"
    )


def run(arguments: argparse.Namespace) -> int:
    name, number, num_shown = arguments.trace, 0, 0
    if not 0 <= arguments.delay < 3600:
        raise UsageError(f"--delay must be between 0 and 3600, not {arguments.delay}")
    viewer = Viewer(sys.stdout, delay=arguments.delay)
    try:
        with Path(name).open(encoding="utf-8") as file:
            for line in file:
                number += 1
                record = parse_record(line)
                if arguments.problem not in (None, record["number"] + 1):
                    continue
                viewer.show(record)
                if record["type"] == "outcome":
                    costs = describe_costs(record)
                    print(f"problem {record['number'] + 1}: {record['status']}, {costs}", flush=True)
                num_shown += record["type"] != "problem"
    except OSError as error:
        if error.filename is None:  # stdout, not the trace
            raise
        raise UsageError(f"{name}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError(f"{name}: is not a trace (not text)") from None
    except BAD_RECORD as error:
        raise UsageError(f"{name}:{number}: is not a line of a trace") from error
    finally:
        viewer.close()
    if not num_shown:
        of_problem = "" if arguments.problem is None else " for this problem"
        raise UsageError(f"{name}: has nothing to show{of_problem}")
    return 0


def parse_record(line: str) -> Record:
    """Return a line of a trace. Raises ValueError, LookupError or TypeError if it is none."""
    record: Record = json.loads(line)
    if record["type"] not in ("problem", "step", "outcome") or not isinstance(record["number"], int):
        raise ValueError("not a record")
    return record
