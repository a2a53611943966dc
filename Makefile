# The front door: `make help` lists what there is. Needs Python >= 3.11, a C++20 compiler and make; the
# rest goes into .venv. A stamp in .venv tells what is up to date, so a second `make` is quick.

PYTHON ?= python3
VENV ?= .venv
# Whether the kernels for NVIDIA GPUs are compiled too: ON, OFF, or AUTO (where nvcc is found). A
# developer's build leaves them out: they take longer than all the rest. `pip install .` has AUTO.
PYCNN_CUDA ?= OFF
WITH_CUDA = --config-settings=cmake.define.PYCNN_CUDA=$(PYCNN_CUDA)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CROSS_CXX := aarch64-linux-gnu-g++
CROSS_RUN := qemu-aarch64 -L /usr/aarch64-linux-gnu

BUILD_FILES := CMakeLists.txt $(wildcard cmake/*.cmake) $(shell find csrc -type f)
CXX_FILES := $(shell find csrc tests -type f -name '*.cpp' -o -type f -name '*.cu' -o -type f -name '*.h')
TESTS ?= tests

# Two pips must not write to one environment at a time; ninja runs the compilers in parallel.
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

.PHONY: help
help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 22

# --- setting up ---

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "pycnn needs Python 3.11 or newer, and $(PYTHON) is: $$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module with pip. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@test -e "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" || { echo "$(PYTHON) has no C headers (Python.h). On Debian and Ubuntu: apt-get install python3-dev" >&2; exit 1; }
	@command -v $(firstword $(CXX)) > /dev/null || command -v c++ > /dev/null || command -v clang++ > /dev/null || { echo "No C++ compiler ($(CXX)). On Debian and Ubuntu: apt-get install g++" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# $(call install,WHAT): installs a list of requirements, WHAT, a key path of pyproject.toml.
define install
	@echo "Installing $(1) of pyproject.toml"
	@$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))$(1), sep='\n')" > $(VENV)/requirements.txt
	@$(PIP) install --quiet --constraint constraints.txt --requirement $(VENV)/requirements.txt
	@touch $@
endef

$(VENV)/.build-tools: $(VENV)/.made pyproject.toml constraints.txt
	$(call install,['build-system']['requires'])

$(VENV)/.test: $(VENV)/.made pyproject.toml constraints.txt
	$(call install,['project']['optional-dependencies']['test'])

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	$(call install,['project']['optional-dependencies']['dev'])

$(VENV)/.docs: $(VENV)/.made pyproject.toml constraints.txt
	$(call install,['project']['optional-dependencies']['docs'])

$(VENV)/.bench: $(VENV)/.made pyproject.toml constraints.txt
	$(call install,['project']['optional-dependencies']['bench'])

# Remembers the value, so that another one builds again.
$(VENV)/.cuda-$(PYCNN_CUDA): $(VENV)/.made
	@rm -f $(VENV)/.cuda-* && touch $@

$(VENV)/.core: $(VENV)/.build-tools $(BUILD_FILES) $(VENV)/.cuda-$(PYCNN_CUDA)
	@echo "Building the extension; the first time takes a minute or two"
	@$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable . $(WITH_CUDA)
	@touch $@

.PHONY: core setup setup-bench
core: $(VENV)/.core  ## build the extension and install pycnn, editable, into .venv
setup: core $(VENV)/.test $(VENV)/.dev  ## core, and what tests and lint need
setup-bench: core $(VENV)/.bench  ## core, and the runtimes that `python -m benchmarks peers` compares with

# --- running ---

.PHONY: demo test test-all
demo: core  ## classify the shipped digits with LeNet-5
	$(BIN)/pycnn classify pycnn/data/samples --model lenet5

test: core $(VENV)/.test  ## run the tests (one file: make test TESTS=tests/test_x.py)
	$(BIN)/python -m pytest $(TESTS)

test-all: core $(VENV)/.test  ## run the tests and the long sweeps
	$(BIN)/python -m pytest -m "" $(TESTS)

.PHONY: docs
docs: core $(VENV)/.docs  ## the site, into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# --- checking the source ---

# `_cuda` needs no GPU to be looked at, and the tests' one is at hand without nvcc.
define stubs
	$(BIN)/pybind11-stubgen pycnn._core --exit-code --output-dir build/stubs
	@PYTHONPATH=build/cuda-on-host $(BIN)/pybind11-stubgen _cuda --exit-code --output-dir build/stubs/pycnn
endef

.PHONY: lint format stub
lint: core cuda-on-host $(VENV)/.dev  ## formatting, ruff, mypy, and whether the stubs are the extensions'
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)
	$(BIN)/mypy
	$(stubs)
	@for name in _core _cuda; do diff -u pycnn/$$name.pyi build/stubs/pycnn/$$name.pyi || { echo "pycnn/$$name.pyi is not the extension's: run make stub" >&2; exit 1; }; done

format: $(VENV)/.dev  ## format Python and C++ in place
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	@$(BIN)/clang-format -i $(CXX_FILES)

stub: core cuda-on-host $(VENV)/.dev  ## generate pycnn/_core.pyi and _cuda.pyi from the extensions
	$(stubs)
	cp build/stubs/pycnn/_core.pyi build/stubs/pycnn/_cuda.pyi pycnn/

# --- the engine without Python ---

# $(call selfcheck,FOLDER,CMAKE ARGUMENTS): builds build/FOLDER/selfcheck.
define selfcheck
	$(BIN)/cmake -S . -B build/$(1) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DPYCNN_BUILD_SELFCHECK=ON $(2) $(CMAKE_ARGS)
	$(BIN)/cmake --build build/$(1)
endef

.PHONY: cuda-on-host
cuda-on-host: $(VENV)/.build-tools  ## build the tests' `_cuda`, whose kernels run on the host, into build/cuda-on-host
	@$(BIN)/cmake -S . -B build/cuda-on-host -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DPYCNN_BUILD_CUDA_ON_HOST=ON -DPython_EXECUTABLE=$(abspath $(BIN))/python -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) $(CMAKE_ARGS) > /dev/null
	@$(BIN)/cmake --build build/cuda-on-host --target _cuda

.PHONY: selfcheck-aarch64 selfcheck-sanitized
selfcheck-aarch64: $(VENV)/.build-tools  ## cross-compile tests/cpp/selfcheck.cpp for ARM, run it under qemu
	@command -v $(CROSS_CXX) > /dev/null || { echo "$(CROSS_CXX) is missing. On Debian and Ubuntu: apt-get install g++-aarch64-linux-gnu" >&2; exit 1; }
	@command -v $(firstword $(CROSS_RUN)) > /dev/null || { echo "$(firstword $(CROSS_RUN)) is missing. On Debian and Ubuntu: apt-get install qemu-user" >&2; exit 1; }
	$(call selfcheck,selfcheck-aarch64,-DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake)
	$(CROSS_RUN) build/selfcheck-aarch64/selfcheck

selfcheck-sanitized: $(VENV)/.build-tools  ## build it for this machine with ASan and UBSan, run it
	$(call selfcheck,selfcheck-sanitized,-DPYCNN_SANITIZE=address$(comma)undefined)
	build/selfcheck-sanitized/selfcheck

comma := ,

# --- on a machine with an NVIDIA GPU: with the Python and torch that are there, without network ---

GPU_PYTHON ?= python3
GPU := build/gpu/venv
# For gpu-bench: NETS=resnet50,vgg16 BATCH=1,256 DTYPE=float16,tf32; it goes on where it stopped.
DTYPE ?= float16
# What gpu-build needs to be there, by the names that are imported.
GPU_NEEDS := pip scikit_build_core pybind11 numpy PIL safetensors typer pytest hypothesis torch

# $(call gpu_tests,NAME,MINUTES): what did not pass yet of tests/test_gpu.py; begins nothing after so many
# minutes. The versions that are there may warn of what ours do not.
gpu_tests = $(GPU)/bin/python -m pytest -o minversion=7.0 -o filterwarnings=default -p no:cacheprovider -p in_parts --passed build/gpu/$(1).txt --minutes $(2) tests/test_gpu.py

# The same by the names that they are installed by, but torch; and the tools of the build.
GPU_WHEELS := scikit-build-core pybind11 cmake ninja numpy pillow safetensors typer pytest hypothesis

.PHONY: gpu-wheels gpu gpu-build gpu-test gpu-sanitize gpu-bench
gpu-wheels:  ## for a GPU machine without network: what gpu-build needs beside torch and nvcc, to be carried there
	$(GPU_PYTHON) -m pip --disable-pip-version-check download --quiet --only-binary :all: --constraint constraints.txt --dest build/gpu/wheels $(GPU_WHEELS)

gpu-test gpu-sanitize: export PYTHONPATH = tests
gpu: gpu-build gpu-test gpu-sanitize gpu-bench  ## all of these; each alone ends within 8 minutes

# Sees all packages of GPU_PYTHON, whether that is a system's or itself of a venv.
$(GPU)/.made:
	$(GPU_PYTHON) -m venv --without-pip --clear $(GPU)
	$(GPU_PYTHON) -c 'import sys; print(*(p for p in sys.path if p.endswith("-packages")), sep="\n")' > "$$($(GPU)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/host.pth"
	@touch $@

gpu-build: $(GPU)/.made  ## build with CUDA, for GPU_PYTHON, into build/gpu
	@! test -d build/gpu/wheels || $(GPU)/bin/python -m pip install --quiet --disable-pip-version-check --no-index --find-links build/gpu/wheels $(GPU_WHEELS)
	@$(GPU)/bin/python -c 'import sys, importlib.util as u; gone = [n for n in sys.argv[1:] if u.find_spec(n) is None]; sys.exit("$(GPU_PYTHON) lacks " + ", ".join(gone) if gone else 0)' $(GPU_NEEDS)
	$(GPU)/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --editable . --config-settings=build-dir=build/gpu/cmake --config-settings=cmake.define.PYCNN_CUDA=ON
	@rm -f build/gpu/*.txt
	$(GPU)/bin/pycnn doctor

gpu-test:  ## every op and network on the GPU, in every dtype; where the time was short, call it again
	$(call gpu_tests,test,7)

# A test that the sanitizer finds fault with has passed all the same: then nothing is noted.
gpu-sanitize:  ## the ops under compute-sanitizer: memory errors, then races in shared memory
	for tool in memcheck racecheck; do compute-sanitizer --tool $$tool --error-exitcode 99 $(call gpu_tests,$$tool,3.5) -k "test_op and NaN" || { code=$$?; [ $$code -ne 99 ] || rm -f build/gpu/$$tool.txt; exit $$code; }; done

gpu-bench:  ## networks and layers beside PyTorch, into benchmarks/results/gpu.json and gpu.md
	$(GPU)/bin/python -m benchmarks gpu --resume --minutes 7.5 --dtype $(DTYPE) $(if $(NETS),--networks $(NETS)) $(if $(BATCH),--batch $(BATCH))

# --- packaging ---

.PHONY: wheel clean distclean
wheel: $(VENV)/.build-tools  ## build dist/pycnn-*.whl
	@rm -f dist/pycnn-*.whl
	$(PIP) wheel --quiet --no-build-isolation --no-deps --wheel-dir dist . $(WITH_CUDA)
	@ls -l dist/pycnn-*.whl

clean:  ## remove what was built
	rm -rf build dist $(VENV)/.core .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find pycnn tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## and .venv
	rm -rf $(VENV)
