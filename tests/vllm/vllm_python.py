"""The environment that vllm_cpu.txt describes: its Python, and what a small machine needs set."""

import os

import pytest


def vllm_python() -> str:
    """The Python of vLLM's environment; skips the test where there is none."""
    python = os.environ.get("SLUICE_VLLM_PYTHON")
    if not python:
        pytest.skip("no vLLM here: SLUICE_VLLM_PYTHON is not set (see vllm_cpu.txt)")
    return python


def vllm_environment() -> dict[str, str]:
    """All variables of a process that runs vLLM.

    A GiB of cache is plenty for a tiny model, and compiling it takes a minute.
    """
    ours = {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "TORCH_COMPILE_DISABLE": "1"}
    return {**os.environ, **ours}
