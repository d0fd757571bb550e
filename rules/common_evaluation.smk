"""Shared by the evaluation's rules: who is evaluated (models and adapters), and on which suites.

REQUIRED INPUTS: config.yaml, through `settings`.
OUTPUTS: none; defines `SUITES`, `SUBJECTS` and where their files are.
"""

from sluice.config import suite_settings

SUITES = sorted(settings.suites)
LAWSHIFT_SUITES = [name for name in SUITES if settings.suites[name].lawshift]
SUBJECTS = sorted([*settings.models, *settings.adapters])


wildcard_constraints:
    suite="|".join(map(re.escape, SUITES)) or "(?!)",
    subject="|".join(map(re.escape, SUBJECTS)),
    a="|".join(map(re.escape, SUBJECTS)),
    b="|".join(map(re.escape, SUBJECTS)),


def subject_files(wildcards):
    """What a subject is made from: a model, or an adapter and its model."""
    name = wildcards.subject
    if name in settings.adapters:
        return [
            f"results/adapters/{name}/final_model",
            *files_of_model(settings.adapters[name].model),
        ]
    return files_of_model(name)


def subject_flags(wildcards):
    """Where a subject's model, and its adapter if it is one, are, as flags."""
    name = wildcards.subject
    if name in settings.adapters:
        folder = f"results/adapters/{name}/final_model"
        return f"{flags_of_model(settings.adapters[name].model)} --adapter {folder}"
    return flags_of_model(name)


def suite_gpus(wildcards):
    """How many GPUs a suite's engine uses."""
    return gpus_of_engine(settings.suites[wildcards.suite])


def suite_samples(wildcards):
    """A suite's samples: its own file, or what is made of LawShift's folder."""
    suite = settings.suites[wildcards.suite]
    return f"results/suites/{wildcards.suite}.jsonl" if suite.lawshift else suite.samples


def suites_of(*engines):
    """A pattern of the suites that one of these engines answers; it fits nothing where none does."""
    names = [name for name in SUITES if settings.suites[name].engine in engines]
    return "|".join(map(re.escape, names)) or "(?!)"


def answering_flags(wildcards):
    """How a suite is answered, as flags."""
    chosen = suite_settings("generate_answers", wildcards.suite, settings)
    return shlex.join(to_flags(chosen, "tracked"))


def answering_untracked(wildcards, threads):
    """How a suite's server is asked, as flags."""
    chosen = suite_settings("generate_answers", wildcards.suite, settings)
    return shlex.join(to_flags(chosen, "untracked"))


def grading_flags(wildcards):
    """How a suite is graded, as flags."""
    return shlex.join(to_flags(suite_settings("grade_answers", wildcards.suite, settings)))


def graded_files(side):
    """The graded answers of one side of a comparison, to all suites."""
    return [f"results/evaluation/{{{side}}}/{suite}.jsonl" for suite in SUITES]


def lawshift_folder(wildcards):
    """The LawShift folder that a suite is made from."""
    return settings.suites[wildcards.suite].lawshift


def lawshift_files(wildcards):
    """All files of that folder."""
    return sorted(str(file) for file in Path(lawshift_folder(wildcards)).glob("*/*.json"))


def comparison_summaries():
    """Every adapter compared with the model below it, where there is a suite to compare on."""
    pairs = [f"{adapter.model}_vs_{name}" for name, adapter in sorted(settings.adapters.items())]
    return [f"results/comparison/{pair}/summary.md" for pair in pairs if SUITES]
