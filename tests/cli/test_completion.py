"""The shells complete commands and options."""

import subprocess
import sys

import pytest
from running import ENV, SEGDATA


def complete(**variables):
    """Ask the command as a shell does."""
    environment = {**ENV, **variables}
    done = subprocess.run([SEGDATA], capture_output=True, text=True, env=environment, check=True, timeout=60)
    return done.stdout


@pytest.mark.parametrize(
    ("shell", "registers"),
    [
        ("bash", "complete -o default -F _segdata_completion segdata"),
        ("zsh", "compdef _segdata_completion segdata"),
        ("fish", "complete --command segdata"),
    ],
)
def test_each_shell_gets_a_script(shell, registers):
    assert registers in complete(_SEGDATA_COMPLETE=f"source_{shell}")


@pytest.mark.parametrize(
    ("typed", "place", "found"),
    [
        ("segdata val", 1, ["validate"]),
        ("segdata merge", 1, ["merge-coco", "merge-parts"]),
        ("segdata doctor --js", 2, ["--json"]),
        ("segdata merge-coco --crowd ", 3, ["include", "ignore", "drop"]),
    ],
)
def test_bash_completes_commands_options_and_values(typed, place, found):
    answer = complete(_SEGDATA_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(place))
    assert answer.split() == found


def test_zsh_and_fish_say_what_a_command_does():
    zsh = complete(_SEGDATA_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="segdata val")
    fish = complete(
        _SEGDATA_COMPLETE="complete_fish", _TYPER_COMPLETE_ARGS="segdata val", _TYPER_COMPLETE_FISH_ACTION="get-args"
    )
    assert '"validate":"Say what is wrong' in zsh
    assert fish.startswith("validate\tSay what is wrong")


def test_completion_loads_no_heavy_library():
    script = (
        "import sys; sys.argv = ['segdata']\n"
        "from segdata.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('numpy', 'cv2', 'rich', 'PIL', 'msgspec') if name in sys.modules])"
    )
    variables = {"_SEGDATA_COMPLETE": "complete_bash", "COMP_WORDS": "segdata val", "COMP_CWORD": "1"}
    environment = {**ENV, **variables}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines() == ["validate", "[]"]
