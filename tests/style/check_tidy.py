#!/usr/bin/env python3
"""clang-tidy over a share of the sources: all of them would take longer than the rest of CI together.

  check_tidy.py BUILD_DIR [--all | FILE...]

Without files: those that the last commit or the working tree changed, and every SHARES-th of the others,
a different share with every commit. A file whose text, headers and checks are as they were when it
passed is not looked at again.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
SHARES = 8


def git(*arguments):
    run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return run.stdout.split() if run.returncode == 0 else []


def chosen(compiled):
    changed = {ROOT / name for name in git("diff", "--name-only", "HEAD~1", "--", "src", "tests", "bench")}
    count = git("rev-list", "--count", "HEAD")
    turn = int(count[0]) if count else 0
    share = {path for i, path in enumerate(compiled) if (i + turn) % SHARES == 0}
    return [path for path in compiled if path in changed or path in share]


def headers_hash():
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    for path in sorted((ROOT / "src").rglob("*.h")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    commands = json.loads((build / "compile_commands.json").read_text())
    compiled = sorted({pathlib.Path(command["file"]) for command in commands})
    compiled = [path for path in compiled if path.is_relative_to(ROOT) and path.is_file()]
    if "--all" in sys.argv:
        files = compiled
    elif len(sys.argv) > 2:
        files = [pathlib.Path(name).resolve() for name in sys.argv[2:]]
    else:
        files = chosen(compiled)

    passed = build / "tidy"
    passed.mkdir(exist_ok=True)
    headers = headers_hash()

    def check(path):
        stamp = passed / hashlib.sha256((headers + path.read_text()).encode()).hexdigest()
        if stamp.exists():
            return ""
        run = subprocess.run(["clang-tidy-14", "-p", str(build), "--quiet", str(path)], capture_output=True, text=True)
        if run.returncode == 0:
            stamp.touch()
            return ""
        return run.stdout + re.sub(r"^\d+ warnings? (generated|treated).*\n?", "", run.stderr, flags=re.MULTILINE)

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, output in zip(files, pool.map(check, files)):
            if output:
                failed += 1
                print(f"{path.relative_to(ROOT)}:\n{output}")
    print(f"clang-tidy: {len(files)} of {len(compiled)} files, {failed} with errors")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
