# zabkeeper's front door. Three commands do everything, system packages included:
#   make run       build, then a standalone server on 127.0.0.1:2181
#   make ensemble  build, then three servers that form an ensemble
#   make test      everything that CI runs
#
# What is downloaded or built is kept outside the clone, in ZABKEEPER_CACHE (default: the user's
# cache folder), so that it is built once per machine: the target folder, RocksDB, Java's jars.

SHELL := /bin/bash
.DEFAULT_GOAL := help

export ZABKEEPER_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/zabkeeper
export CARGO_TARGET_DIR := $(or $(ZABKEEPER_TARGET),$(ZABKEEPER_CACHE)/target)
BINARY := $(CARGO_TARGET_DIR)/release/zabkeeper

# RocksDB's C++ takes longer than all the rest together. It is compiled once for a version, apart
# from the workspace, so that no other change of a dependency compiles it again.
ROCKSDB_VERSION := $(shell awk '/^name = "librocksdb-sys"/ {getline; gsub(/[",]/, "", $$3); print $$3}' Cargo.lock)
ROCKSDB := $(ZABKEEPER_CACHE)/rocksdb/$(ROCKSDB_VERSION)
export ROCKSDB_LIB_DIR := $(ROCKSDB)
export ROCKSDB_STATIC := 1

SCRIPTS := compat-tests/scripts
STAGE := $(SCRIPTS)/stage.sh

.PHONY: help run ensemble test check soak sim compare setup setup-run rocksdb build advisories fmt

help:
	@echo 'make run      build, then serve on 127.0.0.1:2181 (data in ./zabkeeper-data)'
	@echo 'make ensemble build, then three servers on 127.0.0.1:2181 to 2183 that form an ensemble'
	@echo 'make test     everything that CI runs'
	@echo 'make check    format, lint, unit tests, a thousand differential operations'
	@echo 'make soak     the same tests for longer'
	@echo 'make sim      tens of thousands of seeds of the simulator, one server and ensembles'
	@echo 'make compare  the measured comparison with Apache ZooKeeper'
	@echo 'make advisories  known vulnerabilities of dependencies (needs the network)'

# What the build needs, and nothing of what only the tests need.
setup-run:
	@$(SCRIPTS)/setup.sh build

setup:
	@$(SCRIPTS)/setup.sh

rocksdb: $(ROCKSDB)/librocksdb.a

$(ROCKSDB)/librocksdb.a:
	@echo 'building RocksDB $(ROCKSDB_VERSION) once (some 15 minutes on two cores)'
	ROCKSDB_COMPILE=1 CARGO_TARGET_DIR=$(ZABKEEPER_CACHE)/rocksdb/build cargo build --release --locked -p librocksdb-sys
	@mkdir -p $(ROCKSDB)
	@cp "$$(ls -t $(ZABKEEPER_CACHE)/rocksdb/build/release/build/librocksdb-sys-*/out/librocksdb.a | head -1)" $@.tmp
	@mv $@.tmp $@
	@rm -rf $(ZABKEEPER_CACHE)/rocksdb/build

build: rocksdb
	cargo build --release --locked --bin zabkeeper

run: setup-run build
	@exec $(BINARY) serve

ensemble: setup-run build
	@exec $(BINARY) ensemble 3

fmt:
	cargo fmt --all

test: setup
	@$(SCRIPTS)/test.sh

check: setup rocksdb
	@$(SCRIPTS)/test.sh check

soak: setup rocksdb
	@$(SCRIPTS)/test.sh soak

sim:
	cargo build --release --locked -p zk-sim
	$(CARGO_TARGET_DIR)/release/sim --seeds 0..20000 --require-coverage --threads 2
	$(CARGO_TARGET_DIR)/release/sim --cluster --seeds 0..30000 --require-coverage --threads 2
	$(SCRIPTS)/must-fail.sh $(CARGO_TARGET_DIR)/release/sim --seeds 0..20 --no-fsync

compare: setup build
	benches/compare --zabkeeper $(BINARY)

advisories:
	@$(SCRIPTS)/deny.sh advisories
