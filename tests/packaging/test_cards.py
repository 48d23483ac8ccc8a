"""Cards of shipped weights name few commands, and steps; `cards.py` tries the commands, which takes long."""

from __future__ import annotations

import re
import subprocess

import cards
import pytest

from meanshape.core import weights

MOST = 5
TIMES = re.compile(r"minutes=([\d.,]+)")


@pytest.mark.parametrize("name", cards.names())
def test_few_commands_lead_from_nothing_to_the_weights(name):
    found = cards.commands(name)
    assert 1 <= len(found) <= MOST
    assert all(re.search(r"--out \S+|write_clutter", command) for command in found)


@pytest.mark.parametrize("name", cards.names())
def test_commands_say_steps(name):
    """A time means another training on every machine."""
    for command in cards.commands(name):
        for told in TIMES.findall(command):
            assert set(told) <= set("0.,"), command


def git(*words: str) -> str:
    """Return what git says in this checkout; nothing where it is none, or git fails."""
    done = subprocess.run(["git", "-C", str(cards.ROOT), *words], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.mark.parametrize("name", cards.names())
def test_the_commit_is_in_the_history(name):
    """A branch that is rebased leaves a card behind with a commit that nobody finds."""
    if git("rev-parse", "--is-shallow-repository") != "false":
        pytest.skip("no git, or no history")
    commit = weights.read_card(weights.folder(name)).more["commit"]
    assert commit in git("log", "--format=%h", f"--abbrev={len(commit)}").split()


def test_a_command_that_has_lost_its_meaning_is_found(tmp_path):
    commit = git("rev-parse", "HEAD")
    if not commit:
        pytest.skip("no git, or no history")
    command = "meanshape train cpr --data ibug300w:ROOT:train --out runs/cpr"
    assert not cards.fault(commit, command, tmp_path)
    assert "there are" in cards.fault(commit, f"{command} --set colour_of_the_sky=blue", tmp_path)
