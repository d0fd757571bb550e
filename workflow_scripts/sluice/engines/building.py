"""The engine that a configuration asks for; each engine's libraries are imported only if it is."""

from pathlib import Path

from sluice.engines.engine import Engine
from sluice.errors import EngineError, ModelError
from sluice.logs import get_logger
from sluice.settings.engine import EngineSettings, engine_problems

logger = get_logger(__name__)

ANSWER_CACHE = Path("results/.state/openai_answers")
"""Where the openai engine keeps paid answers; they stay there from run to run."""


def make_engine(
    settings: EngineSettings,
    *,
    model: str,
    revision: str | None = None,
    adapter: str | None = None,
    output: Path | None = None,
    answer_cache: Path = ANSWER_CACHE,
) -> Engine:
    """The engine that ``settings`` names.

    Args:
        settings: which engine, and how it uses its machine or server.
        model: hub id or folder; for ``openai`` the name that the server knows.
        revision: commit, tag or branch of a hub model.
        adapter: folder of an adapter for the model. One that holds a whole model (full
            fine-tuning) takes the model's place.
        output: what is made of the completions; a server's budget holds for it.
        answer_cache: folder in which the openai engine keeps answers.
    Raises:
        EngineError: a library, a device or a key is missing, or the engine cannot have the
            precision.
        ModelError: model or adapter cannot be loaded.
    """
    for what, expected in engine_problems("", settings):
        raise EngineError(what, expected=expected)
    if adapter and _is_whole_model(adapter):
        model, revision, adapter = adapter, None, None
    if settings.engine == "openai":
        from sluice.engines.openai_engine import connect

        return connect(settings, model=adapter or model, output=output, answer_cache=answer_cache)
    if settings.engine == "vllm":
        from sluice.engines.vllm_engine import load_vllm_engine

        return load_vllm_engine(settings, model=model, revision=revision, adapter=adapter)
    from sluice.engines.transformers_engine import load_engine

    return load_engine(
        model,
        revision=revision,
        adapter=adapter,
        device=settings.device,
        precision=settings.precision,
        batch_size=settings.batch_size,
    )


def _is_whole_model(adapter: str) -> bool:
    folder = Path(adapter)
    if (folder / "adapter_config.json").is_file():
        return False
    if (folder / "config.json").is_file():
        logger.info("%s holds a whole model, no adapter: it is loaded by itself", adapter)
        return True
    if folder.is_dir():
        raise ModelError(
            f"{adapter} holds neither an adapter nor a model",
            expected="adapter_config.json of peft, or config.json of a model",
        )
    return False
