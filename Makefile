# Two commands do all: `make demo` runs the main job on a synthetic study, `make test` runs the tests.
# The rest is for those who work on medviewer; CONTRIBUTING.md says when to use which.
PYTHON      ?= python3
TORCH_INDEX ?=
VENV        := .venv
RUN         := $(VENV)/bin/
export PYTHON TORCH_INDEX

.PHONY: demo test test-all fuzz check format package pictures clean help

help:
	@echo "make demo      the whole circle on a synthetic chest CT; leaves demo-out/"
	@echo "make test      the everyday tests (under 12 minutes on two cores)"
	@echo "make test-all  these and the slow ones"
	@echo "make fuzz      ten minutes of damaged files; prints its seed and what it found"
	@echo "make check     style, types and walls between the rooms"
	@echo "make package   a folder that runs without Python: dist/medviewer"
	@echo "make pictures  makes the pictures of README and guide again"

$(VENV)/.run: pyproject.toml packaging/linux/setup.sh
	EXTRAS= sh packaging/linux/setup.sh
	@touch $@

$(VENV)/.dev: pyproject.toml packaging/linux/setup.sh
	EXTRAS=dev sh packaging/linux/setup.sh
	@touch $(VENV)/.run $@

demo: $(VENV)/.run
	$(RUN)medviewer demo --out demo-out

test: $(VENV)/.dev
	QT_QPA_PLATFORM=offscreen $(RUN)python -m pytest -n 2 --dist loadfile

test-all: $(VENV)/.dev
	QT_QPA_PLATFORM=offscreen $(RUN)python -m pytest -n 2 --dist loadfile -m "slow or not slow"

fuzz: $(VENV)/.dev
	$(RUN)python -m tests.fuzz --seconds 600 $(if $(SEED),--seed $(SEED))

check: $(VENV)/.dev
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports

format: $(VENV)/.dev
	$(RUN)ruff format .
	$(RUN)ruff check --fix .

package: $(VENV)/.dev
	sh packaging/linux/package.sh

pictures: demo
	$(RUN)python docs/make_pictures.py

clean:
	rm -rf build dist demo-out .mypy_cache .ruff_cache .pytest_cache
