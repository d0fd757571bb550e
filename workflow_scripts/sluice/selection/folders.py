"""Batch mode: a folder of router data files in, a folder of selections out."""

from pathlib import Path

from sluice.errors import DataError
from sluice.logs import get_logger
from sluice.router_data import read_router_data
from sluice.selection.keeping import read_scores, write_selection
from sluice.selection.ranking import select_samples
from sluice.selection.scores import score_samples
from sluice.settings.selection import ScoreSamples, SelectSamples
from sluice.tables import write_parquet

logger = get_logger(__name__)

_SUFFIX = "_router_data.pt"


def select_folder(
    router_data_dir: Path,
    samples_dir: Path,
    output_dir: Path,
    *,
    scoring: ScoreSamples,
    selection: SelectSamples,
) -> list[Path]:
    """Selects from every ``<dataset>_router_data.pt``; returns the written files.

    All samples files are looked for before the first dataset is scored.

    Raises:
        DataError: the folder holds no such file, or a dataset's samples are not found.
    """
    files = sorted(Path(router_data_dir).glob(f"*{_SUFFIX}"))
    if not files:
        raise DataError(f"{router_data_dir} holds no *{_SUFFIX}")
    samples = {file: _samples_of(file, Path(samples_dir)) for file in files}
    scores: dict[Path, Path] = {}
    for file in files:
        scores[file] = Path(output_dir) / f"{_dataset(file)}.parquet"
        write_parquet(scores[file], score_samples(read_router_data(file), settings=scoring))
    is_pooled = selection.selection_scope == "all"
    outputs = []
    for file in files:
        output = scores[file].with_suffix(".jsonl")
        table = read_scores(list(scores.values()) if is_pooled else [scores[file]])
        write_selection(
            "select_samples",
            table,
            select_samples(table, settings=selection),
            samples[file],
            dataset=_dataset(file),
            output=output,
            ledger_path=output.with_suffix(".ledger.json"),
        )
        outputs.append(output)
    logger.info("%d datasets selected into %s", len(outputs), output_dir)
    return outputs


def _dataset(file: Path) -> str:
    return file.name.removesuffix(_SUFFIX)


def _samples_of(file: Path, samples_dir: Path) -> Path:
    name = _dataset(file)
    candidates = [samples_dir / f"{name}.jsonl", samples_dir / name / "train.jsonl"]
    found = [candidate for candidate in candidates if candidate.is_file()]
    if not found:
        raise DataError(
            f"no samples of '{name}' are in {samples_dir}",
            expected=" or ".join(str(candidate) for candidate in candidates),
        )
    return found[0]
