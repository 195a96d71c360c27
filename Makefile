# The front door. What is compiled and how is in meson.build; what comes from elsewhere is in scripts/setup.

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: build up test test-all test-golden bench format clean help

# tools that were built here serve where the machine has none of its own
export PATH := $(PATH):$(CURDIR)/.deps/prefix/bin

build: ## set up and build: kaito, kaito-serve and kaito-shim, in build/
	@scripts/setup base
	@scripts/build build

up: ## build everything, then run the demo: a Workspace becomes a model that answers
	@scripts/setup base engine model kubectl
	@scripts/build build
	@exec scripts/demo

test: ## the fast tests, under three minutes once everything is set up
	@scripts/setup base test engine model kubectl
	@scripts/setup kube || echo "the tests that need a real Kubernetes will be skipped"
	@exec tests/run fast

test-all: ## all tests: also the slow ones, sanitizers and fuzzing
	@scripts/setup base test engine model kubectl
	@scripts/setup kube || echo "the tests that need a real Kubernetes will be skipped"
	@exec tests/run all

SERVER = real
test-golden: ## the recorded scenarios on a real control plane, under 30 minutes; SERVER=embedded: on ours, about two
	@scripts/setup base test
	@test "$(SERVER)" != real || scripts/setup kube || echo "there is no real control plane here"
	@scripts/build build
	@KAITO_BUILD=$(CURDIR)/build exec .deps/venv/bin/python tests/golden/golden.py test --server $(SERVER)

bench: ## measure, beside the reference's figures
	@scripts/setup base test engine model kubectl
	@scripts/build build
	@for b in bench/*.py; do .deps/venv/bin/python $$b || exit 1; done

format: ## lay out the C sources with clang-format
	@command -v clang-format > /dev/null || { echo "clang-format is missing: apt-get install clang-format" >&2; exit 1; }
	@git ls-files -z --cached --others --exclude-standard '*.c' '*.h' | xargs -0 -r clang-format -i

clean: ## remove what was built; .deps/ stays (remove it by hand to set up anew)
	rm -rf build build-asan build-tsan build-fuzz

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile
