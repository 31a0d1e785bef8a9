PYTHON ?= $(or $(shell for python in python3 python3.12 python3.11; do \
    $$python tools/check_python.py 2>/dev/null && echo $$python && break; done),python3)
MODEL_DIR ?= runs/quickstart
DETECTION_DIR ?= runs/detection
PYTEST_FLAGS ?= -q -n 2 --dist loadfile --no-loadscope-reorder
# Each in processes of its own: what TensorFlow keeps of every traced function, and the servers that
# tests share, add up to more than ten gigabytes.
TEST_PARTS ?= 'tests/[a-k]*/' 'tests/[lmo]*/' 'tests/s*/ tests/test_*.py' 'tests/t*/ tests/v*/'
# What other packages do for this one: pictures, data sets, scores, figures, the server, programs.
LOWEST_TESTS ?= tests/images tests/data tests/detection/test_coco_annotations.py \
    tests/detection/test_coco_folder.py tests/detection/test_evaluation.py \
    tests/detection/test_tfds_coco.py tests/saliency tests/serving tests/test_packaging.py \
    tests/train tests/training/test_configs.py tests/training/test_tables.py tests/visualization

VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALLED := $(VENV)/.installed
LOWEST := .venv-lowest

.PHONY: help quickstart detection-quickstart test test-lowest docs package lint format clean
.DELETE_ON_ERROR:

help:  ## this list (what plain `make` does)
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 28

quickstart: $(INSTALLED)  ## train, evaluate and draw a SACT classifier into runs/quickstart
	$(RUN) train.imagenet --config=configs/quickstart_plain.yaml --model_dir=$(MODEL_DIR)/plain
	$(RUN) train.imagenet --config=configs/quickstart.yaml --model_dir=$(MODEL_DIR) \
	    --params_override=train.warm_start=$(MODEL_DIR)/plain

detection-quickstart: $(INSTALLED)  ## train, evaluate and draw a SACT detector into runs/detection
	$(RUN) train.coco --config=configs/coco/quickstart.yaml --mode=train_and_eval \
	    --model_dir=$(DETECTION_DIR)

test: $(INSTALLED)  ## run the tests (PYTEST_FLAGS="-q --run_large" adds the slow ones)
	@failed=; for part in $(TEST_PARTS); do \
	    echo "$$part"; $(RUN) pytest $(PYTEST_FLAGS) $$part; \
	    case $$? in 0|5) ;; *) failed=1 ;; esac; done; test -z "$$failed"  # 5: none chosen

test-lowest:  ## run LOWEST_TESTS with the lowest versions that pyproject.toml allows
	@$(PYTHON) tools/check_python.py
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --no-input --disable-pip-version-check uv wheel 'setuptools==77.*'
	$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct \
	    -r pyproject.toml --extra dev
	$(LOWEST)/bin/python -m pytest $(PYTEST_FLAGS) $(LOWEST_TESTS)

docs: $(INSTALLED)  ## build the documentation as a site: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet
	@echo "built: build/site/index.html"

package: $(INSTALLED)  ## build the wheel and the source distribution into dist/
	rm -rf dist
	$(RUN) build --no-isolation --outdir dist . > /dev/null
	@ls dist/*

lint: $(INSTALLED)  ## check style, formatting and types
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

format: $(INSTALLED)  ## format, and repair what can be repaired
	$(RUN) ruff check --fix-only .
	$(RUN) ruff format .

clean:  ## remove .venv, caches and build products (not runs/)
	rm -rf $(VENV) $(LOWEST) build dist sact_tf.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.txt
	@$(PYTHON) tools/check_python.py
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --no-input --disable-pip-version-check -r requirements.txt
	@touch $@
