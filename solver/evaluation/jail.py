"""The process inside ``solver.evaluation.sandbox``: applies the layers one by one, then runs one program.

    python -s -S -B -P solver/evaluation/jail.py REPORT REQUEST   # two open file numbers

Started by sandbox.py. It imports only the standard library, so that it starts in 50 ms and gives the program
nothing to find. REQUEST holds JSON: code, folder, seconds, memory, disk, files, layers. It writes a line to
REPORT, "ready" (or "refused LAYER REASON": nothing was run), and at the end a word: passed, exited, failed,
memory or forbidden.
"""

import builtins
import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
import threading
import types
from _sitebuiltins import Quitter
from typing import Any, NoReturn

NOBODY = 65534
BOX = "/box"  # the program's folder in a root of its own
READ_SEARCH = 1 << 2  # CAP_DAC_READ_SEARCH
PRIVATE, BIND, DETACH = 0x44000, 0x5000, 2  # MS_REC|MS_PRIVATE, MS_REC|MS_BIND, MNT_DETACH
NOSUID, NODEV, NOEXEC = 2, 4, 8
SPACES = {
    "cgroup": 0x02000000,
    "ipc": 0x08000000,
    "mount": 0x00020000,
    "net": 0x40000000,
    "pid": 0x20000000,
    "uts": 0x04000000,
}
USERS, THREAD = 0x10000000, 0x10000  # CLONE_NEWUSER, CLONE_THREAD

# Every system call that a program may make, with its number on x86_64 and on aarch64. All others return
# ENOSYS. None of them changes a mode, an owner or a time, which Landlock does not control.
ALLOWED = """read 0 63, write 1 64, open 2 -, close 3 57, stat 4 -, fstat 5 80, lstat 6 -, poll 7 -,
lseek 8 62, mmap 9 222, mprotect 10 226, munmap 11 215, brk 12 214, rt_sigaction 13 134,
rt_sigprocmask 14 135, rt_sigreturn 15 139, pread64 17 67, pwrite64 18 68, readv 19 65, writev 20 66,
access 21 -, pipe 22 -, select 23 -, sched_yield 24 124, mremap 25 216, msync 26 227, mincore 27 232,
madvise 28 233, dup 32 23, dup2 33 -, pause 34 -, nanosleep 35 101, getitimer 36 102, alarm 37 -,
setitimer 38 103, getpid 39 172, sendfile 40 71, exit 60 93, uname 63 160, flock 73 32, fsync 74 82,
fdatasync 75 83, truncate 76 45, ftruncate 77 46, getdents 78 -, getcwd 79 17, chdir 80 49, fchdir 81 50,
rename 82 -, mkdir 83 -, rmdir 84 -, creat 85 -, link 86 -, unlink 87 -, symlink 88 -, readlink 89 -,
umask 95 166, gettimeofday 96 169, getrlimit 97 163, getrusage 98 165, sysinfo 99 179, times 100 153,
getuid 102 174, getgid 104 176, geteuid 107 175, getegid 108 177, getppid 110 173, getpgrp 111 -,
getgroups 115 158, getresuid 118 148, getresgid 120 150, getpgid 121 155, getsid 124 156,
rt_sigpending 127 136, rt_sigtimedwait 128 137, rt_sigsuspend 130 133, sigaltstack 131 132, statfs 137 43,
fstatfs 138 44, sched_getparam 143 121, sched_getscheduler 145 120, arch_prctl 158 -, gettid 186 178,
time 201 -, futex 202 98, sched_getaffinity 204 123, epoll_create 213 -, getdents64 217 61,
set_tid_address 218 96, restart_syscall 219 128, fadvise64 221 223, clock_gettime 228 113,
clock_getres 229 114, clock_nanosleep 230 115, exit_group 231 94, epoll_wait 232 -, epoll_ctl 233 21,
openat 257 56, mkdirat 258 34, newfstatat 262 79, unlinkat 263 35, renameat 264 38, linkat 265 37,
symlinkat 266 36, readlinkat 267 78, faccessat 269 48, pselect6 270 72, ppoll 271 73, set_robust_list 273 99,
get_robust_list 274 100, epoll_pwait 281 22, eventfd 284 -, fallocate 285 47, eventfd2 290 19,
epoll_create1 291 20, dup3 292 24, pipe2 293 59, preadv 295 69, pwritev 296 70, getcpu 309 168,
renameat2 316 276, getrandom 318 278, membarrier 324 283, copy_file_range 326 285, preadv2 327 286,
pwritev2 328 287, statx 332 291, rseq 334 293, close_range 436 436, faccessat2 439 439"""
# These end the program: no benchmark needs them, and an attempt should be noticed.
FATAL = """fork 57 -, vfork 58 -, execve 59 221, execveat 322 281, socket 41 198, socketpair 53 199,
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, tkill 200 130, rt_sigqueueinfo 129 138,
rt_tgsigqueueinfo 297 240, pidfd_open 434 434, pidfd_send_signal 424 424, pidfd_getfd 438 438,
setsid 112 157, setpgid 109 154, unshare 272 97, setns 308 268, mount 165 40, umount2 166 39,
pivot_root 155 41, chroot 161 51, bpf 321 280, perf_event_open 298 241, io_uring_setup 425 425,
userfaultfd 323 282, keyctl 250 219, add_key 248 217, request_key 249 218, mount_setattr 442 442"""
# These depend on an argument. fcntl's list lacks F_SETOWN and F_SETSIG, which together can signal the parent.
FCNTL, IOCTL = (*range(8), 36, 37, 38, 1030), (0x5401, 0x5413, 0x5421, 0x5450, 0x5451, 0x541B)
GUARDED = "fcntl 72 25, ioctl 16 29, kill 62 129, tgkill 234 131, prlimit64 302 261, clone 56 220"
MACHINES = {"x86_64": (1, 0xC000003E), "aarch64": (2, 0xC00000B7)}  # column in the tables above, AUDIT_ARCH
# SECCOMP_RET_*: KILL_PROCESS, EPERM, ENOSYS, ALLOW
KILL, DENY, NO_SUCH, ALLOW = 0x80000000, 0x00050001, 0x00050026, 0x7FFF0000

Request = dict[str, Any]


class ForbiddenError(PermissionError):
    """The audit hook's refusal."""


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Call a function of the C library that returns an int. Raises OSError if it returns -1, or off Linux."""
    if sys.platform != "linux":
        raise OSError("needs Linux")
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    result = int(
        function(*(ctypes.c_long(value) if isinstance(value, int) else value for value in arguments))
    )
    if result == -1:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def python_folders() -> list[str]:
    """Return the folders and files that Python itself needs, without those inside of another one."""
    prefixes = [sys.base_prefix, sys.base_exec_prefix, os.path.dirname(os.__file__)]
    system = ["/usr", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache"]
    paths = sorted({os.path.abspath(path) for path in prefixes + system if os.path.exists(path)})
    return [path for path in paths if not any(path.startswith(folder + "/") for folder in paths)]


def read_only(path: str, deep: bool) -> None:
    """Call mount_setattr(AT_FDCWD, path, AT_RECURSIVE or 0, {set: RDONLY|NOSUID})."""
    attributes = ctypes.create_string_buffer(struct.pack("4Q", 3, 0, 0, 0))
    call("syscall", 442, -100, path.encode(), 0x8000 if deep else 0, attributes, 32)


def namespaces(request: Request) -> None:
    """Create namespaces and a root in ``folder`` with Python, /dev/null and BOX. Returns in process 1."""
    folder, uid, gid = request["folder"], os.getuid(), os.getgid()
    call("unshare", sum(SPACES.values()) | (USERS if uid else 0))
    if uid:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    call("mount", None, b"/", None, PRIVATE, None)
    call("mount", b"tmpfs", folder.encode(), b"tmpfs", NOSUID | NODEV, b"size=1m,mode=755")
    for path in [*python_folders(), os.devnull]:
        target = folder + path
        os.makedirs(target if os.path.isdir(path) else os.path.dirname(target), exist_ok=True)
        if not os.path.isdir(path):
            open(target, "w").close()
        call("mount", path.encode(), target.encode(), None, BIND, None)
        read_only(target, deep=True)
    os.mkdir(folder + BOX)
    owner = "" if uid else f",uid={NOBODY},gid={NOBODY}"
    limits = f"size={request['disk']},nr_inodes={request['files']},mode=700{owner}".encode()
    call("mount", b"tmpfs", (folder + BOX).encode(), b"tmpfs", NOSUID | NODEV | NOEXEC, limits)
    read_only(folder, deep=False)
    child = os.fork()
    if child:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))  # and reap it, below
        _, status = os.waitpid(child, 0)
        os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    os.chdir(folder)
    column, _ = MACHINES[os.uname().machine]
    call(
        "syscall", numbers(FATAL, column)["pivot_root"], b".", b"."
    )  # the old root is mounted over the new one
    call("umount2", b".", DETACH)
    os.chdir(BOX)
    request["folder"] = BOX


def rlimits(request: Request) -> None:
    """Limit memory, processor time, file sizes and open files."""
    seconds, layers = int(request["seconds"]) + 1, request["layers"]
    limits = {
        "CORE": (0, 0),
        "CPU": (seconds, seconds + 1),
        "NOFILE": (64, 64),
        "FSIZE": (request["disk"],) * 2,
        "AS": (request["memory"],) * 2,
    }
    if "seccomp" not in layers:
        limits["NPROC"] = (0, 0)  # forbids threads too; does not bind root
    elif os.getuid() == 0 or "namespaces" in layers:  # otherwise the user's other processes would count
        limits["NPROC"] = (256, 256)
    for name, limit in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        highest = resource.getrlimit(number)[1]
        unlimited = highest == resource.RLIM_INFINITY
        resource.setrlimit(number, limit if unlimited else (min(limit[0], highest), min(limit[1], highest)))


def privileges(request: Request) -> None:
    """Change root to nobody and drop every capability for good.

    Without namespaces, a former root may still read everything: Python's folder may be closed to nobody.
    """
    keep = 0
    if os.getuid() == 0:
        if "namespaces" not in request["layers"]:
            keep = READ_SEARCH
            os.chown(request["folder"], NOBODY, NOBODY)
            call("prctl", 8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    header, data = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", keep, keep, 0, 0, 0, 0)
    call("capset", ctypes.create_string_buffer(header), ctypes.create_string_buffer(data))


def landlock(request: Request) -> None:
    """Restrict reads to Python's folders, changes to the program's, signals and sockets to the sandbox."""
    version = call("syscall", 444, None, 0, 1)
    handled = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    ruleset = struct.pack("3Q", handled, 3 if version > 3 else 0, 3 if version > 5 else 0)
    rules = call("syscall", 444, ctypes.create_string_buffer(ruleset), 24, 0)
    inside = handled & ~(1 | 1 << 6 | 1 << 9 | 1 << 11)  # not execute, nor make devices and sockets
    for path, access in [
        *((folder, 0b1100) for folder in python_folders()),
        (os.devnull, 0b0110),
        (request["folder"], inside),
    ]:
        handle = os.open(path, os.O_PATH)
        access &= -1 if os.path.isdir(path) else 0b0110
        call("syscall", 445, rules, 1, ctypes.create_string_buffer(struct.pack("=Qi", access, handle)), 0)
        os.close(handle)
    call("syscall", 446, rules, 0)
    os.close(rules)


def numbers(table: str, column: int) -> dict[str, int]:
    """Return the numbers of system calls by name, for one kind of machine."""
    return {row[0]: int(row[column]) for row in map(str.split, table.split(",")) if row[column] != "-"}


def seccomp(request: Request) -> None:
    """Install a filter for the system calls above, as a classic BPF program."""
    if os.uname().machine not in MACHINES:
        raise OSError("no table of system calls for this machine")
    column, machine = MACHINES[os.uname().machine]
    load, equal, bits, end = 0x20, 0x15, 0x45, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, machine), (end, 0, 0, KILL), (load, 0, 0, 0)]
    for table, verdict in ((ALLOWED, ALLOW), (FATAL, KILL)):
        for number in numbers(table, column).values():
            program += [(equal, 0, 1, number), (end, 0, 0, verdict)]
    me = os.getpid()
    guards = {
        "fcntl": (1, FCNTL, DENY),
        "ioctl": (1, IOCTL, DENY),
        "kill": (0, (me,), KILL),
        "tgkill": (0, (me,), KILL),
        "prlimit64": (0, (0, me), DENY),
        "clone": (0, (THREAD,), KILL),
    }
    for name, number in numbers(GUARDED, column).items():
        argument, values, otherwise = guards[name]
        test = bits if name == "clone" else equal
        body = [(load, 0, 0, 16 + 8 * argument)]  # its lower half, on little-endian machines
        for value in values:
            body += [(test, 0, 1, value), (end, 0, 0, ALLOW)]
        body.append((end, 0, 0, otherwise))
        program += [(equal, 0, len(body), number), *body]
    program.append((end, 0, 0, NO_SUCH))
    packed = ctypes.create_string_buffer(
        b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    )
    header = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(packed))
    call("prctl", 22, 2, ctypes.create_string_buffer(header), 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


CHANGES: dict[str, tuple[int, ...]] = {  # which arguments are paths
    **{f"os.{name}": (0,) for name in ("chmod", "chown", "mkdir", "remove", "rmdir", "truncate", "utime")},
    "os.link": (0, 1),
    "os.rename": (0, 1),
    "os.symlink": (1,),
}
REFUSED = {
    *(f"os.{name}" for name in ("fork", "forkpty", "exec", "posix_spawn", "spawn", "system", "killpg")),
    "subprocess.Popen",
    "pty.spawn",
}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def audit(request: Request) -> None:
    """Refuse with a Python exception what the kernel refuses; the only barrier if the kernel has none."""
    folder, me, resolve = os.path.realpath(request["folder"]), os.getpid(), os.path.realpath
    refused = REFUSED if "seccomp" in request["layers"] else REFUSED | {"ctypes.dlopen"}

    def outside(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # an open file's number
        real = resolve(os.fsdecode(path))
        return real not in (folder, os.devnull) and not real.startswith(folder + os.sep)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        wrong = event in refused or event.startswith("socket.") or (event == "os.kill" and arguments[0] != me)
        if event == "open":
            wrong = bool(arguments[2] & WRITES) and outside(arguments[0])
        elif event in CHANGES:
            wrong = any(outside(arguments[index]) for index in CHANGES[event])
        if wrong:
            raise ForbiddenError(f"the sandbox forbids {event}")

    sys.addaudithook(hook)


def bound(_: Request) -> None:
    """Die with the parent, and gain no privileges by exec. A fork or a change of user resets the former."""
    if sys.platform == "linux":
        call("prctl", 1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        call("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS; landlock and seccomp need it unless root


def enter(request: Request, report: int) -> None:
    """Apply the layers. Ends the process if the machine refuses one."""
    for step in (bound, namespaces, rlimits, privileges, bound, landlock, seccomp, audit):
        if step is bound or step.__name__ in request["layers"]:
            try:
                step(request)
            except (OSError, ValueError, AttributeError, KeyError) as error:
                os.write(report, f"refused {step.__name__} {error}\n".encode())
                os._exit(1)
    os.write(report, b"ready\n")


def program(code: str, report: int) -> NoReturn:
    """Run the code as ``__main__``, wait for its threads, report how it ended, and exit."""

    def report_end(word: str) -> None:
        with contextlib.suppress(OSError):  # the program may have closed it
            os.write(report, word.encode() + b"\n")

    main = types.ModuleType("__main__")
    sys.modules["__main__"], sys.argv = main, ["main.py"]
    # -S left these out
    builtins.__dict__.update(exit=Quitter("exit", "Ctrl-D"), quit=Quitter("quit", "Ctrl-D"))
    try:
        exec(compile(code, "main.py", "exec", dont_inherit=True), main.__dict__)
        ended = {threading.main_thread()}
        while threads := [
            thread for thread in threading.enumerate() if thread not in ended and not thread.daemon
        ]:
            threads[0].join()
    except SystemExit as stop:
        report_end("failed" if stop.code else "exited")
        raise
    except MemoryError:
        report_end("memory")
        raise
    except BaseException as error:  # the program may raise anything; it is printed as usual
        report_end("forbidden" if isinstance(error, ForbiddenError) else "failed")
        raise
    report_end("passed")
    sys.exit(0)


def run_request(report: int, wish: int) -> None:
    with open(wish) as file:
        request: Request = json.load(file)
    os.set_inheritable(report, False)
    enter(request, report)
    os.environ.update(HOME=request["folder"], TMPDIR=request["folder"])
    program(request["code"], report)


if __name__ == "__main__":
    run_request(int(sys.argv[1]), int(sys.argv[2]))
