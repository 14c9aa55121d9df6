# `make` lists what there is. Whatever is fetched or built besides target/ lands in .cache/.

STEP := tools/step.sh
PYTHON := .cache/python/bin/python
# rustdoc's warnings are errors like the compiler's.
DOC_FLAGS := -D warnings

.DEFAULT_GOAL := help
.PHONY: help demo serve test storm alarm simulate test-compose check mutants fuzz release dist try-wheel bench bench-before hostile interfaces reads parity pixels clean tensorflow \
	python servers release-before

help:
	@echo 'make demo    fetch TensorFlow, build, serve the demo model, classify a dozen digits'
	@echo 'make serve   serve models/ on port 5050; set X_API_KEY first'
	@echo 'make test    set up what the tests need, then check and run all of them'
	@echo 'make storm   the long storm: thousands of jobs while everything that can fail does; SEED=2, RELEASES=mixed'
	@echo 'make alarm   ten minutes of an alarm of RabbitMQ, and ten of refused logins'
	@echo 'make simulate  SEEDS=100000 runs of a simulated fleet in which everything fails; SEED=1 shows one'
	@echo 'make mutants  100,000 changed model files and configs, none of which may do harm'
	@echo 'make fuzz    coverage-guided fuzzing of all that reads foreign bytes, SECONDS=60 a target'
	@echo 'make test-compose  the demo against containers, with a kill and a partition'
	@echo 'make check   format, lints, documentation, dependencies, house rules'
	@echo 'make release build every program with full optimization'
	@echo 'make dist    what people install without a compiler, in dist/: an archive, a Debian package, a wheel'
	@echo 'make try-wheel  install the wheel into a clean environment and ask for one prediction'
	@echo 'make bench   measure speed beside other ways to serve a model'
	@echo 'make bench-before  measure speed beside the release before'
	@echo 'make parity  compare every architecture of keras.applications with Keras; takes an hour'
	@echo 'make pixels  compare decoded and resized images with TensorFlow, Pillow and OpenCV; prints the table'
	@echo 'make interfaces  the description, a generated client, metrics and pages, checked with the tools of others'
	@echo 'make reads   draw 50 photographs, package them with every way to read, run classifier check on each; SEED=2'
	@echo 'make measures  load, memory, swaps, scaling, the API alone'
	@echo 'make hostile  memory, and latency of one client, while another attacks'
	@echo 'make clean   remove target/ and .cache/'

demo: tensorflow
	@$(STEP) 'build the command (release)' cargo build --release --locked --package classifier-cli
	@$(STEP) 'classify the demo images' python3 demo/run.py target/release/classifier

serve: tensorflow
	@$(STEP) 'build the command (release)' cargo build --release --locked --package classifier-cli
	target/release/classifier serve

test: tensorflow python servers check
	@$(STEP) 'build the tests' cargo test --workspace --locked --no-run
	@$(STEP) 'build the release before' tools/release_before.sh
	@$(STEP) 'run all tests' tools/run_tests.py
	@$(STEP) 'changed model files' $(MUTANTS) --count 4000
	@$(STEP) 'changed model files in TensorFlow' $(MUTANTS) --count 400 --graph .cache/tensorflow

# 2,000 jobs, 50 killed workers, 40 cuts, 24 swaps, deletions, alarms and restores. SEED takes another course; with
# RELEASES=mixed every second program is of the release before, and the storm does what that one bears.
SEED := 1
RELEASES :=
storm: tensorflow servers release-before
	@$(STEP) 'storm' env STORM=long STORM_SEED=$(SEED) FLEET_RELEASES=$(RELEASES) \
		cargo test --workspace --locked --test it -- fleet::storm --nocapture

alarm: tensorflow servers release-before
	@$(STEP) 'alarm' env STORM=long cargo test --workspace --locked --test it -- fleet::alarm --nocapture

# Time is simulated: it is the number of seeds that takes long.
SEEDS := 100000
simulate:
	@$(STEP) 'build the simulation' cargo build --release --locked --package classifier-simulation
	@$(STEP) 'simulation' target/release/simulate --seeds $(SEEDS)

# Each has to become an error or a sound model: see docs/hostile.md.
MUTANTS := cargo run --quiet --locked --package classifier-worker --example mutants --
mutants: tensorflow
	@$(STEP) 'changed model files' $(MUTANTS) --count 100000
	@$(STEP) 'changed model files in TensorFlow' $(MUTANTS) --count 10000 --graph .cache/tensorflow

# TARGETS="hdf5 image" takes these alone.
SECONDS := 60
fuzz:
	@$(STEP) 'fuzzing' tools/fuzz.sh $(SECONDS) $(TARGETS)

test-compose:
	@$(STEP) 'containers' tools/compose/test.sh

check:
	@$(STEP) 'format' cargo fmt --all --check
	@$(STEP) 'lints' cargo clippy --workspace --all-targets --locked -- -D warnings
	@$(STEP) 'documentation' env RUSTDOCFLAGS='$(DOC_FLAGS)' cargo doc --workspace --no-deps --locked
	@$(STEP) 'dependencies' tools/cargo_deny.sh
	@$(STEP) 'house rules' cargo test --workspace --locked --test it -- architecture::

# Everything that bench/ times.
release: tensorflow
	@$(STEP) 'build (release)' cargo build --release --locked --workspace --bins --examples

dist:
	@$(STEP) 'build the programs (release)' cargo build --release --locked --bins \
		--package classifier-cli --package classifier-api --package classifier-worker
	@$(STEP) 'archive, Debian package, wheel' python3 tools/dist.py

try-wheel: dist
	@$(STEP) 'the wheel in a clean environment' python3 tools/try_wheel.py

# ARGUMENTS: see bench/README.md.
bench: release servers
	@$(STEP) 'Python environment of the peers' tools/python_env.sh bench/requirements.txt .cache/bench/python
	@$(STEP) 'the service, its limit and its peers' .cache/bench/python/bin/python bench/compare.py $(ARGUMENTS)

# This release and the one before, in turn.
bench-before: release servers
	@$(STEP) 'Python environment of the peers' tools/python_env.sh bench/requirements.txt .cache/bench/python
	@$(STEP) 'release before (release)' tools/release_before.sh --release
	@$(STEP) 'beside the release before' .cache/bench/python/bin/python bench/compare.py --apart --anew --rounds 6 \
		--servers 'one process,one process before,fleet,fleet before' $(ARGUMENTS)

# WHAT: see bench/README.md.
WHAT := all
measures: release servers
	@$(STEP) 'Python environment of the peers' tools/python_env.sh bench/requirements.txt .cache/bench/python
	@$(STEP) 'measurements' .cache/bench/python/bin/python bench/measures.py $(WHAT)

# ARGUMENTS: "tiff labels" takes these attacks alone.
hostile: release servers
	@$(STEP) 'Python environment of the peers' tools/python_env.sh bench/requirements.txt .cache/bench/python
	@$(STEP) 'one client attacks, another asks' .cache/bench/python/bin/python bench/hostile.py $(ARGUMENTS)

# ONLY="VGG16 ResNet50" takes these alone, RESUME=--resume leaves alone what has passed before.
parity: tensorflow python
	@$(STEP) 'build the command (release)' cargo build --release --locked --package classifier-cli
	@$(STEP) 'compare with Keras' $(PYTHON) tools/parity/zoo.py --only $(ONLY) $(RESUME) --table docs/parity.md

pixels: python
	@$(STEP) 'compare pixels' cargo test --package classifier-worker --locked --test it -- pixels::resizing pixels::readers
	@cat .cache/fixtures/resize/table.md .cache/fixtures/formats.md

# ARGUMENTS='--only page' runs one part: see tools/interfaces/check.py. Without a Chromium the pages are left out, and it
# says so.
interfaces: tensorflow servers
	@$(STEP) 'build' cargo build --workspace --locked --bins --examples 
	@$(STEP) 'Python environment of the tools' tools/python_env.sh tools/interfaces/requirements.txt .cache/interfaces/python
	@$(STEP) 'what others see' .cache/interfaces/python/bin/python tools/interfaces/check.py $(ARGUMENTS)

# ONLY="load_img-nearest pad" takes these packages alone.
reads: tensorflow python
	@$(STEP) 'build the command' cargo build --locked --package classifier-cli
	@$(STEP) 'photographs read in every way' $(PYTHON) tools/parity/check_reads.py --seed $(SEED) $(if $(ONLY),--only $(ONLY))

clean:
	cargo clean
	rm -rf .cache

tensorflow:
	@$(STEP) 'TensorFlow library' python3 tools/fetch_tensorflow.py

python:
	@$(STEP) 'Python environment' tools/python_env.sh

servers:
	@$(STEP) 'RabbitMQ and Redis' tools/servers.sh

# What this release has compiled is taken over: it comes after the build of the tests.
release-before:
	@$(STEP) 'build the tests' cargo test --workspace --locked --no-run
	@$(STEP) 'build the release before' tools/release_before.sh
