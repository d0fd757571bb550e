"""With `--sdm apptainer`, a rule runs in the image of its environment.

REQUIRED INPUTS: the rules; containers/{environment}.sif, built from containers/{environment}.def.
OUTPUTS: none; without `--sdm apptainer` nothing changes.
"""

from snakemake.settings.types import DeploymentMethod


def image_of(environment):
    """The image's file, looked for when a job needs it."""

    def find_image(wildcards):
        image = Path(f"containers/{environment}.sif")
        if not image.is_file():
            raise ConfigError(
                f"{image} does not exist",
                hint=f"apptainer build {image} containers/{environment}.def",
            )
        return str(image)

    return find_image


if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
    for each in workflow.rules:
        if each.conda_env:  # `all` has none
            each.container_img = image_of(Path(each.conda_env).stem)
