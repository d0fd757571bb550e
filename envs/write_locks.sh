#!/usr/bin/env bash
# Writes envs/requirements-<name>.txt, the lock of every envs/<name>.yaml: `make locks`. Needs uv and PyPI.
set -euo pipefail
cd "$(dirname "$0")/.."

# PyPI as it was then, so that the same pins give the same bytes. Raise it together with the pins.
as_of=2026-11-25T00:00:00Z
# The oldest glibc that all have wheels for (llguidance, of vLLM, has none below).
platform=x86_64-manylinux_2_31
# vLLM refuses the versions that requirements.txt has of these.
of_vllm='^(certifi|fastapi|numpy|torch|transformers)=='
# torch, and what only its CUDA builds bring.
of_torch='^(torch|triton)==|^(cuda|nvidia)-'
nothing='^$'

versions=$(mktemp)
trap 'rm -f "$versions"' EXIT

for file in envs/*.yaml; do
    name=$(basename "$file" .yaml)
    python=$(sed -n 's/^  - python=//p' "$file")
    pins=$(sed -n 's/^      - //p' "$file")
    free=$nothing
    left_out=$nothing
    remark=""
    if grep -q '^vllm==' <<<"$pins"; then
        free=$of_vllm
        remark="\
# torch is in here, since vLLM's wheel needs PyPI's own build of it, for CUDA. Of certifi, fastapi, numpy,
# torch and transformers vLLM needs other versions than requirements.txt has.
# Worked out from the index alone: it was never installed, for want of a machine with a GPU."
    elif torch=$(grep '^torch==' <<<"$pins"); then
        left_out=$of_torch
        remark="\
# Not in here is $torch: its build is the machine's own choice (CPU, or one of the CUDA
# builds), and each has a file, and so a hash, of its own. What only CUDA builds bring (triton, cuda-*,
# nvidia-*) is left out with it. Install it last; all else that it needs is then there already:
#   pip install $torch    # your build's index: --index-url https://download.pytorch.org/whl/cpu"
    fi
    grep --no-filename == requirements*.txt | grep -vE "$free" >"$versions"
    locked=$(uv pip compile - --quiet --no-config --no-header --no-annotate --generate-hashes \
        --constraints "$versions" --python-version "$python" --python-platform "$platform" \
        --only-binary :all: --exclude-newer "$as_of" <<<"$pins" |
        awk -v left_out="$left_out" '/^[^ ]/ { is_kept = $0 !~ left_out } is_kept')
    {
        echo "# The lock of $file, made by \`make locks\`: all that it needs on Linux x86_64 (glibc 2.31 or"
        echo "# newer) with Python $python, and the hash of every file that PyPI had of it on ${as_of%T*}."
        echo "#   pip install --no-deps --require-hashes -r envs/requirements-$name.txt"
        [ -z "$remark" ] || echo "$remark"
        echo "$locked"
    } >"envs/requirements-$name.txt"
done
