# `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
LAB := $(TARGET)/debug/lab
# What needs root or a cluster is behind features, so that plain `cargo test` needs nothing.
ROOT_FEATURES := hybridnet-tests/cluster,hybridnet-node/root-tests,hybridnet-cni/root-tests
# Several clusters at once would only slow each other down.
CLUSTER_TEST := $(CARGO) test -p hybridnet-tests --features cluster
CLUSTER_TEST_ARGS := -- --test-threads=1
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

unit: ## Unit, property and model tests: no root, no cluster
	$(CARGO) test --workspace

datapath: ## Plugin and node against this machine's kernel (root)
	$(CARGO) test -p hybridnet-cni -p hybridnet-node --features hybridnet-cni/root-tests,hybridnet-node/root-tests

lab: ## Build the harness
	@$(CARGO) build -q -p hybridnet-tests --bins

prepare: lab ## Make what clusters need: Debian packages, Kubernetes, test images (root; minutes the first time)
	@$(LAB) prepare

image: ## Build the image of all components as an OCI archive
	@images/build.sh $(HYBRIDNET_IMAGE)

programs:
	$(CARGO) build -p hybridnet-operator -p hybridnet-webhook -p hybridnet-node -p hybridnet-cni --bins

harness: prepare ## The cluster harness itself (root)
	$(CLUSTER_TEST) --test harness $(CLUSTER_TEST_ARGS)

control-plane: prepare programs ## Manager and webhook against a real API server (root)
	$(CLUSTER_TEST) --test control_plane $(CLUSTER_TEST_ARGS)

cluster: prepare image ## Real pods on a real cluster, installed by our chart (root)
	$(CLUSTER_TEST) --test cluster $(CLUSTER_TEST_ARGS)
	@$(LAB) down --all

compare: prepare image ## Figures: pods' start beside the plain plugins, memory, image size (root)
	@$(LAB) compare

# Kubernetes is compiled while the first tiers run; what each tier said comes once more at the end.
test: fmt lab ## Every tier (root)
	@mkdir -p $(TARGET) && : > $(TARGET)/test.log
	@set +e; \
	( set -e; $(LAB) prepare & prepared=$$!; trap 'kill $$prepared 2>/dev/null || true' EXIT; \
	  $(MAKE) --no-print-directory clippy unit; wait $$prepared; trap - EXIT; \
	  $(MAKE) --no-print-directory datapath control-plane harness cluster; \
	) 2>&1 | tee $(TARGET)/test.log; status=$${PIPESTATUS[0]}; \
	echo; grep -E '^ +Running |^test result|^test .* FAILED' $(TARGET)/test.log || true; \
	exit $$status

.PHONY: help demo down fmt clippy generated generate unit datapath lab prepare image programs harness \
	control-plane cluster compare test
