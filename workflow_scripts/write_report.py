"""Writes what a run did as one page of HTML that needs no other file and no network.

python workflow_scripts/write_report.py --ledgers results/selected_data.ledger.json ... \
    --comparisons results/comparison/base_vs_rft/comparison.json --output report.html
"""

from pathlib import Path

from sluice.cli import run
from sluice.files import write_text
from sluice.settings.base import narrow
from sluice.settings.report import Artifacts, WriteReport


class Arguments(Artifacts, WriteReport):
    """Write what a run did as one page of HTML."""

    template: Path = Path("resources/report/page.html.jinja")
    """The page's template."""
    benchmarks: Path = Path("results/benchmarks")
    """Folder of Snakemake's measurements; left out where it is not there."""
    output: Path
    """Page to write, HTML."""


def main(arguments: Arguments) -> None:
    """Gathers, checks the books, writes the page."""
    from sluice.report.page.assembling import write_page

    page = write_page(
        narrow(arguments, Artifacts),
        narrow(arguments, WriteReport),
        template=arguments.template,
        benchmarks=arguments.benchmarks,
    )
    write_text(arguments.output, page)


if __name__ == "__main__":
    run(Arguments, main)
