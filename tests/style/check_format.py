#!/usr/bin/env python3
"""Every source file is as clang-format 14 leaves it. `make format` mends what this finds."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def main():
    sources = [str(path) for folder in ("src", "tests", "bench") for path in sorted((ROOT / folder).rglob("*"))
               if path.suffix in {".cc", ".h"}]
    run = subprocess.run(["clang-format-14", "--dry-run", "--Werror", *sources], cwd=ROOT, capture_output=True, text=True)
    files = sorted({line.split(":")[0] for line in run.stderr.splitlines() if "error:" in line})
    for file in files:
        print(f"{pathlib.Path(file).relative_to(ROOT)}: not formatted; run: make format")
    if run.returncode != 0 and not files:
        print(run.stderr)
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
