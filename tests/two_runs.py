"""Run commands twice at the same time, and print how that ends. Run as a script:

    python tests/two_runs.py BASE COMMAND ...

BASE is the folder that `kill_moments.prepare` made. Each run is a fork of this process, which has not worked on
anything: forks of one that has started threads, as the tests' own has, may wait for those for ever.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from kill_moments import HEAVY, Command, commands_on, copy, differing, run

from segdata.errors import InputError


def fork(command: Command, out: Path) -> int:
    """Start a run; its status is 0 if it ends well or says that another is at work."""
    if pid := os.fork():
        return pid
    try:
        command.work(out)
    except InputError as error:
        os._exit(0 if "another command is changing" in str(error) else 2)
    except BaseException as error:  # noqa: BLE001 - of the fork nothing else is left
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)
    os._exit(0)


def try_pairs(command: Command, out: Path, pairs: int, rng: random.Random) -> list[str]:
    """Give what went wrong in so many pairs of runs."""
    before = command.before or out.with_name("nothing")
    copy(before, out)
    run(command.work, out)
    wanted, wrong = command.state(out), []
    for _ in range(pairs):
        copy(before, out)
        pids = []
        for _ in range(2):
            pids.append(fork(command, out))
            time.sleep(rng.uniform(0, 0.05))
        ended = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        if ended != [0, 0]:
            wrong.append(f"ended with {ended}")
        wrong += differing(command.state(out), wanted)
    return wrong


def main() -> None:
    base, *names = sys.argv[1:]
    for module in HEAVY:  # here, so that the runs meet
        import_module(module)
    commands = commands_on(Path(base))
    with tempfile.TemporaryDirectory() as folder:
        found = {name: try_pairs(commands[name], Path(folder, "out"), 3, random.Random(3)) for name in names}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
