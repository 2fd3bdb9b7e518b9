"""Engines for the regular expressions of ECMA 262, each in a process of its own.

An engine may take any time and memory for a pattern: `regress` never ends where a group that can be empty is
repeated after a lazy alternative. A process that exceeds the limits is ended, and another one is started.

As a program it answers one line of JSON for each line: a pattern and its subjects.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from threading import Timer
from typing import Any

Search = Callable[[str], bool]

SECONDS = 5.0  # for a pattern with all its subjects
MEMORY = 2 << 30  # bytes of data
MODULES = {"regress": "regress", "v8": "py_mini_racer"}


class NoAnswerError(Exception):
    """The engine exceeded the limits of time or memory, or crashed."""


class Engine:
    """An engine that runs elsewhere. It is started when it is needed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process: subprocess.Popen[str] | None = None

    def verdicts(self, pattern: str, subjects: list[str]) -> list[bool] | None:
        """Whether each subject contains a match; None if the engine refuses the pattern.

        Raises:
            NoAnswerError: if it does not answer within the limits.
        """
        if self.process is None:
            command = [sys.executable, __file__, self.name]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            assert self.process.stdout is not None
            self.process.stdout.readline()  # it is ready
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        timer = Timer(SECONDS, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps([pattern, subjects]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if not answer:
            self.close()
            raise NoAnswerError(self.name)
        found: list[bool] | None = json.loads(answer)
        return found

    def close(self) -> None:
        """End the process, if there is one."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def installed_engines() -> list[Engine]:
    """The engines whose modules are installed."""
    return [Engine(name) for name, module in MODULES.items() if importlib.util.find_spec(module)]


def with_regress() -> Callable[[str], Search | None]:
    regress: Any = importlib.import_module("regress")

    def compiled(pattern: str) -> Search | None:
        try:
            expression = regress.Regex(pattern, "u")
        except regress.RegressError:
            return None
        return lambda subject: expression.find(subject) is not None

    return compiled


def with_v8() -> Callable[[str], Search | None]:
    context: Any = importlib.import_module("py_mini_racer").MiniRacer()

    def compiled(pattern: str) -> Search | None:
        made = f"new RegExp({json.dumps(pattern)}, 'u')"
        if not context.eval(f"(() => {{ try {{ {made}; return true }} catch (e) {{ return false }} }})()"):
            return None
        return lambda subject: bool(context.eval(f"{made}.test({json.dumps(subject)})"))

    return compiled


def serve(name: str) -> None:
    """Answer the lines of the standard input."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))  # V8 reserves more addresses than this
    compile_pattern = with_regress() if name == "regress" else with_v8()
    print("ready", flush=True)
    for line in sys.stdin:
        pattern, subjects = json.loads(line)
        search = compile_pattern(pattern)
        print(json.dumps(None if search is None else [search(one) for one in subjects]), flush=True)
    os._exit(0)  # V8 may hang when it is closed


if __name__ == "__main__":
    serve(sys.argv[1])
