# `make` lists what there is. Whatever is fetched or built besides target/ lands in .cache/.

STEP := tools/step.sh
PYTHON := .cache/python/bin/python
# rustdoc's warnings are errors like the compiler's.
DOC_FLAGS := -D warnings

.DEFAULT_GOAL := help
.PHONY: help demo serve test storm test-compose check mutants fuzz release bench parity pixels clean tensorflow python \
	servers

help:
	@echo 'make demo    fetch TensorFlow, build, serve the demo model, classify a dozen digits'
	@echo 'make serve   serve models/ on port 5050; set X_API_KEY first'
	@echo 'make test    set up what the tests need, then check and run all of them'
	@echo 'make storm   the long storm: thousands of jobs while everything that can die dies'
	@echo 'make mutants  100,000 changed model files and configs, none of which may do harm'
	@echo 'make fuzz    coverage-guided fuzzing of all that reads foreign bytes, SECONDS=60 a target'
	@echo 'make test-compose  the demo against containers, with a kill and a partition'
	@echo 'make check   format, lints, documentation, dependencies, house rules'
	@echo 'make release build every program with full optimization'
	@echo 'make bench   measure speed beside other ways to serve a model'
	@echo 'make parity  compare every architecture of keras.applications with Keras; takes an hour'
	@echo 'make pixels  compare decoded and resized images with TensorFlow, Pillow and OpenCV; prints the table'
	@echo 'make measures  load, memory, swaps, scaling, the API alone'
	@echo 'make clean   remove target/ and .cache/'

demo: tensorflow
	@$(STEP) 'build the command (release)' cargo build --release --locked --package classifier-cli
	@$(STEP) 'classify the demo images' python3 demo/run.py target/release/classifier

serve: tensorflow
	@$(STEP) 'build the command (release)' cargo build --release --locked --package classifier-cli
	target/release/classifier serve

test: tensorflow python servers check
	@$(STEP) 'build the tests' cargo test --workspace --locked --no-run
	@$(STEP) 'run all tests' cargo test --workspace --locked
	@$(STEP) 'changed model files' $(MUTANTS) --count 4000
	@$(STEP) 'changed model files in TensorFlow' $(MUTANTS) --count 400 --graph .cache/tensorflow

# 2,000 jobs, 50 killed workers, 20 swaps, 3 restarts of each server.
storm: tensorflow servers
	@$(STEP) 'build the programs' cargo test --workspace --locked --no-run
	@$(STEP) 'storm' env STORM=long cargo test --workspace --locked --test it -- fleet::storm --nocapture

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
	@$(STEP) 'build (release)' cargo build --release --locked --workspace --bins --examples \
		--features classifier-common/testing

# ARGUMENTS: see bench/README.md.
bench: release servers
	@$(STEP) 'Python environment of the peers' tools/python_env.sh bench/requirements.txt .cache/bench/python
	@$(STEP) 'the service, its limit and its peers' .cache/bench/python/bin/python bench/compare.py $(ARGUMENTS)

# WHAT: see bench/README.md.
WHAT := all
measures: release servers
	@$(STEP) 'Python environment of the peers' tools/python_env.sh bench/requirements.txt .cache/bench/python
	@$(STEP) 'measurements' .cache/bench/python/bin/python bench/measures.py $(WHAT)

# ONLY="VGG16 ResNet50" takes these alone, RESUME=--resume leaves alone what has passed before.
parity: tensorflow python
	@$(STEP) 'build the command (release)' cargo build --release --locked --package classifier-cli
	@$(STEP) 'compare with Keras' $(PYTHON) tools/parity/zoo.py --only $(ONLY) $(RESUME) --table docs/parity.md

pixels: python
	@$(STEP) 'compare pixels' cargo test --package classifier-worker --locked --test it -- pixels::resizing
	@cat .cache/fixtures/resize/table.md

clean:
	cargo clean
	rm -rf .cache

tensorflow:
	@$(STEP) 'TensorFlow library' python3 tools/fetch_tensorflow.py

python:
	@$(STEP) 'Python environment' tools/python_env.sh

servers:
	@$(STEP) 'RabbitMQ and Redis' tools/servers.sh
