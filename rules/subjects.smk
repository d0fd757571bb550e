"""Shared by the evaluation's rules: who is evaluated (models and adapters), and on which suites.

REQUIRED INPUTS: config.yaml, through `settings`.
OUTPUTS: none; defines `SUITES`, `SUBJECTS` and where their files are.
"""

SUITES = sorted(settings.suites)
LAWSHIFT_SUITES = [name for name in SUITES if settings.suites[name].lawshift]
ADAPTERS = getattr(settings, "adapters", {})
SUBJECTS = sorted({*settings.models, *ADAPTERS})


wildcard_constraints:
    suite="|".join(map(re.escape, SUITES)) or "(?!)",
    subject="|".join(map(re.escape, SUBJECTS)),
    a="|".join(map(re.escape, SUBJECTS)),
    b="|".join(map(re.escape, SUBJECTS)),


def subject_files(wildcards):
    """What a subject is made from: a model, or an adapter and its model."""
    name = wildcards.subject
    if name in ADAPTERS:
        return [f"results/adapters/{name}/final_model", *files_of_model(ADAPTERS[name].model)]
    return files_of_model(name)


def subject_flags(wildcards):
    """Where a subject's model, and its adapter if it is one, are, as flags."""
    name = wildcards.subject
    if name in ADAPTERS:
        adapter = ["--adapter", f"results/adapters/{name}/final_model"]
        return shlex.join([*flags_of_model(ADAPTERS[name].model), *adapter])
    return shlex.join(flags_of_model(name))


def suite_samples(wildcards):
    """A suite's samples: its own file, or what is made of LawShift's folder."""
    suite = settings.suites[wildcards.suite]
    return f"results/suites/{wildcards.suite}.jsonl" if suite.lawshift else suite.samples


def suite_flags(kind):
    """The flags of those of a suite's settings that one script takes, and the seed."""
    return lambda wildcards: shlex.join(flags_of_suite(wildcards.suite, kind, settings))


def graded_files(side):
    """The graded answers of one side of a comparison, to all suites."""
    return [f"results/evaluation/{{{side}}}/{suite}.jsonl" for suite in SUITES]


def lawshift_folder(wildcards):
    """The LawShift folder that a suite is made from."""
    return settings.suites[wildcards.suite].lawshift


def lawshift_files(wildcards):
    """All files of that folder."""
    return sorted(str(file) for file in Path(lawshift_folder(wildcards)).glob("*/*.json"))
