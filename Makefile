# Start with `make demo` and `make test`; they need Python >= 3.11, and install everything into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*)
INSTALLED := $(VENV)/installed

.PHONY: install demo test fuzz journeys test-hub-old test-timm test-browser test-extras test-slow test-kill check generated docs clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(PYTHON) -c 'import sys; sys.exit("zoo needs Python >= 3.11, this is " + sys.version) if sys.version_info < (3, 11) else 0'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' $(PLUGINS:%=-e %)
	touch $@

# Train, publish to a folder hub, list, evaluate and predict, on the digits of scikit-learn.
demo: $(INSTALLED)
	$(BIN)/zoo train resnet8_digits --out demo/resnet8_digits --overwrite --push --hub file:demo/hub
	$(BIN)/zoo list --hub file:demo/hub
	$(BIN)/zoo eval resnet8_digits --hub file:demo/hub
	$(BIN)/python examples/predict_digits.py file:demo/hub

# Each worker uses a single torch thread, because torch processes with more threads than cores slow each other down.
# loadscope runs all tests of a module in the same worker, so that its fixtures are created once.
test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadscope

# Fuzz tests: 50,000 random files and arguments, with a new seed each time. `make test` runs 250 with a fixed seed.
fuzz: $(INSTALLED)
	ZOO_FUZZ_CASES=50000 OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 tests/test_fuzz.py

# Random sequences of 2,000 user actions, with a new seed each time. `make test` runs some for a minute, with a fixed seed.
journeys: $(INSTALLED)
	ZOO_JOURNEY_STEPS=2000 OMP_NUM_THREADS=1 $(BIN)/pytest tests/test_journeys.py

# The tests of the Hugging Face Hub, with the oldest huggingface_hub that pyproject.toml allows.
test-hub-old: $(INSTALLED)
	test -d $(VENV)/hub-1.33.0 || $(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(VENV)/hub-1.33.0 'huggingface_hub==1.33.0'
	PYTHONPATH=$(VENV)/hub-1.33.0 $(BIN)/python -c 'import huggingface_hub as client; assert client.__version__ == "1.33.0", client'
	PYTHONPATH=$(CURDIR)/$(VENV)/hub-1.33.0 OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 tests/test_hub_hugging_face.py tests/test_faults.py tests/test_check_hub.py

# timm's tests of models, from the source distribution of the installed version, run on the zoo's models.
TIMM_TESTS := forward or backward or default_cfgs or load_pretrained or features_pretrained
test-timm: $(INSTALLED)
	test -d $(VENV)/timm || $(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary timm \
		--dest $(VENV)/timm "timm==$$($(BIN)/python -c 'import timm; print(timm.__version__)')"
	tar --extract --gzip --strip-components 1 --directory $(VENV)/timm --file $(VENV)/timm/timm-*.tar.gz
	PYTHONPATH=$(CURDIR)/plugins/zoo-timm/tests OMP_NUM_THREADS=1 $(BIN)/pytest -c /dev/null --rootdir $(VENV)/timm \
		-p timms_suite -p no:cacheprovider -W ignore -rs -k '(cifar or digits) and ($(TIMM_TESTS))' $(VENV)/timm/tests/test_models.py

# The site of `zoo page` in a browser. Needs chromium and chromium-driver (packages of Debian), and npm.
BROWSER := $(VENV)/browser
test-browser: $(INSTALLED)
	test -d $(BROWSER)/selenium || $(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(BROWSER)/selenium selenium
	test -d $(BROWSER)/package || (cd $(BROWSER) && npm pack --silent onnxruntime-web@1 && tar --extract --file onnxruntime-web-*.tgz)
	PYTHONPATH=$(CURDIR)/$(BROWSER)/selenium ZOO_TRY=$(CURDIR)/$(BROWSER)/package OMP_NUM_THREADS=1 $(BIN)/pytest tests/test_page_browser.py

# The tests that need the extra `all`: experiment trackers and the example notebook.
test-extras: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/test_trackers.py tests/test_notebook.py

# The tests marked slow: several machines, more kills, compiled steps, benchmarks, timm's deep nets.
test-slow: $(INSTALLED)
	ZOO_SLOW=1 OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadscope -m slow

# Kill a training, a push and a pull before every file operation; `make test` kills before a few.
test-kill: $(INSTALLED)
	ZOO_SLOW=1 ZOO_KILL_EVERY=1 OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 tests/test_kill.py

check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Regenerate the catalogue's cards and the README's table.
generated: $(INSTALLED)
	$(BIN)/python docs/generate.py

# The site of the documentation, in site/.
docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) build dist demo site .mypy_cache .pytest_cache .ruff_cache
