"""Finds the commit whose protos today's must stay compatible with."""

import os
import subprocess

VARIABLE = "GUERDON_PROTO_BASELINE"


def find() -> str:
    """A commit or tag that holds protos; '' when there is none to compare with.

    The newest release counts. Before the first one it is the main branch as others have it, and
    on that branch itself the last commit.
    """
    if given := os.environ.get(VARIABLE):
        return given
    candidates = [newest_release(), "refs/remotes/origin/main", "refs/heads/main", "HEAD"]
    return next((name for name in candidates if name and has_protos(name)), "")


def newest_release() -> str:
    tags = git("tag", "--list", "v[0-9]*", "--sort=-version:refname").split()
    return tags[0] if tags else ""


def has_protos(reference: str) -> bool:
    return "buf.yaml" in git("ls-tree", "--name-only", reference).split()


def git(*arguments: str) -> str:
    """What git prints; '' when it fails, as it does outside a repository."""
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return result.stdout if result.returncode == 0 else ""
