#!/usr/bin/env python3
"""Runs all tests; a few that fail are run once more, each alone, and named at the end.

    tools/run_tests.py

The tests kill, freeze and cut real servers on a machine that may be busy with other things. A test that fails beside
others and passes alone is printed as UNSTABLE, with what it said when it failed. It is a fault to mend, but it does not
hide what the other tests found. A test that fails twice, more than MAX_AGAIN that fail once, and tests that cannot be
built are a failure. Exits with 0 or 1.
"""

import re
import subprocess
import sys
import time

# More than this many failures are no accident.
MAX_AGAIN = 3
CARGO = ["cargo", "test", "--workspace", "--locked", "--no-fail-fast"]

BINARY = re.compile(r"^\s+(?:Running (?:unittests )?\S+|Doc-tests) \(?(\S+?)\)?$")
FAILED_TEST = re.compile(r"^test (\S+)(?: - should panic)? \.\.\. FAILED$")
# What cargo prints at the end, one line for each binary that failed.
FAILED_BINARY = re.compile(r"^\s+`(-p .+)`$")


def run(command):
    """Runs a command, prints what it says as it comes; returns its exit status and its lines."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    lines = []
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        lines.append(line.rstrip("\n"))
    return process.wait(), lines


def failures(lines):
    """The tests that failed, as cargo's arguments for the binary and the test's name."""
    by_binary, binary = {}, None
    for line in lines:
        if match := BINARY.match(line):
            binary = match[1]
        elif match := FAILED_TEST.match(line):
            by_binary.setdefault(binary, []).append(match[1])
    arguments = [match[1].split() for line in lines if (match := FAILED_BINARY.match(line))]
    if len(arguments) != len(by_binary) or any("--doc" in words for words in arguments):
        return None
    # Cargo names the binaries in the order in which it ran them.
    return [(words, test) for words, tests in zip(arguments, by_binary.values()) for test in tests]


def main():
    status, lines = run(CARGO)
    if status == 0:
        return 0
    failed = failures(lines)
    if not failed or len(failed) > MAX_AGAIN:
        return 1
    unstable = []
    for words, test in failed:
        print(f"==> once more, alone: {test}", flush=True)
        start = time.monotonic()
        # Not the package alone, for which Cargo would build its dependencies with other features.
        status, said = run(["cargo", "test", "--workspace", "--locked", *words[2:], "--", "--exact", test])
        if status != 0 or not any("1 passed" in line for line in said):
            return 1
        unstable.append(f"{test} ({time.monotonic() - start:.0f} s alone)")
    for test in unstable:
        print(f"==> UNSTABLE, failed beside others and passed alone: {test}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
