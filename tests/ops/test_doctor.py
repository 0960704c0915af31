"""What the doctor promises: each package is tried in a process of its own, and what is wrong is one sentence."""

from __future__ import annotations

import hashlib
import platform
import re
import webbrowser
from importlib import metadata
from pathlib import Path

import pytest

from segdata.errors import InputError
from segdata.models.model_file import read_facts
from segdata.models.registry import BUNDLED
from segdata.ops import doctor as home
from segdata.ops.doctor import Check, Diagnosis, doctor

LIST_MODELS = home._models
VERSIONS = {"numpy": "2.4.0", "simpleeval": "1.0.8", "jinja2": "3.1.6", "torch": "2.13.0"}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Pretend that segdata needs numpy and some packages more, and say of which versions they are."""
    lines = ["numpy>=2.0", "simpleeval>=1.0.8", "jinja2>=3.1; extra == 'report'", "torch>=2.6; extra == 'train'"]
    lines += ["jinja2>=3.1; extra == 'train'"]
    versions = dict(VERSIONS)
    real = metadata.version

    def version(name: str) -> str:
        if name == "segdata":
            return real(name)
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(home, "_models", list)
    return versions


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules are found before all others."""
    (tmp_path / "torch.py").write_text(
        "def ones(_): return type('', (), {'sum': lambda _: _, 'item': lambda _: 2})()\n"
    )
    (tmp_path / "jinja2.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def check_of(diagnosis: Diagnosis, name: str) -> Check:
    (found,) = [check for check in diagnosis.checks if check.name == name]
    return found


def test_a_package_that_works_has_its_version_and_what_needs_it() -> None:
    check = check_of(doctor(["report"]), "numpy")
    assert check == Check("core", "numpy", "works", "2.4.0", "every command")


def test_a_package_whose_import_raises_is_one_sentence_and_how_to_mend_it(fakes: Path) -> None:
    (fakes / "simpleeval.py").write_text("raise RuntimeError('its wheel is of another machine\\nand much more')")
    found = doctor(["report"])
    check = check_of(found, "simpleeval")
    assert (check.state, found.works) == ("broken", False)
    assert check.problem == "cannot be used (RuntimeError: its wheel is of another machine)"
    assert check.remedy == "pip install --force-reinstall 'simpleeval>=1.0.8'"


def test_the_first_cause_is_told_where_a_package_wraps_it(fakes: Path) -> None:
    code = (
        "try:\n    import nonesuch\nexcept ImportError as error:\n    raise ImportError('a page of advice') from error"
    )
    (fakes / "simpleeval.py").write_text(code)
    problem = check_of(doctor(["report"]), "simpleeval").problem
    assert problem == "cannot be used (ModuleNotFoundError: No module named 'nonesuch')"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ends Python when it is imported (SIGKILL)"),
        ("import os; os.abort()", "ends Python when it is imported (SIGABRT)"),
        ("import os; os._exit(0)", "cannot be used (it ends Python with status 0)"),
        ("import sys; sys.exit(0)", "cannot be used (SystemExit: 0)"),
    ],
)
def test_a_package_that_ends_its_process_does_not_end_the_doctor(fakes: Path, code: str, problem: str) -> None:
    (fakes / "simpleeval.py").write_text(code)
    found = doctor(["report"])
    assert (check_of(found, "simpleeval").state, check_of(found, "simpleeval").problem) == ("broken", problem)
    assert check_of(found, "numpy").state == "works"


def test_a_package_that_never_finishes_is_given_up(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fakes / "simpleeval.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(home, "_PATIENCE", 0.2)
    assert check_of(doctor(["report"]), "simpleeval").problem == "not imported within 0 s"


def test_a_missing_system_library_is_told_with_its_debian_package(fakes: Path) -> None:
    message = "libGL.so.1: cannot open shared object file: No such file or directory"
    (fakes / "simpleeval.py").write_text(f"raise ImportError({message!r})")
    check = check_of(doctor(["report"]), "simpleeval")
    assert check.problem == f"cannot be used (ImportError: {message})"
    assert check.remedy == "apt-get install libgl1 libglib2.0-0"


def test_what_a_package_prints_does_not_count_as_its_answer(fakes: Path) -> None:
    (fakes / "simpleeval.py").write_text("import sys; print('works well', end=''); print('noise', file=sys.stderr)")
    assert check_of(doctor(["report"]), "simpleeval").state == "works"


def test_a_version_that_is_too_old_is_told(installed: dict[str, str]) -> None:
    installed["numpy"] = "1.26.4"
    check = check_of(doctor(["report"]), "numpy")
    assert (check.state, check.problem) == ("broken", "of version 1.26.4, where >=2.0 is needed")
    assert check.remedy == "pip install 'numpy>=2.0'"


@pytest.mark.usefixtures("fakes")
def test_a_missing_extra_is_told_with_its_command_and_is_no_fault(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del installed["jinja2"]
    monkeypatch.setattr(home, "find_spec", lambda name: None if name == "jinja2" else name)
    found = doctor()
    check = check_of(found, "jinja2")
    assert (check.state, check.remedy, check.use) == ("missing", "pip install 'segdata[report]'", "report")
    core_works = all(each.state == "works" for each in found.checks if each.part == "core")
    assert found.works is core_works
    assert doctor(["report"]).works is False, "where it is asked for, it is one"


@pytest.mark.usefixtures("fakes")
def test_a_package_of_two_extras_stands_with_the_first_that_is_looked_at() -> None:
    assert [(check.part, check.name) for check in doctor().checks if check.part in {"report", "train"}] == [
        ("report", "jinja2"),
        ("train", "torch"),
    ]
    assert check_of(doctor(["train"]), "jinja2").part == "train"


@pytest.mark.usefixtures("fakes")
def test_extras_that_are_not_asked_for_are_not_looked_at() -> None:
    names = {check.name for check in doctor(["report"]).checks}
    assert "jinja2" in names
    assert "torch" not in names


def test_an_extra_that_does_not_exist_is_wrong_use() -> None:
    with pytest.raises(InputError, match="there is no extra 'test': choose detect, "):
        doctor(["test"])


def test_the_bundled_model_is_whole_and_has_its_sum() -> None:
    data = BUNDLED.read_bytes()
    stated = read_facts(data, "bundled").sha256
    check = LIST_MODELS()[0]
    assert stated == hashlib.sha256(data.replace(stated.encode(), b"0" * 64)).hexdigest()
    assert (check.part, check.name, check.state) == ("core", "bundled model", "works")
    assert stated in check.use


def test_models_that_cannot_be_listed_are_told(fakes: Path) -> None:
    (fakes / "msgspec.py").write_text("raise ImportError('another machine')")
    (check,) = LIST_MODELS()
    assert (check.part, check.name, check.state) == ("core", "bundled model", "broken")
    assert check.problem == "cannot be used (ImportError: another machine)"


def test_models_of_mediapipe_are_listed_with_how_to_get_them() -> None:
    checks = [check for check in LIST_MODELS() if check.part == "models"]
    assert [check.name for check in checks][:2] == ["mediapipe-selfie", "mediapipe-pose"]
    assert all(check.remedy for check in checks if check.state != "works")


def test_versions_come_first() -> None:
    python, own = doctor(["report"]).checks[:2]
    assert (python.name, python.found) == ("Python", platform.python_version())
    assert (own.name, own.found) == ("segdata", metadata.version("segdata"))


def test_the_machine_is_described() -> None:
    found = doctor(["report"])
    assert re.fullmatch(r"\d+", check_of(found, "cores").found)
    assert re.fullmatch(r"\d+\.\d GB", check_of(found, "memory").found)
    assert re.fullmatch(r"\d+\.\d GB free", check_of(found, "temporary folder").found)


def test_no_temporary_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def gettempdir() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(home.tempfile, "gettempdir", gettempdir)
    found = doctor(["report"])
    assert not found.works
    assert check_of(found, "temporary folder").problem == "takes no file (No usable temporary directory found)"


def test_no_browser_is_told_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def get() -> None:
        raise webbrowser.Error

    monkeypatch.setattr(home.webbrowser, "get", get)
    check = check_of(doctor(["report"]), "browser")
    assert (check.state, check.use) == ("missing", "review")
    assert "ssh -L" in check.remedy
