"""What the report and the tracking read: the artifacts that the configuration asks for.

REQUIRED INPUTS: rules/common.smk, rules/common_evaluation.smk before it.
OUTPUTS: none; defines `report_ledgers` and the other lists of artifacts, and `configuration`.
"""

import json

# The Trainer's live curves (`trackers: [mlflow]`) go where the finished results are noted. An
# environment variable, not a flag: where runs are noted must not make a training stale.
if settings.tracking.enabled:
    os.environ.update(
        MLFLOW_TRACKING_URI=settings.tracking.tracking_uri,
        MLFLOW_EXPERIMENT_NAME=settings.tracking.experiment,
    )

# Only adapters that are compared are wanted by a whole run, and so are shown.
COMPARED = sorted(settings.adapters) if SUITES else []
SHOWN_SUBJECTS = sorted({*COMPARED, *(settings.adapters[name].model for name in COMPARED)})
SHOWN_SAMPLES = [sample for name in COMPARED for sample in settings.adapters[name].samples]
SHOWN_TASKS = [
    name for name in settings.tasks if f"results/sampled/{name}/accepted.jsonl" in SHOWN_SAMPLES
]
# Turn 0 is the model that the flywheel starts from: it is judged, not trained.
TURNS = range(settings.report.num_turns + 1) if settings.report.num_turns else range(0)
BUILT_MODELS = sorted({settings.gate.model, *SHOWN_SUBJECTS} & set(settings.models))


def configuration(wildcards):
    """What was set, as JSON; a function, since braces in a string would be read as wildcards."""
    return json.dumps(settings.model_dump(mode="json", exclude_unset=True), ensure_ascii=False)


def report_ledgers(wildcards):
    """The books of every step that the configuration asks for."""
    return [
        *ledger_files(wildcards),
        *expand("results/random/{dataset}.ledger.json", dataset=DATASETS),
        *expand("results/sampled/{task}/sampled_data.ledger.json", task=SHOWN_TASKS),
        *expand("results/adapters/{adapter}/samples.ledger.json", adapter=COMPARED),
        *expand("results/flywheel/turn_{turn}/sft_train.ledger.json", turn=TURNS[1:]),
        *expand("results/flywheel/turn_{turn}/adapter/samples.ledger.json", turn=TURNS[1:]),
    ]


def training_curves():
    """The curve of each training: built-in models, gates, adapters."""
    built = [name for name in BUILT_MODELS if settings.models[name].build]
    return [
        *expand("results/base/{model}/training_log.json", model=built),
        gate_file("warm_up_log.json"),
        *expand("results/adapters/{adapter}/metrics.json", adapter=COMPARED),
        *expand("results/flywheel/turn_{turn}/adapter/metrics.json", turn=TURNS[1:]),
    ]


def hashed_sources():
    """Raw data, what models are evaluated on, and adapters: their hashes are in the report."""
    datasets = [settings.datasets[name].path for name in DATASETS]
    suites = [settings.suites[name].samples for name in SUITES]
    adapters = expand("results/adapters/{adapter}/final_model", adapter=COMPARED)
    return list(dict.fromkeys(filter(None, [*datasets, *suites, *adapters])))


def report_artifacts(wildcards):
    """Everything that the report and the tracking read, by the name of its flag."""
    return {
        "ledgers": report_ledgers(wildcards),
        "splits": expand("results/data/{dataset}/split.json", dataset=DATASETS),
        "selected": ["results/selected_data.jsonl"],
        "scores": expand("results/scores/{dataset}.parquet", dataset=DATASETS),
        "auroc": ["results/report/score_auroc.csv"] if LABELLED else [],
        "clean_share": ["results/report/clean_share.csv"] if LABELLED else [],
        "heatmap": ["results/report/layer_heatmap.png"],
        "trainings": training_curves(),
        "samplings": expand("results/sampled/{task}/sampling_stats.json", task=SHOWN_TASKS),
        "evaluations": expand(
            "results/evaluation/{subject}/{suite}.evaluation_results.json",
            subject=SHOWN_SUBJECTS,
            suite=SUITES,
        ),
        "comparisons": [
            file.replace("summary.md", "comparison.json") for file in comparison_summaries()
        ],
        "turns": expand("results/flywheel/turn_{turn}/summary.json", turn=TURNS),
        "calibrations": expand(
            "results/flywheel/turn_{turn}/judge_calibration.json", turn=TURNS[-1:]
        ),
        "sources": hashed_sources(),
    }


def artifact_flags(wildcards, input):
    """The same as flags."""
    names = report_artifacts(wildcards)
    files = {name.replace("_", "-"): input.get(name) for name in names}
    return shlex.join(
        word for name, paths in files.items() if paths for word in (f"--{name}", *paths)
    )


def report_templates():
    """The pieces that the page's template includes."""
    folder = Path("resources/report")
    return sorted(
        map(str, [*folder.glob("sections/*"), *folder.glob("macros*"), *folder.glob("*.css")])
    )


def tracked_results():
    """What a whole run asks the tracking for; nothing where it is off."""
    return ["results/report/tracked_runs.json"] if settings.tracking.enabled else []
