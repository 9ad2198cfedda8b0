# `make` alone says what each target does. Everything lives in .venv, .tools and build.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup check types types-of-tests test chaos demo bench bench-quality examples sound-model prism kafka dataflow-check flink-smoke clean

BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/.tools/bin:$(PATH)
QUALITY := labelled.py order.py nothing_fits.py position.py clip_lookup.py poolings.py sound_model.py cuts.py video_level.py
NO_BENCH := report.py corpora.py clip_points.py mixed_clips.py cut_films.py quality.py $(QUALITY)
WORKERS := 2
KILLS := 50
COMMANDS := ingest reindex recipe migrate
BEAM := $(shell sed -n 's/^apache-beam==//p' constraints.txt)

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: .venv/.ready  ## make .venv with .venv/bin/reelvec and everything it needs

.venv/.ready: setup.py constraints.txt scripts/setup.sh
	@bash scripts/setup.sh

check: setup  ## lint, types and import contract
	ruff check .
	ruff format --check .
	@$(MAKE) --no-print-directory --jobs 2 types types-of-tests
	lint-imports

types:
	mypy

types-of-tests:
	mypy --config-file tests/mypy.ini --cache-dir .mypy_cache/tests $(wildcard tests/*.py tests/families/*.py benchmarks/*.py examples/*.py)

test: check  ## set up, check, and run every test (WORKERS=2 at a time)
	python -m pytest -n $(WORKERS) --dist loadfile

chaos: setup  ## SIGKILL at KILLS=50 random moments of COMMANDS="ingest reindex recipe migrate"; SERVER=http://host:port for a server
	python -m tests.chaos --kills $(KILLS) $(if $(SERVER),--server $(SERVER)) $(COMMANDS)

demo: setup  ## index the example videos and answer three questions
	@bash scripts/demo.sh

bench: setup  ## every figure of benchmarks/ but those of bench-quality, each as a ratio
	@set -e; for file in $(filter-out $(NO_BENCH:%=benchmarks/%),$(wildcard benchmarks/*.py)); do echo "== $$file"; python "$$file"; done

bench-quality: setup  ## one table of what is found in REELVEC_TEST_MEDIA, each figure beside its goal; INDEX=... of that folder, if there is one
	python benchmarks/quality.py $(if $(INDEX),--index "$(INDEX)") $(QUALITY)

examples: setup  ## render examples/videos again (needs espeak-ng)
	python examples/render.py

sound-model: setup  ## train the sound model again and print what its card pins (needs espeak-ng)
	python -m training.sounds.train

prism:  ## build Beam's Prism runner into .tools/bin (needs Go)
	@bash scripts/prism.sh $(BEAM)

kafka:  ## fetch a real Kafka broker into .tools/kafka for the tests of streams (needs Maven and Java)
	@bash scripts/kafka.sh

dataflow-check: setup  ## the job that the graph becomes on Dataflow, without a cloud, with Google's libraries
	@bash scripts/dataflow.sh $(BEAM)

flink-smoke:  ## the example videos through a local Flink (FLINK_JOB_SERVER_JAR, FLINK_HOME); skips where there is none
	@bash deploy/flink/smoke.sh

clean:  ## remove what make made, .venv too
	rm -rf .venv .tools build dist *.egg-info demo.reelvec .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
