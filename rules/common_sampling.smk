"""What the rule of sampling takes from the configuration, by the task's name.

REQUIRED INPUTS: rules/common.smk before it.
OUTPUTS: none; defines `task_model_files`, `task_prompts`, `task_flags`, `task_untracked`,
    `task_gpus` and `tasks_of`.
"""

from sluice.settings.sampling import TaskSettings


def task_model_files(wildcards):
    """The files of a task's model."""
    return files_of_model(settings.tasks[wildcards.task].model)


def task_prompts(wildcards):
    """The prompts of a task."""
    return settings.tasks[wildcards.task].prompts


def task_flags(wildcards):
    """A task's model and choices, as flags."""
    task = settings.tasks[wildcards.task]
    choices = shlex.join(to_flags(narrow(task, TaskSettings), "tracked"))
    return " ".join(filter(None, [flags_of_model(task.model), choices]))


def task_untracked(wildcards, threads):
    """How a task's server is asked, as flags."""
    return shlex.join(to_flags(narrow(settings.tasks[wildcards.task], TaskSettings), "untracked"))


def task_gpus(wildcards):
    """How many GPUs a task's engine uses."""
    return gpus_of_engine(settings.tasks[wildcards.task])


def tasks_of(*engines):
    """A pattern of the tasks that one of these engines serves; it fits nothing where none does."""
    names = [name for name, task in settings.tasks.items() if task.engine in engines]
    return "|".join(map(re.escape, names)) or "(?!)"
