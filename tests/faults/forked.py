"""Commands as a user types them, each in a process of its own that costs no imports: forked from one that has them."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SHUT_DOWN = 30.0  # seconds that Python may take, on a busy machine, to end further processes when all is done
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Running:
    """A command that runs."""

    commands: "Commands"
    pid: int
    folder: Path

    @property
    def out(self) -> str:
        return (self.folder / "stdout").read_text(errors="replace")

    @property
    def err(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace")

    def await_words(self, words: str, seconds: float = 120) -> None:
        """Wait until the command has said something, or has ended."""
        until = time.monotonic() + seconds
        while words not in self.out + self.err and self.is_alive() and time.monotonic() < until:
            time.sleep(0.02)

    def is_alive(self) -> bool:
        return self.commands.ask(do="poll", pid=self.pid) is None

    def wait(self, seconds: float = 120) -> int | None:
        """The exit code, negative after a signal's default; ``None``: it does not end, and is killed."""
        until = time.monotonic() + seconds
        while (code := self.commands.ask(do="poll", pid=self.pid)) is None and time.monotonic() < until:
            time.sleep(0.02)
        if code is None:
            os.killpg(self.pid, 9)
            self.commands.ask(do="wait", pid=self.pid)
        return code

    def orphans(self, patience: float = 0.0) -> list[int]:
        """Processes of its session that are left after so many seconds."""
        until = time.monotonic() + patience
        while (left := self._session()) and time.monotonic() < until:
            time.sleep(0.05)
        return left

    def _session(self) -> list[int]:
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if session == str(self.pid) and state != "Z":
                found.append(int(stat.parent.name))
        return found


class Commands:
    """Starts commands; ends its process with the block."""

    def __enter__(self) -> "Commands":
        self.server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.kill()
        self.server.wait()
        self.server.stdin.close()
        self.server.stdout.close()

    def ask(self, **what: object) -> int | None:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(what) + "\n")
        return json.loads(self.server.stdout.readline())

    def start(self, folder: Path, program: str, *arguments: str, cache: Path | None = None) -> Running:
        """Start ``python program arguments`` in a folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("stdout", "stderr"):
            (folder / name).write_text("")
        env = {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"} | ({"DMT_CACHE": str(cache)} if cache else {})
        pid = self.ask(do="run", program=program, arguments=arguments, folder=str(folder), env=env)
        assert pid is not None
        return Running(self, pid, folder)


def serve() -> None:
    """Fork a child for each command that is read."""
    sys.path.insert(0, str(ROOT / "src"))
    os.environ["PYTHONPATH"] = str(ROOT / "src")
    import torch

    torch.set_num_threads(1)
    import dmt.cli.programs
    import dmt.studies.benchmark
    import dmt.studies.transfer  # noqa: F401

    codes: dict[int, int] = {}
    for line in sys.stdin:
        what = json.loads(line)
        if what["do"] == "run":
            answer: int | None = os.fork() or _run(what)
        else:
            pid = what["pid"]
            if pid not in codes:
                found, status = os.waitpid(pid, 0 if what["do"] == "wait" else os.WNOHANG)
                if found:
                    codes[pid] = os.waitstatus_to_exitcode(status)
            answer = codes.get(pid)
        print(json.dumps(answer), flush=True)


def _run(what: dict) -> int:
    """Be the command; does not return."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a campaign in the background has ignored
    os.chdir(what["folder"])
    os.environ.update(what["env"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), number)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.argv = [str(ROOT / what["program"]), *what["arguments"]]
    import dmt.cli

    code: object = 0
    try:
        {"traverse.py": dmt.cli.run_traverse, "train.py": dmt.cli.run_train}[what["program"]]()
    except SystemExit as end:
        code = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    serve()
