"""Installs locks for this Python: `requirements/install.py LOCK... [--target FOLDER]`.

By uv, which takes a fifth of pip's processor time; pip fetches it, as cpu.lock pins it. Packages
are looked for where pip is told to look. Where uv does not find them (behind a proxy, say, that
only pip's settings name), pip does it all. Nothing is compiled beforehand: Python does so with what
is used, a quarter of all.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PIP = [sys.executable, "-m", "pip"]
# Torch's index has old releases of other packages too: which file is meant, digests say.
UV = [sys.executable, "-m", "uv", "pip", "install", "--index-strategy", "unsafe-best-match"]
PINNED = ["--quiet", "--no-deps", "--require-hashes"]
# pip's settings, uv's variables for them, and what stands between several values there.
# https://pip.pypa.io/en/stable/cli/pip_install, https://docs.astral.sh/uv/reference/environment
SETTINGS = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "no-index": ("UV_NO_INDEX", " "),
    "cert": ("SSL_CERT_FILE", " "),
}


def main(*words: str) -> int:
    """Install what the words name, and return the exit status."""
    files = [part for word in words for part in (["-r"] * word.endswith(".lock") + [word])]
    if fetch_uv():
        by_uv = [*UV, *PINNED, "--python", sys.executable, *files]
        if subprocess.run(by_uv, env=variables() | os.environ).returncode == 0:
            return 0
    print("uv cannot install; pip now tries, which takes some minutes.", file=sys.stderr)
    return subprocess.run([*PIP, "install", "--upgrade", *PINNED, *files]).returncode


def fetch_uv() -> bool:
    """Install uv, where it is not there; return whether it could be done."""
    lock = Path(__file__).with_name("cpu.lock").read_text(encoding="utf-8")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as pin:
        pin.writelines(re.findall(r"^uv==.*\n", lock, re.MULTILINE))
        pin.flush()
        return subprocess.run([*PIP, "install", *PINNED, "-r", pin.name]).returncode == 0


def variables() -> dict[str, str]:
    """Return uv's variables for what pip's files and variables say."""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True).stdout
    found = re.findall(r"^(:env:|global|install)\.([\w-]+)=('.*')$", listed, re.MULTILINE)
    # What is for `install` alone goes before what is for all, and variables before both.
    said = {
        key: ast.literal_eval(value)
        for _, key, value in sorted(found, key=lambda row: (row[0] == ":env:", row[0]))
    }
    return {
        name: between.join(said[key].split())
        for key, (name, between) in SETTINGS.items()
        if said.get(key)
    }


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
