# `make` alone lists what there is.
.DEFAULT_GOAL := help
CARGO ?= cargo

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

fmt: ## Check the formatting
	$(CARGO) fmt --all --check

clippy: ## Lint everything
	$(CARGO) clippy --workspace --all-targets -- -D warnings

unit: ## Unit, property and model tests, and the check of generated files
	$(CARGO) test --workspace

test: fmt clippy unit ## Every tier

.PHONY: help fmt clippy unit test
