"""Pins are read from requirements files, and a line that pins nothing is refused."""

import pytest

from sluice.errors import DataError
from sluice.packages import installed_version
from sluice.pins import read_pins


def test_pins_of_included_files_extras_and_markers_are_read(tmp_path):
    (tmp_path / "base.txt").write_text("numpy==2.4.6\n")
    (tmp_path / "dev.txt").write_text(
        "# Tools.\n-r base.txt\n\nsnakemake[reports]==9.27.1  # with pygments\n"
        "x==1; python_version>'3'\n"
    )
    assert read_pins(tmp_path / "dev.txt") == {"numpy": "2.4.6", "snakemake": "9.27.1", "x": "1"}


@pytest.mark.parametrize("line", ["numpy", "numpy>=2", "numpy=2"])
def test_a_line_without_an_exact_version_is_refused(tmp_path, line):
    (tmp_path / "r.txt").write_text(f"a==1\n{line}\n")
    with pytest.raises(DataError, match=r"line 2 pins no version"):
        read_pins(tmp_path / "r.txt")


def test_a_missing_file_and_a_missing_package_are_told(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_pins(tmp_path / "none.txt")
    assert installed_version("no-such-package") is None
