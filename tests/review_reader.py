"""Stands in for the reader of a page that opens the review site: rejects the first photo of the queue, and ends it.

Called with the command as arguments; what the command prints is printed.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode

COOKIES = urllib.request.HTTPCookieProcessor(CookieJar())


def ask(origin: str, path: str, body: object = None, **values: object) -> Any:
    """Ask the site as its own page does."""
    request = urllib.request.Request(f"{origin}{path}?{urlencode(values)}", method="PUT" if body else "GET")
    for name, value in {"Sec-Fetch-Site": "same-origin", "Origin": origin, "Content-Type": "application/json"}.items():
        request.add_header(name, value)
    with urllib.request.build_opener(COOKIES).open(request, json.dumps(body).encode() if body else None) as answer:
        return json.load(answer)


def main() -> int:
    """Run the command, reject what comes first, and press Ctrl-C."""
    with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as command:
        assert command.stdout is not None
        try:
            for line in command.stdout:
                sys.stdout.write(line)
                if found := re.search(r"(http://[\w.:]+)/\S*", line):
                    urllib.request.build_opener(COOKIES).open(found[0]).close()
                    site = ask(found[1], "/api/site")
                    first = next(each["first"] for each in site["columns"] if each["name"] == site["by"])
                    queue = ask(found[1], "/api/queue", by=site["by"], first=first, limit=1)
                    reject = {"version": 0, "request": "the reader", "verdict": "reject", "comment": ""}
                    ask(found[1], "/api/decision", reject, key=queue["items"][0]["key"])
                    break
        finally:
            command.send_signal(signal.SIGINT)
        sys.stdout.write(command.stdout.read())
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
