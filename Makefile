# Thin on purpose: every target is one command that also works by hand. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Runs a TypeScript file of tools, e2e or bench from source.
TSX := node --no-warnings --conditions=@kafscale/source --import tsx

# What npm writes last; newer than the lockfile exactly when the install is current.
INSTALLED := node_modules/.package-lock.json

.PHONY: help build demo cluster test test-stores e2e-k8s e2e-operator k8s kind chaos soak lint format bench bench-cluster clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): package.json package-lock.json $(wildcard packages/*/package.json)
	@# `npm ci` starts by removing node_modules, which is right for a fresh clone and rude to a running process.
	if [ -d node_modules ]; then npm install --no-save; else npm ci; fi
	@touch $(INSTALLED)

build: $(INSTALLED) ## Install what package-lock.json says and compile everything
	npm run --silent build

demo: build ## Start a broker, produce 25 messages, read 5 back in a group
	npx kafscale demo

cluster: build ## Start etcd, MinIO and three brokers here to try out, until Ctrl-C
	npx kafscale cluster

test: $(INSTALLED) ## Run every suite; SUITES=unit,lint runs only these
	$(TSX) tools/test/run.ts

test-stores: $(INSTALLED) ## Every test of the stores on every etcd; SUITES=stores on the stores that KAFSCALE_TEST_* names
	SUITES=$${SUITES:-stores,etcd-3.5,etcd-3.6} $(TSX) tools/test/run.ts

e2e-k8s: build ## Scenarios on a real Kubernetes with pods, on this machine or the one of KUBECONFIG; ONLY=pattern
	$(TSX) e2e/k8s/run.ts pods

e2e-operator: $(INSTALLED) ## The operator on a real Kubernetes API server and controllers, without pods; needs no rights
	SUITES=operator $(TSX) tools/test/run.ts

k8s: build ## A real Kubernetes on this machine and a shell with kubectl and helm in it
	$(TSX) e2e/k8s/run.ts shell

kind: ## A Kubernetes in Docker with our images and the demo cluster; needs docker, kind, kubectl and helm
	docker/kind.sh

chaos: build ## Faults by chance on a real cluster under load; MINUTES=30 SEED=7
	$(TSX) e2e/cluster/chaos.ts

soak: build ## Whether etcd stays small under a steady load; MINUTES=60 MEGABYTES=20 SAVE=1
	$(TSX) e2e/cluster/soak.ts

lint: $(INSTALLED) ## Judge the code: types, promises, who may import whom
	npm run --silent lint

format: $(INSTALLED) ## Let Prettier lay out everything
	npm run --silent format

bench: build ## Measure beside raw limits and beside Apache Kafka; SAVE=1 keeps the last table in bench/results
	$(TSX) bench/codec.bench.ts
	$(TSX) bench/fetch.bench.ts
	$(TSX) bench/cold-reads.ts
	$(TSX) bench/hostile.bench.ts
	$(TSX) bench/raw-limit/run.ts
	$(TSX) bench/raw-limit/copies.ts
	$(TSX) bench/beside-kafka/run.ts
	$(TSX) bench/cluster.ts

bench-cluster: build ## Measure one broker on etcd and a store of known latency; SCALE=0.2 for a short run
	$(TSX) bench/cluster.ts

clean: ## Remove what was built; node_modules and the test cache stay
	npm run --silent clean
