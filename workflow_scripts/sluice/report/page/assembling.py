"""The page from its sections."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sluice.artifacts import read_configuration
from sluice.report.page.books import books_section
from sluice.report.page.cost import cost_headlines, cost_section, duration
from sluice.report.page.evaluation import evaluation_headlines, evaluation_section
from sluice.report.page.flywheel import flywheel_headlines, flywheel_section
from sluice.report.page.provenance import provenance_section
from sluice.report.page.section import Headline, Section
from sluice.report.page.selection import selection_headlines, selection_section
from sluice.report.page.training import training_section
from sluice.settings.report import Artifacts, WriteReport

_HEADLINES = {
    "flywheel": flywheel_headlines,
    "selection": selection_headlines,
    "evaluation": evaluation_headlines,
    "cost": cost_headlines,
}
_KILO = 1000


def write_page(
    files: Artifacts, settings: WriteReport, *, template: Path, benchmarks: Path | None = None
) -> str:
    """The whole page as HTML that needs nothing else: no network, no script, no other file.

    Args:
        files: what is spoken of; a section without its files is left out.
        settings: title and lengths.
        template: the page's Jinja2 template; the others lie in its folder.
        benchmarks: folder of Snakemake's measurements of each job.
    Raises:
        DataError: a file is missing or broken, or rows were lost between steps.
    """
    sections = gather_sections(files, settings, benchmarks=benchmarks)
    headlines = [
        headline for section in sections for headline in _HEADLINES.get(section.key, _none)(section)
    ]
    return render(sections, headlines, title=settings.report_title, template=template)


def gather_sections(
    files: Artifacts, settings: WriteReport, *, benchmarks: Path | None
) -> list[Section]:
    """The sections that there is something to say in, in the order of the page."""
    configuration = read_configuration(files.configuration)
    number = settings.num_examples
    found = [
        flywheel_section(files, num_examples=number),
        evaluation_section(files, configuration=configuration, num_examples=number),
        selection_section(files, num_examples=number),
        training_section(files.trainings, configuration=configuration),
        books_section(files.ledgers, files.splits, configuration=configuration),
        cost_section(
            benchmarks,
            samplings=files.samplings,
            evaluations=files.evaluations,
            trainings=files.trainings,
        ),
        provenance_section(
            configuration, [*files.selected, *files.sources], artifacts=_artifacts(files)
        ),
    ]
    return [section for section in found if section is not None]


def _artifacts(files: Artifacts) -> list[Path]:
    """All files that are spoken of."""
    return [path for _, value in files if isinstance(value, tuple) for path in value]


def render(
    sections: Sequence[Section], headlines: Sequence[Headline], *, title: str, template: Path
) -> str:
    """The page's text. Whatever a model wrote is text and nothing else: all of it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": _size, "duration": duration}
    page = environment.get_template(template.name)
    text = page.render(title=title, sections=sections, headlines=headlines)
    # A lone surrogate, which JSON can hold, is no character that a file can.
    return text.encode("utf-8", "replace").decode()


def _none(section: Section) -> list[Headline]:
    return []


def _size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < _KILO:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= _KILO
    return f"{size_bytes:,.3g} TB"
