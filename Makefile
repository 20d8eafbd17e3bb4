# What one does with this repository; `make help` lists it. Everything builds into one target directory (CARGO_TARGET_DIR moves it).

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
SERVERS ?=

.DEFAULT_GOAL := help
.PHONY: help quickstart build test test-engines test-servers servers stop-servers fmt lint docs deps audit bench bench-commits bench-compact bench-read bench-tpch

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

quickstart: ## Install what is missing, build, and watch rows go from Kafka to Iceberg through a kill, with proof
	scripts/setup build
	$(CARGO) build --locked --bin weir
	$(TARGET)/debug/weir quickstart

build: ## Build everything in the lean profile
	$(CARGO) build --locked --workspace

test: ## Install what is missing, fetch the test servers, and run every test
	scripts/setup test
	@$(MAKE) --no-print-directory test-servers
	python3 -B -m unittest discover scripts/tests
	$(CARGO) test --locked --workspace

test-servers: ## Download and build the servers and the reader that tests use, into the user's cache folder
	scripts/servers fetch
	scripts/reader fetch

test-engines: ## Spark, Flink and DuckDB write, change and read tables beside us, answers compared (downloads some 700 MB; half an hour and more)
	scripts/setup test
	@$(MAKE) --no-print-directory test-servers
	$(CARGO) build --locked --bin weir
	scripts/foreign check spark --weir $(TARGET)/debug/weir
	scripts/foreign check flink --weir $(TARGET)/debug/weir
	$(CARGO) test --locked --workspace --test all -- --ignored --nocapture --test-threads 1 rewrites::engines

servers: ## Start the test servers to play with (SERVERS="kafka s3" for some of them) and print their addresses
	scripts/setup test
	scripts/servers start $(SERVERS)

stop-servers: ## Stop what `make servers` started; data and ports are kept
	scripts/servers stop

fmt: ## Format the code
	$(CARGO) fmt --all

lint: ## Clippy, without any warning
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

docs: ## Build the API documentation, without any warning
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

deps: ## Check licences, banned crates, and that there is one version of arrow, parquet, datafusion and object_store
	scripts/check_dependencies

audit: ## Look for advisories against the locked crates (needs a network)
	command -v cargo-audit >/dev/null || $(CARGO) install --locked cargo-audit
	$(CARGO) audit

bench: ## Benchmarks in release (an hour or more to build on two cores); LEAN=1 takes the lean profile, whose row path is optimised too
	scripts/setup test
	@$(MAKE) --no-print-directory test-servers
	$(CARGO) bench --locked --package weir $(if $(LEAN),--profile dev) --bench ingest -- --partitioned --epochs
	$(CARGO) bench --locked --package weir --package weir-connectors $(if $(LEAN),--profile dev) --bench decode
	$(CARGO) bench --locked --package weir --package weir-connectors $(if $(LEAN),--profile dev) --bench formats
	$(CARGO) bench --locked --package weir $(if $(LEAN),--profile dev) --bench fs
	$(CARGO) bench --locked --package weir $(if $(LEAN),--profile dev) --bench freshness
	$(CARGO) bench --locked --package weir $(if $(LEAN),--profile dev) --bench lookup
	$(CARGO) bench --locked --package weir $(if $(LEAN),--profile dev) --bench plan
	$(CARGO) bench --locked --package weir $(if $(LEAN),--profile dev) --bench upkeep

bench-commits: ## What a commit costs over 50,000 of them, fast-forwarded, in release; COMMITS=5000 makes fewer, LEAN=1 takes the lean profile
	$(CARGO) build --locked --workspace $(if $(LEAN),,--release) --example commits
	$(TARGET)/$(if $(LEAN),debug,release)/examples/commits $(COMMITS)

bench-compact: ## Copies and rewrites of small files beside the same work by hand, in release; LEAN=1 takes the lean profile, SPARK=1 has Spark do it too
	scripts/setup test
	$(CARGO) bench --locked --package weir --package weir-compaction $(if $(LEAN),--profile dev) --bench compact $(if $(SPARK),-- --spark)

bench-read: ## Queries over Iceberg tables beside DuckDB and PyIceberg, in release; LEAN=1 takes the lean profile
	scripts/setup test
	scripts/reader fetch
	$(CARGO) bench --locked --package weir $(if $(LEAN),--profile dev) --bench read

bench-tpch: ## The 22 queries of TPC-H beside DuckDB, answers compared; SCALE=1 is the default, LEAN=1 as above
	scripts/setup test
	scripts/reader fetch
	$(CARGO) bench --locked --package weir $(if $(LEAN),--profile dev) --bench tpch -- --scale $(or $(SCALE),1)
