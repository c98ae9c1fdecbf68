# Every command of the project. `make` alone lists them.

# One set of build flags for everything but the race detector, so that build,
# tests, linters and tools share one build cache.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TOOLS := .build/bin
GOLANGCI := $(TOOLS)/golangci-lint-v2.15.0
GRPCURL := $(TOOLS)/grpcurl-v1.9.4
THIRD_PARTY := .build/third_party
GENERATED := gen ent facade

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: build ## build and serve everything on loopback, with a demo, in ./data
	bin/carillon serve --demo --local-remote-root ./data/remotes

.PHONY: build
build: ## bin/carillon
	go build -ldflags '-X main.version=$(VERSION)' -o bin/carillon ./server/cmd/carillon

.PHONY: generate
generate: $(THIRD_PARTY) ## generated code, from proto/, ent/schema and the GraphQL schema
	go tool buf generate
	go tool openapiv3-merge .build/openapi/carillon/v1/*.json > gen/openapi/openapi.json
	go generate ./ent
	cd facade && go tool gqlgen generate --config gqlgen.yml

.PHONY: test
test: $(TOOLS)/withpg ## every test; starts a PostgreSQL of its own unless CARILLON_TEST_POSTGRES_URL is set
	$(TOOLS)/withpg go test ./...

.PHONY: race
race: $(TOOLS)/withpg ## every test under the race detector; needs a C compiler
	CGO_ENABLED=1 $(TOOLS)/withpg go test -race ./...

.PHONY: bench
bench: $(TOOLS)/withpg ## benchmarks, with a durable PostgreSQL
	$(TOOLS)/withpg -durable go test -run '^$$' -bench . -benchmem ./...

.PHONY: lint
lint: $(THIRD_PARTY) $(GOLANGCI) ## linters for the protos and for Go
	go tool buf lint
	go tool buf format --diff --exit-code proto
	$(GOLANGCI) run --config .ci/golangci.yml

.PHONY: verify
verify: drift breaking ## generate leaves no diff, go.mod is tidy, the API breaks nobody
	go mod tidy -diff

.PHONY: drift
drift:
	@find $(GENERATED) -type f -exec sha256sum {} + | sort -k 2 > .build/before
	$(MAKE) generate
	@find $(GENERATED) -type f -exec sha256sum {} + | sort -k 2 > .build/after
	@diff .build/before .build/after || { echo 'generated code was stale; it is fresh now: commit it'; exit 1; }

.PHONY: breaking
breaking: $(THIRD_PARTY)
	go tool buf breaking proto --against .ci/baseline.binpb --exclude-imports

.PHONY: baseline
baseline: $(THIRD_PARTY) ## accept the API as the one to break nothing of; needs a line in CHANGELOG.md
	go tool buf build proto --exclude-source-info --output .ci/baseline.binpb

.PHONY: tools
tools: $(GOLANGCI) $(GRPCURL) ## install the linter and grpcurl into .build/bin

.PHONY: clean
clean: ## remove what was built; ./data stays
	rm -rf bin .build

# Tools outside go.mod: their requirements do not agree with ours.
$(GOLANGCI):
	GOBIN=$(abspath $(TOOLS)) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv $(TOOLS)/golangci-lint $@

$(GRPCURL):
	GOBIN=$(abspath $(TOOLS)) go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
	cp $(TOOLS)/grpcurl $@

# The protos that ours import, from the modules in go.mod.
$(THIRD_PARTY): go.mod server/internal/tools/protodeps/main.go
	go run ./server/internal/tools/protodeps $@

.PHONY: $(TOOLS)/withpg
$(TOOLS)/withpg:
	go build -o $@ ./server/internal/pgtest/cmd/withpg
