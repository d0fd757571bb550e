"""Sluice: which training data is worth learning, and did it help?

The contents page: configuration, stages in order, named targets. `snakemake --list` shows the rules.
"""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/common_models.smk"
include: "rules/common_texts.smk"
include: "rules/common_devices.smk"
include: "rules/common_sampling.smk"
include: "rules/demo.smk"
include: "rules/data.smk"
include: "rules/overlap.smk"
include: "rules/tokenizer.smk"
include: "rules/base.smk"
include: "rules/base_loss.smk"
include: "rules/common_core.smk"
include: "rules/core_metric.smk"
include: "rules/gate.smk"
include: "rules/selection.smk"
include: "rules/sampling.smk"
include: "rules/common_training.smk"
include: "rules/train.smk"
include: "rules/common_evaluation.smk"
include: "rules/evaluate.smk"
include: "rules/compare.smk"
include: "rules/lawshift.smk"
include: "rules/common_flywheel.smk"
include: "rules/flywheel.smk"
include: "rules/common_turn.smk"
include: "rules/turn.smk"
include: "rules/calibration.smk"
include: "rules/pictures.smk"
include: "rules/common_report.smk"
include: "rules/report.smk"
include: "rules/common_targets.smk"
include: "rules/provenance.smk"
include: "rules/tracking.smk"
include: "rules/common_containers.smk"


# Steps of seconds that no other job can take along (profiles/slurm/config.yaml groups the rest): on a
# cluster they run where Snakemake does.
localrules:
    convert_lawshift,
    merge_selected,
    plot_base_loss_curve,
    plot_loss_curve,
    summarize_turn,


rule all:
    """Everything the configuration asks for."""
    default_target: True
    input:
        final_artifacts(),
        "results/report/summary.txt",
        "results/provenance.json",
        "results/report/report.html",
        tracked_results(),


onerror:
    show_hints(log)
