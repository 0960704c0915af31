"""The review site under a scanner: what wapiti finds, as a stranger and as the reviewer whose cookie it has.

Serves a small data set, lets wapiti attack every address of the site with every parameter, and prints what it reports,
whether the site still answers, and whether a file of the data set has changed. Needs `pip install wapiti3`, in an
environment of its own.

Usage: python benchmarks/scanning.py --wapiti PATH/TO/wapiti [--seconds 420]
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from segdata.dataset import Dataset
from segdata.files import write_file
from segdata.pixels import encode_photo, encode_png

ADDRESSES = (
    "/",
    "/static/main.js",
    "/api/site",
    "/api/queue?by=file&first=high&show=all&find=a&offset=0&limit=5",
    "/api/changes?since=0",
    "/api/sample?key=a",
    "/api/neighbour?key=a&step=1&by=file",
    "/photo?key=a",
    "/thumb?key=a&mask=1",
    "/mask?key=a&of=stored&reviewer=Ann",
    "/layer?key=a&name=edges",
    "/superpixels?key=a&size=16",
)
MODULES = (
    "backup,buster,crlf,csrf,exec,file,htaccess,ldap,methods,permanentxss,redirect,shellshock,sql,timesql,upload,xss"
)


def make_dataset(folder: Path) -> dict[Path, bytes]:
    """Write a data set of one sample, and give its files."""
    write_file(folder / "images" / "a.png", encode_photo(np.full((40, 60, 3), 90, np.uint8), ".png"))
    write_file(folder / "masks" / "a.png", encode_png(np.eye(40, 60, dtype=bool)))
    write_file(folder / "metadata.jsonl", b"")
    row = {"key": "a", "file_name": "images/a.png", "mask_file_name": "masks/a.png", "width": 60, "height": 40}
    Dataset(folder).rewrite(iter([row]))
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def scan(wapiti: str, site: str, headers: list[str], seconds: int, folder: Path) -> dict[str, Any]:
    command = [
        wapiti,
        "-u",
        f"{site}/",
        "-m",
        MODULES,
        "-f",
        "json",
        "-o",
        str(folder / "found.json"),
        "--no-bugreport",
    ]
    command += ["--flush-session", "--store-session", str(folder / "session"), "--max-scan-time", str(seconds)]
    command += ["--max-attack-time", str(max(10, seconds // 8)), "-S", "normal"]
    command += [part for address in ADDRESSES for part in ("-s", site + address)]
    command += [part for header in headers for part in ("-H", header)]
    subprocess.run(command, check=True, capture_output=True)
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


def report(who: str, found: dict[str, Any]) -> None:
    print(f"{who}: {found['infos']['crawled_pages_nbr']} addresses attacked")
    for kind in ("vulnerabilities", "anomalies", "additionals"):
        for name, places in found[kind].items():
            for place in places:
                print(f"  {name}: {place['method']} {place['path']} {place['parameter'] or ''} {place['info']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wapiti", default="wapiti", help="the scanner's program")
    parser.add_argument("--seconds", type=int, default=420, help="the longest that each of two scans may take")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = make_dataset(folder / "data")
        command = [Path(sys.executable).with_name("segdata"), "review", folder / "data"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as review:
            try:
                told = "".join(review.stderr.readline() for _ in range(3)) if review.stderr else ""
                address = re.search(r"http://\S+", told)
                if address is None:
                    sys.exit(f"the site did not start: {told}")
                site = address[0].partition("/?")[0]
                with urllib.request.urlopen(address[0]) as answer:
                    cookie = answer.headers["set-cookie"].partition(";")[0]
                report("stranger", scan(options.wapiti, site, [], options.seconds, folder))
                own = [f"Cookie: {cookie}", f"Origin: {site}"]
                report("reviewer", scan(options.wapiti, site, own, options.seconds, folder))
                request = urllib.request.Request(f"{site}/api/site", headers={"Cookie": cookie})
                with urllib.request.urlopen(request) as answer:
                    print(f"afterwards the site answers {answer.status}")
            finally:
                review.send_signal(signal.SIGINT)
        kept = all(path.read_bytes() == content for path, content in before.items())
        print(f"the files of the data set are {'as they were' if kept else 'changed'}")


if __name__ == "__main__":
    main()
