"""Files of others run nothing, and write and read nothing elsewhere: forbidden calls, and commands under an audit."""

import ast
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from running import ENV

import segdata
from segdata.pixels import encode_photo, encode_png

PACKAGE = Path(segdata.__file__).parent
FILES = {file.relative_to(PACKAGE).as_posix(): file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")}

# What runs what it reads, starts programs, fetches, unpacks where an archive says, or parses XML without a guard.
FORBIDDEN = {
    "builtins.eval",
    "builtins.exec",
    "builtins.compile",
    "builtins.__import__",
    "ctypes",
    "cloudpickle",
    "dill",
    "ftplib",
    "http.client",
    "importlib.util.spec_from_file_location",
    "joblib",
    "marshal",
    "numpy.load",
    "os.popen",
    "os.system",
    "pandas",
    "pickle",
    "requests",
    "runpy",
    "shelve",
    "shutil.unpack_archive",
    "subprocess",
    "tarfile.open",
    "torch.hub",
    "torch.load",
    "urllib.request",
    "xml.dom",
    "xml.etree",
    "xml.sax",
    "yaml.full_load",
    "yaml.load",
    "yaml.unsafe_load",
}
ALLOWED = {
    ("engine/dask_cluster.py", "pickle"),  # between a command and the workers that it was told to use
    ("engine/dask_cluster.py", "cloudpickle"),
    ("engine/dask_worker.py", "pickle"),
    ("formats/cvat.py", "xml.sax"),  # writes: its functions that escape text
    ("members.py", "tarfile.open"),  # reads headers, unpacks nothing
    ("models/catalogue.py", "http.client"),  # its errors
    ("models/catalogue.py", "urllib.request"),  # `models --fetch`
    ("models/train.py", "torch.load"),  # weights_only=True, of the run's own folder
    ("models/pretrained.py", "torch.load"),  # weights_only=True, of an installed package
    ("quality/validate/rules.py", "importlib.util.spec_from_file_location"),  # `validate --rules FILE.py`
    ("ops/doctor.py", "subprocess"),  # Python, to try a package out
    ("ops/package_probe.py", "ctypes"),
}


def names_of(source: str) -> set[str]:
    """Give the dotted names that a source imports or calls, with the names that it gave modules resolved."""
    tree = ast.parse(source)
    known, found = {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
            first = {alias.name.partition(".")[0] for alias in node.names if not alias.asname}
            known |= {alias.asname: alias.name for alias in node.names if alias.asname} | {name: name for name in first}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            first, _, rest = ast.unparse(node).partition(".")
            if first in known:
                found.add(f"{known[first]}.{rest}" if rest else known[first])
            elif not rest:
                found.add(f"builtins.{first}")
    return found


def forbidden_in(source: str) -> set[str]:
    names = names_of(source)
    return {each for each in FORBIDDEN if any(name == each or name.startswith(f"{each}.") for name in names)}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", "pickle"),
        ("from pickle import loads as read", "pickle"),
        ("def late():\n    import joblib", "joblib"),
        ("import torch as t\nt.load(file)", "torch.load"),
        ("from torch import load", "torch.load"),
        ("import numpy as np\nnp.load(file)", "numpy.load"),
        ("import yaml\nyaml.load(file, yaml.Loader)", "yaml.load"),
        ("eval('1')", "builtins.eval"),
        ("from xml.etree.ElementTree import parse", "xml.etree"),
        ("from urllib import request", "urllib.request"),
        ("import os\nrun = os.system", "os.system"),
        ("from os import system as run\nrun('ls')", "os.system"),
    ],
)
def test_a_forbidden_call_is_found_wherever_it_stands(source: str, found: str) -> None:
    assert forbidden_in(source) == {found}


def test_nothing_that_runs_what_it_reads_is_used_but_where_it_is_listed() -> None:
    assert {(name, found) for name, source in FILES.items() for found in forbidden_in(source)} == ALLOWED


def test_weights_are_loaded_without_pickles() -> None:
    loads = [
        node
        for source in FILES.values()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("torch.load", "trainer.fit"))
    ]
    assert len(loads) == 3
    for node in loads:
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert keywords["weights_only"] == "True"


# Commands under an audit: what Python tells of files, programs, networks and pickles while they read an attack.

AUDITED = """
import os, sys
from collections.abc import Callable
from pathlib import Path

allowed = [os.path.realpath(folder) for folder in sys.argv[1].split(os.pathsep)]
told = []

def within(path):
    real = os.path.realpath(os.fsdecode(path))
    return real == os.devnull or any(os.path.commonpath((real, folder)) == folder for folder in allowed)

def watch(event, arguments):
    if event in {"pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"}:
        told.append(f"{event} {arguments!r}")
    elif event == "open" and isinstance(arguments[0], str | bytes) and (
        set(arguments[1] or "") & set("wax+") or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    ) and not within(arguments[0]):
        told.append(f"write {arguments[0]!r}")
    elif event in {"os.symlink", "os.link", "os.rename"} and not within(arguments[1]):
        told.append(f"{event} {arguments[1]!r}")
    elif event == "open" and str(arguments[0]).endswith(("secret", "secret.png")):
        told.append(f"read {arguments[0]!r}")

sys.addaudithook(watch)
sys.argv[:2] = ["segdata"]
from segdata.cli.main import main
try:
    main()
except SystemExit as end:
    status = end.code
print("status", status)
print(*told, sep="\\n")
"""


def audited(folder: Path, *arguments: object) -> tuple[int, list[str]]:
    """Run a command in a folder: its status, and what it did beside reading files and writing into that folder."""
    command = [sys.executable, "-c", AUDITED, str(folder), *map(str, arguments)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**ENV, "MPLCONFIGDIR": str(folder)},
        cwd=folder,
        timeout=120,
        check=False,
    )
    lines = done.stdout.splitlines()
    (place,) = [number for number, line in enumerate(lines) if line.startswith("status ")]
    assert "Traceback" not in done.stderr
    return int(lines[place].removeprefix("status ")), [line for line in lines[place + 1 :] if line]


PHOTO = encode_photo(np.full((20, 30, 3), 90, np.uint8), ".png")
MASK = encode_png(np.eye(20, 30, dtype=bool))
UP = ["../secret", "../../secret", "/tmp/secret", "a/../../secret", "..\\secret", "C:\\secret", "a/./../../secret"]


class _Evil:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.folder}/ran",)


def tar_of(folder: Path) -> Path:
    """Write a tar whose members lead out: by their names, as links that later members go through, as devices."""
    with tarfile.open(folder / "attack.tar", "w") as archive:
        for number, name in enumerate(["good", *UP]):
            for suffix, content in ((".png", PHOTO), (".mask.png", MASK), (".json", b'{"split": "../../secret"}')):
                header = tarfile.TarInfo(name + suffix)
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
                link = tarfile.TarInfo(f"link{number}.png")
                link.type, link.linkname = kind, "../secret.png"
                archive.addfile(link)
    return folder / "attack.tar"


def zip_of(folder: Path) -> Path:
    """Write a zip of CVAT's whose members and images lead out, with a link among them."""
    names = ["good.png", *(f"{name}.png" for name in UP)]
    images = "".join(
        f'<image id="{number}" name="{name}" width="30" height="20"><polygon label="person" source="manual" '
        'occluded="0" points="1,1;9,1;9,9" z_order="0"/></image>'
        for number, name in enumerate(names)
    )
    with zipfile.ZipFile(folder / "attack.zip", "w") as archive:
        archive.writestr("annotations.xml", f"<annotations><version>1.1</version>{images}</annotations>")
        for name in names:
            archive.writestr(f"images/{name}", PHOTO)
        link = zipfile.ZipInfo("images/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../secret.png")
    return folder / "attack.zip"


@pytest.mark.parametrize(("format_", "make"), [("webdataset", tar_of), ("cvat", zip_of)])
def test_an_archive_writes_nothing_outside_of_the_new_data_set(
    tmp_path: Path, format_: str, make: Callable[[Path], Path]
) -> None:
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True)
    (tmp_path / "in" / "secret.png").write_bytes(PHOTO)
    attack = make(folder)
    before = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    status, told = audited(folder, "import", format_, attack, "--out", folder / "out", "--workers", 1)
    assert (status, told) == (1, [])
    assert {path for path in tmp_path.rglob("*") if folder not in path.parents} == before
    rows = [json.loads(line) for line in (folder / "out" / "metadata.jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows] == ["good"]
    assert not [path for path in folder.rglob("*") if path.is_symlink()]


def test_a_pickle_in_place_of_weights_a_mask_or_a_photo_is_not_opened(tmp_path: Path) -> None:
    evil = pickle.dumps(_Evil(tmp_path))
    for name in ("images/a.png", "masks/a.png", "model.onnx", "model.safetensors", "model.pt", "model.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(evil)
    (tmp_path / "images" / "b.png").write_bytes(PHOTO)
    np.save(tmp_path / "masks" / "b.npy", np.array([_Evil(tmp_path)], object), allow_pickle=True)
    for model in ("model.onnx", "model.safetensors", "model.pt", "model.ckpt"):
        status, told = audited(tmp_path, "annotate", "images", "--model", model, "--out", "preds", "--workers", 1)
        assert (status, told) == (2, []), model
    assert audited(tmp_path, "validate", ".")[1] == []
    assert not (tmp_path / "ran").exists()


def test_names_comments_and_licences_that_are_programs_stay_text(tmp_path: Path) -> None:
    texts = [
        "<script>alert(1)</script>",
        "<svg onload=alert(1)>",
        "$(touch ran)",
        "`touch ran`",
        "; touch ran",
        "| touch ran",
    ]
    texts += [
        "__import__('os').system('touch ran')",
        "{{ 7 * 7 }}",
        "%n%s",
        "=cmd|' /C calc'!A0",
        "]]><!--",
        "\\write18{touch ran}",
    ]
    (tmp_path / "images").mkdir()
    rows = []
    for number, text in enumerate(texts):
        (tmp_path / "images" / f"{number}.png").write_bytes(PHOTO)
        facts = dict.fromkeys(("domain", "split", "source", "licence", "comment", text), text)
        rows.append({"key": text, "file_name": f"images/{number}.png", "width": 30, "height": 20, **facts})
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    commands = [["stats", "."], ["validate", "."], ["view", ".", "--sheet", "sheet.png"], ["split", "."]]
    for arguments in [*commands, ["report", ".", "--out", "report.html"]]:
        assert audited(tmp_path, *arguments)[1] == [], arguments
    assert not (tmp_path / "ran").exists()
