# What is here: make help.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Passed on to what a target runs: make demo ARGS=--exit, make test ARGS='-run Drift -v'.
ARGS ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Kustomize would load plugins, which we do not let it: for that the linker keeps every symbol of a program, 17 MiB of
# a spoke's binary and 21 MiB of its memory. All targets compile with the tag, so that nothing is compiled twice; test/lab
# builds programs with it, too. Whoever runs them keeps flags and tags of their own.
TAGS := kustomize_disable_go_plugin_support
comma := ,
OWN := $(shell go env GOFLAGS 2>/dev/null)
export GOFLAGS := $(strip $(filter-out -tags=%,$(OWN)) -tags=$(TAGS)$(patsubst -tags=%,$(comma)%,$(filter -tags=%,$(OWN))))

# Tools are pinned in a module of their own.
TOOL := go tool -modfile=proto/tools/go.mod
BUF_GENERATE := $(TOOL) buf generate --template proto/buf.gen.yaml

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: build
build: ## Build flotilla-hub, flotilla-spoke, flotilla-helm and fleetctl into bin/
	go build -buildvcs=false -ldflags '-X flotilla.dev/flotilla/pkg/telemetry.version=$(VERSION)' -o bin/ \
		./hub/cmd/flotilla-hub ./hub/cmd/fleetctl ./spoke/cmd/flotilla-spoke ./spoke/cmd/flotilla-helm

# The demo is a child of make itself, without go run between, so that it notices when make is gone.
.PHONY: demo
demo: ## Run a hub and three clusters on this machine until Ctrl-C; ARGS=--exit: end when all are ready
	@echo 'Building the demo; the first time this takes minutes.'
	@go build -buildvcs=false -o bin/demo ./test/demo
	@exec bin/demo $(ARGS)

.PHONY: test
test: setup ## Run every test, from units to a whole fleet with the built binaries
	go test -vet=off -timeout 20m $(ARGS) ./...

# What hostile input may reach has a target, which go test runs with its seeds alone. Each is given FUZZTIME here, two side
# by side with a worker each: two dozen of them, as there are, take six minutes on two cores, beside what it takes to
# compile them. ARGS is a pattern of packages and names: make fuzz ARGS=hub/hook.
FUZZTIME ?= 30s

.PHONY: fuzz
fuzz: ## Fuzz whatever has a fuzz target, each for FUZZTIME=30s; ARGS chooses
	@grep -rE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*\(' hub pkg spoke test | \
		sed -E 's|^(.*)/[^/]*:func (Fuzz[A-Za-z0-9_]*).*|./\1 \2|' | grep -E -e '$(or $(ARGS),.)' | sort | \
		xargs -P 2 -L 1 bash -c 'exec test/fuzz.sh "$$1" "$$2" $(FUZZTIME)' _

# ARGS choose among the benchmarks of a fleet. Without them come those of builds first, beside kustomize's own, which takes
# a minute and a half for 5,000 objects alone, and 5,000 random trees that have to be built as kustomize builds them; then
# a commit of one file in a large repository, beside Git's own fetch of it.
.PHONY: bench
bench: setup ## Print the benchmarks as tables
ifndef ARGS
	go test -vet=off -count=1 -timeout 20m -run '^$$' -bench AgainstKustomize -benchtime 1x ./pkg/build
	go test -vet=off -count=1 -timeout 60m -run MakesOfAnyTreeWhatKustomizeMakes -v ./pkg/build -trees=5000
	go test -vet=off -count=1 -timeout 20m -run '^$$' -bench OneFileChanged -benchtime 20x ./hub/source/git
endif
	go run ./test/bench $(ARGS)

.PHONY: setup
setup: ## Install Postgres if need be, and build the Kubernetes binary for tests
	@echo 'Preparing what the tests need; the first time this takes minutes.'
	@go run ./test/setup

.PHONY: generate
generate: ## Generate Go from the .proto files anew
	find proto -name '*.pb.go' -delete
	$(BUF_GENERATE)

# Off is ST1005, lower-case errors: ours begin with the object they are about, as people write it: Cluster/eu-1.
CHECKS := inherit,-ST1005

# No other target compiles what is behind the tag cloudkms. On a busy machine of 2 cores the vet of it took 84 s the first
# time, most of it for the SDKs of the cloud providers, and 7 s from then on.
.PHONY: lint
lint: ## Check format, vet, staticcheck, the .proto files and who imports whom
	@unformatted=$$(gofmt -l hub pkg proto spoke test); \
		if [ -n "$$unformatted" ]; then printf 'not as gofmt writes it:\n%s\n' "$$unformatted"; exit 1; fi
	go vet ./...
	go vet -tags '$(TAGS),cloudkms' ./spoke/decrypt
	$(TOOL) staticcheck -checks $(CHECKS) ./...
	$(TOOL) buf lint
	go test -vet=off -count=1 ./test/arch

# Into a directory of its own, so that a failed check changes nothing.
.PHONY: verify
verify: ## Fail when generated files are not what their sources give
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
		echo '$(BUF_GENERATE)'; $(BUF_GENERATE) -o "$$fresh"; \
		diff -r --exclude='*.proto' --exclude='*.yaml' --exclude=tools "$$fresh/proto" proto || \
			{ echo 'generated files differ from their sources: run make generate'; exit 1; }

.PHONY: clean
clean: ## Remove bin/
	rm -rf bin
