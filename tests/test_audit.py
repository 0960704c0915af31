"""The audit of dependencies fails on a weakness, and says so where nobody could be asked."""

import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location("audit", Path(__file__).parents[1] / ".ci" / "audit.py")
audit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)

SOUND = {"name": "numpy", "version": "2.4.0", "vulns": []}
WEAK = {"name": "jinja2", "version": "3.1.0", "vulns": [{"id": "CVE-2024-22195", "fix_versions": ["3.1.3"]}]}
UNKNOWN = {"name": "pillow", "skip_reason": "Dependency not found on PyPI and could not be audited"}
OWN = {"name": "segdata", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def test_a_weakness_fails_and_is_named_with_its_remedy():
    status, lines = audit.verdict({"dependencies": [SOUND, WEAK, UNKNOWN, OWN]})
    assert status == 1
    assert lines[0] == "jinja2 3.1.0: CVE-2024-22195, mended in 3.1.3"
    assert lines[1:] == ["2 of 3 packages audited, 1 weaknesses", "not audited: pillow"]


def test_sound_packages_pass():
    assert audit.verdict({"dependencies": [SOUND, OWN]}) == (0, ["1 of 1 packages audited, 0 weaknesses"])


def test_where_nothing_could_be_asked_it_passes_and_says_that_nothing_was_audited():
    for found in ([UNKNOWN, OWN], []):
        status, lines = audit.verdict({"dependencies": found})
        assert (status, len(lines)) == (0, 1)
        assert lines[0].startswith("NOT AUDITED")
