# make demo   build .venv, run the built-in workflow, print what came of it
# make test   build .venv with the test tools, run every test
# make lint   ruff, mypy --strict, snakefmt, snakemake --lint
# make tracking  add MLflow to .venv, for `tracking.enabled: true`
# make docs   write docs/config.md, config.schema.json and README.md's rule graph anew
# make locks  write envs/requirements-*.txt anew: the hashes of what envs/*.yaml and all below it need
#
# Nothing else is needed. After `make demo`, everything is plain `.venv/bin/snakemake`.

PYTHON ?= python3.11
# The build of torch is the machine's own choice. For a CPU-only build from PyTorch's own index:
# make demo TORCH='torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu'
TORCH ?= torch==2.13.0
UV := uv==0.13.9
CORES ?= all
BIN := .venv/bin

# Some containers forbid Python to keep compiled modules. Every step would then compile torch and
# transformers anew: 10 seconds instead of 4 for each start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint docs locks format clean tracking

demo: .venv/installed
	$(BIN)/snakemake --cores $(CORES) results/selected_data.jsonl results/report/summary.txt
	@cat results/report/summary.txt

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

docs: .venv/installed
	$(BIN)/python workflow_scripts/write_config_reference.py
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python workflow_scripts/write_rule_graph.py

locks: .venv/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" bash envs/write_locks.sh

tracking: .venv/installed-tracking

clean:
	rm -rf results logs .snakemake

.venv/installed: requirements.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not on the PATH. Hint: install Python 3.11, or make demo PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile $(TORCH)
	$(BIN)/pip install --quiet --no-compile $(UV)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	touch $@

.venv/installed-tracking: requirements-tracking.txt .venv/installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-tracking.txt
	touch $@

.venv/installed-dev: requirements-dev.txt requirements-tracking.txt requirements-deepspeed.txt .venv/installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target .venv/deepspeed --no-deps \
		--no-build-isolation -r requirements-deepspeed.txt
	touch $@
