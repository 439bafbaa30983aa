#!/usr/bin/env python3
"""Runs seeds twice, in processes of their own, and compares their traces byte for byte.

  same_trace.py tidemill_sim [--first A] [--count N]
"""
import argparse
import subprocess
import sys


def trace(program, seed):
    return subprocess.run([program, "--seed", str(seed), "--trace"], stdout=subprocess.PIPE, check=False).stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--count", type=int, default=20)
    arguments = parser.parse_args()
    lines = 0
    for seed in range(arguments.first, arguments.first + arguments.count):
        first, second = trace(arguments.program, seed), trace(arguments.program, seed)
        lines += first.count(b"\n")
        if first == second:
            continue
        for number, (a, b) in enumerate(zip(first.splitlines(), second.splitlines()), 1):
            if a != b:
                print(f"seed {seed}: line {number} differs:\n  {a.decode()}\n  {b.decode()}")
                break
        else:
            print(f"seed {seed}: one trace is longer")
        return 1
    print(f"{arguments.count} seeds from {arguments.first}: {lines} lines, the same twice")
    return 0


if __name__ == "__main__":
    sys.exit(main())
