"""docs/staleness.md says what reruns: each row of its table, done to the built-in run."""

import os
import re
import shlex

import pytest
from support import ROOT

from sluice.staleness import find_stale_jobs

_ROW = re.compile(r"^\| ([^|]+) \| `([^`]+)` \|([^|]*)\|$", re.MULTILINE)
ROWS = {
    match[1]: (match[2], set(re.findall(r"`(\w+)`", match[3])))
    for match in _ROW.finditer((ROOT / "docs" / "staleness.md").read_text())
}


@pytest.fixture
def change(built):
    """Does what a row says; files get their bytes and times back after the test."""
    before = {}

    def keep(file):
        status = file.stat()
        before[file] = (file.read_bytes(), (status.st_atime_ns, status.st_mtime_ns))

    def do(how):
        """The options for Snakemake that come of it."""
        kind, _, rest = how.partition(" ")
        if kind == "none":
            return []
        if kind == "option":
            flag, _, value = rest.partition(" ")
            return [flag, value]
        name, _, text = rest.partition(" ")
        keep(built / name)
        if kind == "touch":
            (built / name).touch()
        else:
            assert kind == "append"
            (built / name).write_bytes(before[built / name][0] + f"{text}\n".encode())
        return []

    yield do
    for file, (content, times) in before.items():
        file.write_bytes(content)
        os.utime(file, ns=times)


def test_the_table_has_a_row_of_every_kind():
    kinds = {shlex.split(how)[0] for how, _ in ROWS.values()}
    assert kinds == {"none", "option", "touch", "append"}
    assert len(ROWS) >= 20


@pytest.mark.parametrize("row", ROWS)
def test_exactly_these_rules_are_stale_by_themselves(row, built, change, monkeypatch):
    how, rules = ROWS[row]
    monkeypatch.chdir(built)
    stale = {job.rule for job in find_stale_jobs([], options=change(how)) if not job.only_follows}
    assert stale == rules
