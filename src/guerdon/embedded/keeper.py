"""Runs one server and stops it when its owner is gone.

Started as a script by process.py, with a JSON object as its only argument:
  command   the server's command line
  folder    its working folder
  log       the file that takes its output, from the start
  user      [uid, gid] to run it as, or null for the present user
  signal    the number of the signal that stops it
  patience_seconds  how long it may take to stop before it is killed
  remove    a folder to remove when the owner is gone, or null

Standard input is a pipe that the owner holds open and never writes to: its end means that the
owner has closed it or has died, however it died. The keeper has a session of its own, so that
Ctrl-C in the owner's terminal reaches the owner alone, which then stops its servers in order.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any

REMOVE_ATTEMPTS_MAX = 50
REMOVE_PAUSE_SECONDS = 0.1


def main() -> int:
    order = json.loads(sys.argv[1])
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    server = start(order)
    owner_gone = threading.Event()
    arguments = (server, order, owner_gone)
    threading.Thread(target=stop_at_end_of_input, args=arguments, daemon=True).start()
    code = server.wait()
    if order["remove"] and owner_gone.is_set():
        remove(order["remove"])
    return code


def start(order: dict[str, Any]) -> "subprocess.Popen[bytes]":
    user, group = order["user"] or (None, None)
    with open(order["log"], "wb") as log:
        return subprocess.Popen(
            order["command"],
            cwd=order["folder"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=user,
            group=group,
            extra_groups=[] if order["user"] else None,
        )


def stop_at_end_of_input(
    server: "subprocess.Popen[bytes]", order: dict[str, Any], owner_gone: threading.Event
) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    owner_gone.set()
    server.send_signal(order["signal"])
    try:
        server.wait(order["patience_seconds"])
    except subprocess.TimeoutExpired:
        server.kill()


def remove(folder: str) -> None:
    """Processes of the server outlive it by a moment and may still write."""
    for _ in range(REMOVE_ATTEMPTS_MAX):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(REMOVE_PAUSE_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
