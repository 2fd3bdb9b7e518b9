"""The sandbox stops what a benchmark's program may not do, by each layer that should; and the benchmarks grade by it."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from solver.evaluation import code_benchmarks, jail, sandbox
from solver.evaluation.code_benchmarks import CodeTest, OutputTest, Program, run_tests
from solver.evaluation.sandbox import LAYERS, Ran, RefusedError, SandboxError, run_program

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "code"
SYSCALLS = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
# Each prints DONE if it gets through. {outside}: a file that exists; {victim}: a process that lives.
WRITES = {
    "new file": "open('{outside}.new', 'w').write('x'); print('DONE')",
    "overwrite": "open('{outside}', 'w').write('x'); print('DONE')",
    "remove": "import os; os.remove('{outside}'); print('DONE')",
    "rename": "import os; os.rename('{outside}', 'here'); print('DONE')",
    "hard link": "import os; os.link('{outside}', 'there'); open('there', 'w').write('x'); print('DONE')",
    "symlink": "import os; os.symlink('{outside}', 'here'); open('here', 'w').write('x'); print('DONE')",
    "folder": "import os; os.mkdir('{outside}.d'); print('DONE')",
    "device": "open('/dev/full', 'w'); print('DONE')",
    "libc": SYSCALLS + "if libc.open(b'{outside}', os.O_WRONLY | os.O_TRUNC) >= 0: print('DONE')",
    "libc remove": SYSCALLS + "if libc.unlink(b'{outside}') == 0: print('DONE')",
}
MODE = {"libc mode": SYSCALLS + "if libc.chmod(b'{outside}', 0o600) == 0: print('DONE')"}
STARTS = {
    "fork": "import os\nif os.fork(): print('DONE')",
    "subprocess": "import subprocess; subprocess.run(['/bin/true']); print('DONE')",
    "exec": "import os; os.execv('/bin/echo', ['echo', 'DONE'])",
    "spawn": "import os; os.posix_spawn('/bin/true', ['true'], dict()); print('DONE')",
    "system": "import os; os.system('true'); print('DONE')",
    "multiprocessing": "import multiprocessing as m; m.get_context('fork').Process(target=print, args=('DONE',)).start()",
}
BENEATH = {
    "fork": SYSCALLS + "if libc.fork() >= 0: print('DONE')",
    "clone": SYSCALLS
    + "if libc.syscall(56 if os.uname().machine == 'x86_64' else 220, 17, 0, 0, 0, 0) >= 0: print('DONE')",
    "system": SYSCALLS + "if libc.system(b'true') == 0: print('DONE')",
    "exec": SYSCALLS + "libc.execl(b'/bin/echo', b'echo', b'DONE', None)",
    "session": SYSCALLS + "if libc.setsid() >= 0: print('DONE')",
    "unshare": SYSCALLS + "if libc.unshare(0x10000000) >= 0: print('DONE')",
}
NETWORK = {
    "socket": "import socket; socket.create_connection(('127.0.0.1', {port}), 1); print('DONE')",
    "libc socket": SYSCALLS
    + "address = b'\\2\\0' + ({port}).to_bytes(2, 'big') + bytes([127, 0, 0, 1]) + bytes(8)\n"
    "if libc.connect(libc.socket(2, 1, 0), address, 16) == 0: print('DONE')",
}
KILLS = {
    "kill": "import os; os.kill({victim}, 9); print('DONE')",
    "libc kill": SYSCALLS + "if libc.kill({victim}, 9) == 0: print('DONE')",
    "trace": SYSCALLS + "if libc.ptrace(16, {victim}, None, None) == 0: print('DONE')",  # PTRACE_ATTACH
    "memory": "open('/proc/{victim}/mem', 'r+b'); print('DONE')",
}
BY_A_PIPE = """import fcntl, os, time; r, w = os.pipe()
fcntl.fcntl(r, fcntl.F_SETOWN, {victim}); fcntl.fcntl(r, 10, 9); fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)  # 10: F_SETSIG
os.write(w, b'x'); time.sleep(0.2); print('DONE')"""
WITHOUT_AUDIT = tuple(each for each in LAYERS if each != "audit")


def granted(*wanted: str) -> tuple[str, ...]:
    """The layers, in their order. Skips the test where this machine refuses one."""
    if missing := sorted(set(wanted) - set(sandbox.layers())):
        pytest.skip(f"this machine refuses {', '.join(missing)}")
    return tuple(each for each in LAYERS if each in wanted)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test leaves a folder, nor a process in a sandbox's session."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    started: list[int] = []
    start = sandbox._start

    def noted(folder: str, stdin: IO[bytes], report: int, wish: int) -> subprocess.Popen[bytes]:
        process = start(folder, stdin, report, wish)
        started.append(process.pid)
        return process

    monkeypatch.setattr(sandbox, "_start", noted)
    yield
    assert list((tmp_path / "temporary").iterdir()) == []
    if Path("/proc/self/stat").exists():
        assert not {session for _, session in processes()} & set(started)


def processes() -> Iterator[tuple[int, int]]:
    """(process, session) of all there are."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            yield int(entry.name), int(fields[3])


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that anybody might write."""
    path = tmp_path / "outside" / "precious"
    path.parent.mkdir()
    path.write_text("as it was")
    path.chmod(0o666)
    path.parent.chmod(0o777)
    return path


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def attempts(table: dict[str, str], **names: object) -> str:
    """One program that tries them all, for layers that refuse and go on. Prints "tried" after the last."""
    tries = [
        f"print({name!r})\ntry: exec({code.format(**names)!r}, {{}})\nexcept OSError: pass"
        for name, code in table.items()
    ]
    return "\n".join([*tries, "print('tried')"])


def is_stopped(ran: Ran) -> None:
    assert "DONE" not in ran.stdout
    assert ran.stdout.endswith("tried\n"), ran


# What a program may do


def test_a_good_program_passes() -> None:
    ran = run_program("assert __name__ == '__main__'\nprint(1 + 1)")
    assert (ran.status, ran.stdout, ran.stderr_tail, ran.ok) == ("passed", "2\n", "", True)
    assert ran.seconds > 0


def test_it_reads_stdin_as_a_file() -> None:
    ran = run_program(
        "import os, sys\nsize = os.fstat(0).st_size\nprint(input(), size, sys.stdin.read())", stdin="ä\nb\nc"
    )
    assert (ran.status, ran.stdout) == ("passed", "ä 6 b\nc\n")


def test_it_may_use_its_own_folder_threads_and_idioms_of_contests() -> None:
    code = """
import atexit, io, os, sys, tempfile, threading, dataclasses, random, decimal, hashlib
os.mkdir("a"); open("a/b", "w").write("x"); os.rename("a/b", "c"); os.symlink("c", "d"); assert open("d").read() == "x"
os.remove("c"); os.rmdir("a"); open(os.devnull, "w").write("x")
with tempfile.TemporaryDirectory() as folder: open(folder + "/e", "w").write("x")
@dataclasses.dataclass
class Point:
    x: "int"
sys.setrecursionlimit(100_000); threading.stack_size(1 << 26)
def depth(n): return n and 1 + depth(n - 1)
said, sys.stdout = sys.stdout, io.StringIO()
atexit.register(lambda: os.write(1, sys.stdout.getvalue().encode()))
threading.Thread(target=lambda: print(depth(20_000), Point(3))).start()
"""
    ran = run_program(code)
    assert (ran.status, ran.stdout) == ("passed", "20000 Point(x=3)\n"), ran


def test_several_at_once_do_not_meet() -> None:
    with ThreadPoolExecutor(4) as pool:
        rans = list(
            pool.map(
                lambda n: run_program("open('a', 'x').write(input()); print(open('a').read())", str(n)),
                range(8),
            )
        )
    assert [ran.stdout for ran in rans] == [f"{n}\n" for n in range(8)]


def test_runs_repeat_themselves() -> None:
    code = "print(list({'a', 'b', 'c', 'd', 'e', 'f'}), hash('x'))"
    assert run_program(code).stdout == run_program(code).stdout


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("assert 1 == 2, 'no'", "failed", "AssertionError: no"),
        ("1 +", "failed", "SyntaxError"),
        ("x = '\0'", "failed", "null bytes"),
        ("x = '\ud800'", "failed", "UnicodeEncodeError"),
        ("raise KeyboardInterrupt", "failed", "KeyboardInterrupt"),
        ("raise SystemExit(3)", "failed", ""),
        ("exit('bye')", "failed", "bye"),
        ("exit()", "exited", ""),
        ("import os; os._exit(0)", "exited", ""),
        ("import os; os.close(1); print('x', flush=True)", "failed", "Bad file descriptor"),
        ("import os; os.close(1)", "passed", ""),
        ("import os; os.closerange(0, 64)", "exited", ""),
        ("import ctypes; ctypes.string_at(0)", "crashed", ""),
        ("import os; os.abort()", "crashed", ""),
        ("bytearray(1 << 30)", "memory", "MemoryError"),
        ("x = []\nwhile True: x.append(bytearray(1 << 20))", "memory", "MemoryError"),
        (
            "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
            "failed",
            "not allowed to raise",
        ),
    ],
)
def test_how_it_ended(code: str, status: str, said: str) -> None:
    ran = run_program(code, seconds=60, memory=128 << 20)
    assert ran.status == status, ran
    assert said in ran.stderr_tail


# What it may not


SLOW = [
    "while True: pass",
    "import time; time.sleep(60)",
    "import os, time; os.closerange(0, 64); time.sleep(60)",
    "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15, 24)]; time.sleep(60)",
    "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()",
    "import atexit, time; atexit.register(time.sleep, 60)",
    "2 ** 10 ** 9",
]


@pytest.mark.parametrize(
    ("code", "outer"), [*((code, True) for code in SLOW), (SLOW[2], False), (SLOW[3], False)]
)
def test_time_is_limited(code: str, outer: bool) -> None:
    within = sandbox.layers() if outer else tuple(each for each in sandbox.layers() if each != "namespaces")
    ran = run_program(code, seconds=0.3, within=within)
    assert ran.status == "timeout"
    assert 0.3 <= ran.seconds < 60  # it did not end by itself, however late a busy machine is


def test_processor_time_is_limited_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "solver.evaluation.sandbox.time.monotonic", lambda: 0.0
    )  # the sandbox's own clock stands
    assert run_program("while True: pass", seconds=0.5, within=("rlimits",)).status == "timeout"


@pytest.mark.parametrize("stream", ["out", "err"])
def test_output_is_limited(stream: str) -> None:
    ran = run_program(f"import sys\nwhile True: print('x' * 100_000, file=sys.std{stream})")
    assert ran.status == "output"
    assert len(ran.stdout) <= sandbox.OUTPUT
    assert len(ran.stderr_tail) <= sandbox.TAIL


FILLS = {
    "one file": "with open('a', 'wb') as file:\n    while True: file.write(bytes(1 << 20))",
    "large files": "for n in range(40): open(f'{n}', 'wb').write(bytes(1 << 20))\nimport time; time.sleep(3)",
    "many files": "for n in range(1000): open(f'{n}', 'wb')\nimport time; time.sleep(3)",
    "deep": "import os\nfor n in range(2000): os.mkdir('a'); os.chdir('a')\nimport time; time.sleep(3)",
}


@pytest.mark.parametrize("how", FILLS)
@pytest.mark.parametrize("outer", [True, False])
def test_the_disk_is_not_filled(how: str, outer: bool) -> None:
    within = granted(*LAYERS) if outer else tuple(each for each in sandbox.layers() if each != "namespaces")
    ran = run_program(FILLS[how], within=within)
    assert ran.status == ("failed" if outer or how == "one file" else "disk"), ran
    assert ran.status == "disk" or "OSError" in ran.stderr_tail


def test_a_folder_that_hides_what_it_holds_counts_as_full() -> None:
    if os.getuid() == 0:
        pytest.skip("nothing is hidden from root")
    within = tuple(each for each in sandbox.layers() if each != "namespaces")
    ran = run_program(
        "import os, time; os.umask(0o477); os.mkdir('a'); open('a/b', 'w'); time.sleep(3)", within=within
    )
    assert ran.status == "disk"


@pytest.mark.parametrize(
    "layers",
    [LAYERS, WITHOUT_AUDIT, ("rlimits", "audit"), ("namespaces", "privileges"), ("privileges", "landlock")],
    ids="+".join,
)
def test_nothing_is_written_outside(layers: tuple[str, ...], outside: Path) -> None:
    table = (
        WRITES if layers == ("privileges", "landlock") else WRITES | MODE
    )  # Landlock does not look at modes
    is_stopped(run_program(attempts(table, outside=outside), within=granted(*layers)))
    assert outside.read_text() == "as it was"
    assert outside.stat().st_mode & 0o777 == 0o666
    assert list(outside.parent.iterdir()) == [outside]


def test_modes_are_not_changed_where_seccomp_is_by_itself(outside: Path) -> None:
    is_stopped(run_program(attempts(MODE, outside=outside), within=granted("seccomp")))


@pytest.mark.parametrize("layers", [LAYERS, ("rlimits", "audit")], ids="+".join)
def test_the_audit_hook_refuses_to_start_processes(layers: tuple[str, ...]) -> None:
    is_stopped(run_program(attempts(STARTS), within=granted(*layers)))
    assert run_program(STARTS["subprocess"], within=granted(*layers)).status == "forbidden"


@pytest.mark.parametrize(
    "code", [*STARTS.values(), *BENEATH.values()], ids=[*STARTS, *(f"libc {name}" for name in BENEATH)]
)
def test_a_system_call_that_starts_something_is_the_last(code: str) -> None:
    ran = run_program(code, within=granted("privileges", "seccomp"))
    assert (ran.status, ran.stdout) == ("forbidden", ""), ran


def test_beneath_the_audit_hook_the_kernel_waits() -> None:
    granted("seccomp")
    for code in (BENEATH["fork"], KILLS["libc kill"].format(victim=os.getpid())):
        ran = run_program(code)
        assert (ran.status, ran.stdout) == ("forbidden", ""), ran


def test_without_seccomp_a_limit_keeps_it_from_forking() -> None:
    within = (
        granted("rlimits", "privileges") if os.getuid() == 0 else granted("rlimits")
    )  # the limit does not bind root
    is_stopped(
        run_program(attempts({name: BENEATH[name] for name in ("fork", "clone", "system")}), within=within)
    )


@pytest.mark.parametrize(
    "layers",
    [LAYERS, ("rlimits", "audit"), ("namespaces", "privileges"), ("privileges", "seccomp")],
    ids="+".join,
)
def test_no_network(layers: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if "seccomp" not in layers:
            is_stopped(run_program(attempts(NETWORK, port=port), within=granted(*layers)))
            return
        for code in NETWORK.values():
            assert run_program(code.format(port=port), within=granted(*layers)).status == "forbidden"


@pytest.mark.parametrize(
    "layers",
    [LAYERS, ("rlimits", "audit"), ("namespaces", "privileges"), ("privileges", "seccomp")],
    ids="+".join,
)
def test_no_other_process_is_killed_or_traced(
    layers: tuple[str, ...], victim: subprocess.Popen[bytes]
) -> None:
    if "seccomp" not in layers:
        is_stopped(run_program(attempts(KILLS, victim=victim.pid), within=granted(*layers)))
    else:
        for name, code in KILLS.items():
            if name == "memory" and os.getuid() and "landlock" not in layers:
                continue  # the kernel lets a person's processes write in each other
            assert "DONE" not in run_program(code.format(victim=victim.pid), within=granted(*layers)).stdout
        run_program(BY_A_PIPE.format(victim=victim.pid), within=granted(*layers))
    assert victim.poll() is None


def test_in_its_root_it_sees_python_and_nothing_else() -> None:
    granted("namespaces")
    ran = run_program(
        "import os; print(os.getcwd(), os.getpid(), os.path.exists('/proc/self'), os.path.exists('/etc/passwd'), os.listdir())"
    )
    assert ran.stdout == f"{jail.BOX} 1 False False []\n"


def test_landlock_keeps_it_from_reading(outside: Path) -> None:
    ran = run_program(f"open({str(outside)!r}).read()", within=granted("privileges", "landlock"))
    assert ran.status == "failed"
    assert "PermissionError" in ran.stderr_tail


def test_root_becomes_nobody() -> None:
    if os.getuid():
        pytest.skip("not root")
    for layers in (granted("privileges"), granted("namespaces", "privileges")):
        ran = run_program(
            "import os; print(os.getresuid(), os.getresgid(), os.getgroups()); os.setuid(0)", within=layers
        )
        assert ran.stdout == f"{(jail.NOBODY,) * 3} {(jail.NOBODY,) * 3} []\n", ran
        assert "Operation not permitted" in ran.stderr_tail


# Where it can't be set up


def test_what_is_refused_is_left_out_and_what_was_granted_is_demanded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert set(sandbox.layers()) <= set(LAYERS)

    def poor(code: str, within: tuple[str, ...]) -> Ran:
        if refused := {"namespaces", "landlock"} & set(within):
            raise RefusedError(min(refused), "not here")
        return Ran("passed", "", "", 0.0)

    monkeypatch.setattr(sandbox, "run_program", poor)
    assert sandbox.layers.__wrapped__() == ("rlimits", "privileges", "seccomp", "audit")


def test_a_layer_that_is_refused_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "jail.py"
    text = Path(jail.__file__).read_text()
    other.write_text(text.replace('call("syscall", 444, None, 0, 1)', 'call("syscall", 9999, None, 0, 1)'))
    assert other.read_text() != text
    monkeypatch.setattr(sandbox, "JAIL", other)
    with pytest.raises(RefusedError, match=r"landlock: .*not implemented"):
        run_program("print(1)", within=("rlimits", "landlock"))


def test_wrong_limits_and_a_python_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="positive"):
        run_program("", seconds=0)
    with pytest.raises(ValueError, match="no such layers: \\['moat'\\]"):
        run_program("", within=("moat",))
    (tmp_path / "jail.py").write_text("raise RuntimeError('no jail')")
    monkeypatch.setattr(sandbox, "JAIL", tmp_path / "jail.py")
    with pytest.raises(SandboxError, match=r"(?s)did not start.*no jail"):
        run_program("")


# Benchmarks

INFILLING: dict[str, Any] = {
    "task_id": "SingleLineInfilling/HumanEval/0/L0",
    "entry_point": "double",
    "prompt": 'def double(x):\n    """Twice x."""\n',
    "canonical_solution": "    return x + x\n",
    "suffix": "",
    "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate(2) == 4\n    assert candidate('a') == 'aa'\n",
}
CONTROL: dict[str, Any] = {
    "task_id": "control_completion_000000",
    "lang": "python",
    "eval_prompt": "n = int(input())\r\nfor k in range(n):\r\n    if {{completion}}\r\n        print(k)\r\nexit()\r\n",
    "ground_truth": "k % 2:",
    "unit_tests": [{"input": "4", "output": ["1\n3"]}, {"input": "0", "output": ["", "none"]}],
}


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        ("    return x + x\n", "passed"),
        ("    return 2 * x\n", "passed"),
        ("    return x * x\n", "failed"),
        ("    return x +\n", "failed"),
        ("    exit()\n", "exited"),
        ("    while True: pass\n", "timeout"),
    ],
)
def test_a_fill_is_graded_by_asserts(completion: str, status: str) -> None:
    ran = run_tests(code_benchmarks.humaneval_program(INFILLING), completion, seconds=0.5)
    assert (ran.status, ran.ok) == (status, status == "passed"), ran


@pytest.mark.parametrize(
    ("completion", "status"),
    [("k % 2:", "passed"), ("k & 1:", "passed"), ("k:", "wrong"), ("1 / k:", "failed"), ("k % 2", "failed")],
)
def test_a_fill_is_graded_by_its_output(completion: str, status: str) -> None:
    ran = run_tests(code_benchmarks.safim_program(CONTROL), completion)
    assert (ran.status, ran.ok) == (status, status == "passed"), ran


def test_every_test_counts() -> None:
    problem = Program(
        "p",
        "print(",
        "input()",
        ")",
        (OutputTest("a", ("A",)), OutputTest("b c", ("B   c\n",)), OutputTest("d", ("e",))),
    )
    assert run_tests(problem, "input()").status == "wrong"
    assert run_tests(replace(problem, tests=problem.tests[:2]), "input()").ok
    assert not run_tests(replace(problem, tests=(CodeTest("raise ValueError"),)), "input()").ok
    with pytest.raises(ValueError, match="p: no tests"):
        replace(problem, tests=())


def test_rows_become_problems(tmp_path: Path) -> None:
    for row, (file, _) in zip(
        (INFILLING, INFILLING, CONTROL), code_benchmarks.BENCHMARKS.values(), strict=True
    ):
        with gzip.open(tmp_path / file, "wt") as lines:
            lines.writelines(json.dumps({**row, "task_id": f"row {n}"}) + "\n" for n in range(5))
    for name in code_benchmarks.BENCHMARKS:
        some = code_benchmarks.load_programs(tmp_path, name)
        assert [each.name for each in some] == [f"row {n}" for n in range(5)]
        chosen = code_benchmarks.sample_programs(some, 3)
        assert len(set(chosen)) == 3
        assert chosen == code_benchmarks.sample_programs(some, 3)
        assert code_benchmarks.sample_programs(some, 9) == some
        ran = run_tests(some[0], some[0].truth)
        assert ran.ok
    whole = code_benchmarks.load_programs(tmp_path, "safim-control")[0].complete("k % 2:")
    assert whole == CONTROL["eval_prompt"].replace("{{completion}}", "k % 2:")
    with pytest.raises(ValueError, match="2 holes"):
        code_benchmarks.safim_program(CONTROL | {"eval_prompt": "{{completion}} {{completion}}"})


@pytest.mark.parametrize("name", code_benchmarks.BENCHMARKS)
def test_true_middles_pass(name: str) -> None:
    if not DATA.is_dir():
        pytest.skip(f"no benchmark rows in {DATA}")
    some = code_benchmarks.sample_programs(code_benchmarks.load_programs(DATA, name), 3)
    assert [
        (problem.name, ran.status) for problem, ran in ((each, run_tests(each, each.truth)) for each in some)
    ] == [(each.name, "passed") for each in some]


@pytest.mark.slow
@pytest.mark.parametrize("name", code_benchmarks.BENCHMARKS)
def test_forty_true_middles_pass(name: str) -> None:
    if not DATA.is_dir():
        pytest.skip(f"no benchmark rows in {DATA}")
    some = code_benchmarks.sample_programs(code_benchmarks.load_programs(DATA, name), 40)
    assert [
        (problem.name, ran.status)
        for problem, ran in ((each, run_tests(each, each.truth)) for each in some)
        if not ran.ok
    ] == []
