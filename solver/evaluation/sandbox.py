"""Run a program in a sandbox: no writes outside its folder, no processes, no network, bounded resources.

    python -m solver.evaluation.sandbox program.py     # prints how it ended, its output, and the layers

Only the evaluator uses it; nothing here runs in the loop. A program is Python text with the standard library
and stdin. It runs in a process and session of its own (``jail.py``), which applies the layers before it looks
at the program. The layers, outermost first:

==========  =================================================================================================
namespaces  a root of its own: Python's folders read-only, /dev/null, and a folder in memory of ``DISK``
            bytes and 256 files, gone with the process; no network device; no process visible but
            itself, none to be killed or traced
rlimits     address space (``memory``), processor time, size of a file, 64 open files, no core dumps
privileges  root becomes nobody; no capability; none to be gained by what it might start
landlock    the kernel refuses every change outside the folder, reading outside Python's folders, and TCP
seccomp     a list of allowed system calls; fork, exec, sockets, ptrace, signals to others end the program;
            threads work
audit       the interpreter refuses the same in its own words: a PermissionError, which a program may catch
==========  =================================================================================================

What stops what (besides ``audit``, which anybody with ctypes gets around, and which is no boundary):

* writing outside: namespaces; landlock; as root also privileges (nobody's files are few)
* fork, exec: seccomp; without it a limit of no processes, which also forbids threads
* network: namespaces; seccomp
* killing and tracing the parent: namespaces; seccomp and landlock; as root also privileges
* time: ``run_program`` itself kills the group; ``rlimits`` as well. Sleeping counts. Memory: rlimits
* disk, files left behind: namespaces; without them ``run_program`` looks every 50 ms, ends a program that
  has more than ``DISK`` bytes or 256 files there, and removes the folder (64 open files without a name
  escape it)
* output: ``run_program`` ends a program that prints more than ``OUTPUT`` bytes

``layers()`` finds out once which of them this machine grants; those it refuses are left out, and those that
it granted once are required from then on. Off Linux there are audit and at best rlimits, so that only
accidents are stopped; Windows has none.

Not claimed: safety from flaws of the kernel; that a program can't tell where it is or how busy the machine
is; that reading is limited without both namespaces and landlock; that "passed" is proof against a program
that searches the interpreter for the means to say so. Modes, owners and times of files can't be changed, and
asyncio, which needs sockets, does not work.
"""

import contextlib
import functools
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LAYERS = ("namespaces", "rlimits", "privileges", "landlock", "seccomp", "audit")
DISK = 16 << 20  # bytes in its folder, and in a file of it
FILES = 256
OUTPUT = 4 << 20  # bytes on stdout, and as many on stderr
TAIL = 4096  # bytes of stderr that are kept
TICK = 0.05  # seconds between two looks at the folder
START = 60.0  # seconds that the interpreter may take to get ready: the limit counts from there
GRACE = 5.0  # seconds that an end may take
JAIL = Path(__file__).with_name("jail.py")


class SandboxError(RuntimeError):
    """The sandbox could not be set up; nothing was run."""


class RefusedError(SandboxError):
    """This machine does not grant a layer."""

    def __init__(self, layer: str, why: str) -> None:
        super().__init__(f"{layer}: {why}")
        self.layer = layer


@dataclass(frozen=True)
class Ran:
    """How a program ended.

    Args:
        status: "passed" (ran to its end), "exited" (stopped itself with exit code 0), "failed" (raised, or
        another
            exit code), "timeout", "memory" (MemoryError), "forbidden", "output", "disk", or "crashed" (a
            signal, such as a segmentation fault).
        stdout: up to OUTPUT bytes, as UTF-8 with replacements.
        stderr_tail: the end of stderr.
        seconds: from the program's start.
    """

    status: str
    stdout: str
    stderr_tail: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.status == "passed"


def run_program(
    code: str,
    stdin: str = "",
    seconds: float = 5.0,
    memory: int = 512 << 20,
    within: tuple[str, ...] | None = None,
) -> Ran:
    """Run Python text as ``__main__``.

    Args:
        code: the program.
        stdin: its input, a regular file.
        seconds: limit of wall-clock time.
        memory: bytes of address space, of which Python takes 30 million.
        within: the layers; ``layers()`` if None.

    Raises:
        SandboxError: a layer is refused, or Python does not start.
        ValueError: a limit is not positive, or a layer is unknown.
    """
    if seconds <= 0 or memory <= 0:
        raise ValueError(f"seconds and memory are positive, not {seconds} and {memory}")
    chosen = layers() if within is None else within
    if not set(chosen) <= set(LAYERS):
        raise ValueError(f"no such layers: {sorted(set(chosen) - set(LAYERS))}")
    wish = {
        "code": code,
        "seconds": seconds,
        "memory": memory,
        "disk": DISK,
        "files": FILES,
        "layers": chosen,
    }
    with _folder() as folder, tempfile.TemporaryFile() as request, tempfile.TemporaryFile() as input_file:
        request.write(json.dumps({**wish, "folder": folder}).encode())
        input_file.write(stdin.encode(errors="surrogatepass"))
        for file in (request, input_file):
            file.seek(0)
        report, far = os.pipe()
        with os.fdopen(report, "rb", buffering=0) as near:
            try:
                process = _start(folder, input_file, far, request.fileno())
            finally:
                os.close(far)
            with process:
                try:
                    return _Watch(process, near, seconds, None if "namespaces" in chosen else folder).ran()
                finally:
                    _kill(process, "namespaces" in chosen)


@functools.cache
def layers() -> tuple[str, ...]:
    """Return the layers that this machine grants, outermost first, by trial runs."""
    wanted: tuple[str, ...] = LAYERS
    while True:
        try:
            run_program("", within=wanted)
        except RefusedError as error:
            wanted = tuple(layer for layer in wanted if layer != error.layer)
        else:
            return wanted


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    temporary = tempfile.TemporaryDirectory(prefix="remask-sandbox-")
    try:
        yield os.path.realpath(temporary.name)
    finally:
        try:
            temporary.cleanup()
        except RecursionError:  # folders in folders, deeper than Python's own way goes
            subprocess.run(["rm", "-rf", "--", temporary.name], check=True)


def _start(folder: str, stdin: IO[bytes], report: int, wish: int) -> subprocess.Popen[bytes]:
    """Start jail.py. -s -S -B -P isolate like -I, but leave hash seed and encoding to us."""
    kept = {
        name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ
    }  # to find libpython
    return subprocess.Popen(
        [sys.executable, "-s", "-S", "-B", "-P", str(JAIL), str(report), str(wish)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(report, wish),
        env={**kept, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},
        cwd=folder,
        start_new_session=True,
    )


def _kill(process: subprocess.Popen[bytes], waiter: bool) -> None:
    """End the process and its group. ``waiter``: it only waits for process 1 of a namespace, and kills it."""
    if process.poll() is None and waiter:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has just ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Watch:
    """Reads a program's output and ends it when it exceeds a limit."""

    def __init__(
        self, process: subprocess.Popen[bytes], report: IO[bytes], seconds: float, folder: str | None
    ) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process, self.seconds, self.folder = process, seconds, folder
        self.stdout, self.stderr, self.report = bytearray(), bytearray(), bytearray()
        self.started: float | None = None
        self.poll = selectors.DefaultSelector()
        for file, into in (
            (process.stdout, self.stdout),
            (process.stderr, self.stderr),
            (report, self.report),
        ):
            self.poll.register(file, selectors.EVENT_READ, into)

    def ran(self) -> Ran:
        begun = time.monotonic()
        with self.poll:
            verdict = self._limits(begun)
            spent = time.monotonic() - (self.started or begun)
            _kill(self.process, self.folder is None)
            self._rest()
        return Ran(
            verdict or self._ended(),
            self.stdout[:OUTPUT].decode(errors="replace"),
            self.stderr[-TAIL:].decode(errors="replace"),
            spent,
        )

    def _limits(self, begun: float) -> str | None:
        """Watch the program until it ends; return the limit that it exceeds, or None."""
        while True:
            clock = time.monotonic()
            left = begun + START - clock if self.started is None else self.started + self.seconds - clock
            if left <= 0:
                if self.started is None:
                    error = self.stderr[-TAIL:].decode(errors="replace")
                    raise SandboxError(f"Python did not start in {START:.0f} s: {error}")
                return "timeout"
            if self.folder is not None and self.started is not None and _full(self.folder):
                return "disk"
            if not self.poll.get_map():  # it closed all it had, or ended
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(min(left, TICK))
                    return None
            elif self._read(min(left, TICK if self.folder else left)):
                return "output"

    def _read(self, wait: float) -> bool:
        """Read at most 64 KiB of each pipe; return whether the output exceeds its limit."""
        for key, _ in self.poll.select(wait):
            piece = os.read(key.fd, 1 << 16)
            if not piece:
                self.poll.unregister(key.fileobj)
            key.data.extend(piece)
            if key.data is self.report and self.started is None and b"\n" in self.report:
                first = self.report.split(b"\n")[0].decode(errors="replace").split(" ", 2)
                if first[0] == "refused":
                    raise RefusedError(first[1], first[2])
                self.started = time.monotonic()
        return max(len(self.stdout), len(self.stderr), len(self.report)) > OUTPUT

    def _rest(self) -> None:
        """Read until the pipes close, which they do when the last process in the jail has ended."""
        patience = time.monotonic() + GRACE
        while self.poll.get_map():
            if time.monotonic() > patience:
                raise SandboxError("a process in the sandbox outlived its end")
            self._read(TICK)

    def _ended(self) -> str:
        if self.started is None:
            raise SandboxError(f"Python did not start: {self.stderr[-TAIL:].decode(errors='replace')}")
        word = self.report.decode(errors="replace").split("\n")[-2]
        number = self.process.returncode
        number = number - 128 if number > 128 else -number  # the jail passes a signal on as shells do
        if number == signal.SIGSYS:
            return "forbidden"
        if word in ("failed", "memory", "forbidden"):
            return word
        if number > 0:
            return "timeout" if number == signal.SIGXCPU else "crashed"
        return "failed" if number else word if word == "passed" else "exited"


def _full(folder: str) -> bool:
    """Whether a folder holds too many bytes or files, or cannot be read. Vanished files do not count."""
    size = count = 0
    hidden: list[OSError] = []
    for _, folders, files, handle in os.fwalk(folder, onerror=hidden.append):
        count += len(folders) + len(files)
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                size += os.lstat(name, dir_fd=handle).st_size
        if size > DISK or count > FILES:
            return True
    return any(not isinstance(error, FileNotFoundError) for error in hidden)


if __name__ == "__main__":
    ended = run_program(Path(sys.argv[1]).read_text(), "" if sys.stdin.isatty() else sys.stdin.read())
    print(f"{ended.status} in {ended.seconds:.2f} s within {', '.join(layers())}")
    print(f"{ended.stdout}{ended.stderr_tail}", end="")
