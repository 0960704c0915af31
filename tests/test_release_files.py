"""The files around the package agree with it, and what they run works."""

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from running import ENV, SEGDATA

from segdata.pixels import encode_png

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
ADDRESS = PROJECT["urls"]["Repository"]
PAGES = ["README.md", "SECURITY.md", "docs/ci.md", "docs/install.md"]


def read_yaml(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def yaml_of_ci():
    """Give the workflow and the pre-commit configuration that docs/ci.md shows."""
    text = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


@pytest.fixture
def repository(tmp_path):
    """Make a folder that holds a data set of one photo."""
    data = tmp_path / "data"
    for name in ("images", "masks"):
        (data / name).mkdir(parents=True)
    mask = np.zeros((64, 64), np.uint8)
    mask[8:40, 16:48] = 255
    photo = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    cv2.imwrite(str(data / "images/a.png"), photo)
    (data / "masks/a.png").write_bytes(encode_png(mask))
    row = {"key": "a", "file_name": "images/a.png", "mask_file_name": "masks/a.png", "width": 64, "height": 64}
    (data / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path


def run(line, folder):
    """Run a line that begins with segdata as a shell in a folder would."""
    command = line.replace("segdata", shlex.quote(SEGDATA), 1)
    return subprocess.run(["sh", "-c", command], cwd=folder, env=ENV, capture_output=True, text=True, check=False)


def test_the_citation_is_of_this_version_and_licence():
    citation = read_yaml("CITATION.cff")
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]
    assert citation["repository-code"] == ADDRESS


def test_the_address_of_the_repository_is_that_of_the_package_everywhere():
    assert yaml_of_ci()[1]["repos"][0]["repo"] == ADDRESS
    host = ADDRESS.partition("//")[2].partition("/")[0]
    texts = {page: (ROOT / page).read_text(encoding="utf-8") for page in [*PAGES, "CITATION.cff", "pyproject.toml"]}
    named = {page: set(re.findall(rf"https://{re.escape(host)}[^\s\"')]*", text)) for page, text in texts.items()}
    assert all(found <= {ADDRESS} for found in named.values()), named


def test_the_version_is_stated_once_and_follows_semantic_versioning():
    assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[\w.]+)?", PROJECT["version"])
    sources = [*(ROOT / "segdata").rglob("*.py"), ROOT / "Dockerfile", ROOT / ".pre-commit-hooks.yaml"]
    assert [file for file in sources if f'"{PROJECT["version"]}"' in file.read_text(encoding="utf-8")] == []
    used = yaml_of_ci()[1]["repos"][0]["rev"]
    assert used == f"v{PROJECT['version']}"


def test_the_changelog_keeps_to_its_form():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", version) for version in versions[1:])


def test_the_workflow_of_the_docs_fails_where_the_data_set_does(repository):
    (job,) = yaml_of_ci()[0]["jobs"].values()
    (line,) = [step["run"] for step in job["steps"] if step.get("run", "").startswith("segdata ")]
    assert run(line, repository).returncode == 0
    (repository / "data/masks/a.png").unlink()
    assert run(line, repository).returncode == 1
    (artifact,) = [step["with"]["path"] for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    assert "missing-file" in (repository / artifact).read_text()


def test_the_hook_that_the_docs_use_is_there_and_validates(repository):
    (hook,) = read_yaml(".pre-commit-hooks.yaml")
    (used,) = yaml_of_ci()[1]["repos"][0]["hooks"]
    assert used["id"] == hook["id"]
    assert re.match(used["files"], "data/masks/a.png")
    line = shlex.join([*hook["entry"].split(), *used["args"]])
    assert run(line, repository).returncode == 0
    (repository / "data/images/a.png").write_bytes(b"no photo")
    assert run(line, repository).returncode == 1


def test_contributors_hooks_are_tools_of_the_test_extra():
    tools = {re.match(r"[\w-]+", line)[0] for line in EXTRAS["test"]}
    hooks = [hook for repository in read_yaml(".pre-commit-config.yaml")["repos"] for hook in repository["hooks"]]
    assert {hook["entry"].split()[0] for hook in hooks} == {"ruff", "mypy"} <= tools


def test_the_container_is_built_of_what_the_wheel_needs():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    needed = {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]}
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed |= {*wheel["packages"], *wheel["shared-data"]}
    assert {line[1:] for line in ignored if line.startswith("!")} == needed


def test_the_container_has_a_known_python_and_extras_without_torch():
    arguments = dict(re.findall(r"^ARG (\w+)=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert f"Programming Language :: Python :: {arguments['PYTHON']}" in PROJECT["classifiers"]
    wanted = arguments["EXTRAS"].split(",")
    assert not any("torch" in line or "[train]" in line for extra in wanted for line in EXTRAS[extra])


def test_the_source_distribution_holds_what_is_tested_here():
    included = set(PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    tested = {"CITATION.cff", "Dockerfile", ".dockerignore", ".pre-commit-config.yaml", ".pre-commit-hooks.yaml"}
    assert tested | {"README.md", "SECURITY.md", "docs"} <= included
