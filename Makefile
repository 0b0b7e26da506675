# `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
LAB := $(TARGET)/debug/lab
MODEL := $(CARGO) run --profile model -p hybridnet-operator --features simulation --bin hybridnet-model --
TRIPLE := $(shell uname -m)-unknown-linux-gnu
# What needs root or a cluster is behind features, so that plain `cargo test` needs nothing.
ROOT_FEATURES := hybridnet-tests/cluster,hybridnet-node/root-tests,hybridnet-cni/root-tests
# Every tier selects the whole workspace: with other packages cargo unifies the features of dependencies
# otherwise, and compiles them anew.
ROOT_TEST := $(CARGO) test --workspace --features $(ROOT_FEATURES)
# Several clusters at once would only slow each other down.
ONE_BY_ONE := -- --test-threads=1
# The image that cluster tests and demo install; built by `make image`.
export HYBRIDNET_IMAGE ?= $(abspath $(TARGET))/hybridnet.tar

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: lab image ## A cluster of 3 nodes with our chart: who reaches whom (stays until `make down`)
	@$(LAB) demo

down: lab ## End every cluster that demo and tests have left on this machine
	@$(LAB) down --all

fmt: ## Check the formatting
	$(CARGO) fmt --all --check

clippy: ## Lint everything
	$(CARGO) clippy --workspace --all-targets --features $(ROOT_FEATURES) -- -D warnings

generated: ## Check that config/ and the chart carry what api/ generates
	$(CARGO) test -p hybridnet-api --features crd --test generated

generate: ## Write what api/ generates
	$(CARGO) run -p hybridnet-api --features crd --bin crds

scenarios: ## Write which test covers which scenario of the spec into tests/scenarios/
	$(CARGO) test -q -p hybridnet-tests --test scenarios -- --ignored

unit: ## Unit, property and model tests: no root, no cluster
	$(CARGO) test --workspace

model: ## The manager in 100 000 simulated histories with faults (SEED=n repeats one, HISTORIES=n)
	$(MODEL) $(if $(SEED),--seed $(SEED),--histories $(or $(HISTORIES),100000))

model-mutations: ## Whether the model test catches faults that are put into the manager
	$(MODEL) --mutations --histories 20000

datapath: ## Plugin and node against this machine's kernel (root)
	$(ROOT_TEST) --test netns --test cni_pod --test firewall --test kernel

lab: ## Build the harness, and the programs as the control-plane tier runs them
	@$(CARGO) build -q --workspace --bins

prepare: lab ## Make what clusters need: Debian packages, Kubernetes, test images (root; minutes the first time)
	@$(LAB) prepare

image: ## Build the image of all components as an OCI archive
	@images/build.sh $(HYBRIDNET_IMAGE)

harness: prepare ## The cluster harness itself, and what the chart renders (root)
	$(ROOT_TEST) --test chart
	$(ROOT_TEST) --test harness $(ONE_BY_ONE)

control-plane: prepare ## Manager and webhook against a real API server (root)
	$(ROOT_TEST) --test control_plane $(ONE_BY_ONE)

original: lab ## Build the Go project's programs for `make handover` (root; minutes the first time)
	@$(LAB) prepare --original

handover: original ## From the Go project to us and back: its manager and webhook beside ours (root)
	$(ROOT_TEST) --test handover $(ONE_BY_ONE) --skip daemons::

handover-nodes: original image ## The same with the Go project's daemons, our chart and real pods (root)
	$(ROOT_TEST) --test handover $(ONE_BY_ONE) daemons::

cluster: prepare image ## Real pods on a real cluster, installed by our chart (root)
	$(ROOT_TEST) --test cluster $(ONE_BY_ONE)
	@$(LAB) down --all

compare: prepare image ## Figures: pods' start beside the plain plugins, memory, image size (root)
	@$(LAB) compare

# The harness is built as the programs beside it are, so that a slow client is no part of a figure.
bench-control: prepare image ## Figures of the control plane: a full pool, allocations, 150 000 addresses (root)
	@RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --release --locked --target $(TRIPLE) \
	  --target-dir $(TARGET) --bin lab -p hybridnet-tests
	@status=0; for figure in full-pool allocation scale; do \
	  $(TARGET)/$(TRIPLE)/release/lab bench $$figure || status=1; done; exit $$status

# Kubernetes and the Go project are compiled while the first tiers run; what each tier said comes once more at the end.
test: fmt lab ## Every tier (root)
	@mkdir -p $(TARGET) && : > $(TARGET)/test.log
	@set +e; \
	( set -e; $(LAB) prepare --original & prepared=$$!; trap 'kill $$prepared 2>/dev/null || true' EXIT; \
	  $(MAKE) --no-print-directory clippy unit; wait $$prepared; trap - EXIT; \
	  $(MAKE) --no-print-directory datapath control-plane handover harness cluster handover-nodes; \
	) 2>&1 | tee $(TARGET)/test.log; status=$${PIPESTATUS[0]}; \
	echo; grep -E '^ +Running |^test result|^test .* FAILED' $(TARGET)/test.log || true; \
	exit $$status

.PHONY: help demo down fmt clippy generated generate scenarios unit model model-mutations datapath lab prepare image harness \
	control-plane original handover handover-nodes cluster compare bench-control test
