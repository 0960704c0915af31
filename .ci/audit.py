"""Ask whether packages that are installed have known weaknesses, and fail on one.

pip-audit asks PyPI. Where PyPI's service is not reachable, as behind a mirror that has packages alone, it passes over
packages without a word in its status; this says so, and does not fail for it: a build must not hang on a service.

Usage: python .ci/audit.py [PYTHON]   (of the environment to audit, by default this one)
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

_OWN = {"segdata", "pip"}


def verdict(found: dict[str, Any]) -> tuple[int, list[str]]:
    """Give a status and what to print, from pip-audit's JSON."""
    packages = [each for each in found["dependencies"] if each["name"] not in _OWN]
    audited = [each for each in packages if "skip_reason" not in each]
    lines = [
        f"{each['name']} {each['version']}: {weakness['id']}, mended in {', '.join(weakness['fix_versions']) or 'none'}"
        for each in audited
        for weakness in each["vulns"]
    ]
    status = 1 if lines else 0
    if not audited:
        return status, ["NOT AUDITED: the service that knows of weaknesses was not reached"]
    lines.append(f"{len(audited)} of {len(packages)} packages audited, {len(lines)} weaknesses")
    return status, lines + [f"not audited: {each['name']}" for each in packages if "skip_reason" in each]


def main() -> int:
    python = sys.argv[1:] or [sys.executable]
    frozen = subprocess.run(
        [*python, "-m", "pip", "list", "--format", "freeze"], check=True, capture_output=True, text=True
    )
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    command += ["--no-deps", "--disable-pip", "--requirement", "/dev/stdin"]
    listed = re.sub(r"\+.*", "", frozen.stdout)  # a build such as 2.13.0+cpu has the weaknesses of 2.13.0
    done = subprocess.run(command, input=listed, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        if "ConnectionError" not in done.stderr and "Timeout" not in done.stderr:
            print(done.stderr, file=sys.stderr)
            return 1
        found = {"dependencies": []}
    status, lines = verdict(found)
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
