# weft. "make" lists the targets.

SHELL := /bin/sh
VERSION := devel
BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"
GOLANGCI_LINT := .tools/golangci-lint-2.15.0/golangci-lint
CYCLONEDX_GOMOD := .tools/cyclonedx-gomod-1.10.0/cyclonedx-gomod
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
# The root module has weft and its demo; the other modules have additional dependencies.
MODULES := . examples/legacy bench

.PHONY: help
help: ## list the targets
	@echo "weft adds data from MongoDB to the responses of a REST service, inside Envoy. Targets:"
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1	/p' $(MAKEFILE_LIST) | expand -t 12
	@echo 'Start with "make run". To change weft: "make test" and "make lint".'

.PHONY: run
run: servers build ## start mongod, a legacy service, weft and Envoy; configure with PORT, ADMIN_PORT, WEFT_ADMIN_PORT, LEGACY_PORT, MONGODB_PORT, DATA, LEGACY, MONGODB_URI, MODE=module
	@exec bin/demo -weft bin/weft -legacy bin/legacy

PAGE := examples/client/dist
.PHONY: demo
demo: servers build $(filter examples/client/dist,$(PAGE)) ## make run with a page that breaks its processes and shows the answers; needs npm. PAGE=directory serves your own; MODE=module
	@exec bin/demo -weft bin/weft -legacy bin/legacy -page '$(PAGE)'

.PHONY: examples/client/dist
examples/client/dist: examples/client/node_modules/.package-lock.json
	@echo "building the page …"; cd examples/client && npm run --silent build

examples/client/node_modules/.package-lock.json: examples/client/package-lock.json
	@command -v npm >/dev/null || { echo 'npm is missing; install Node.js 20.19, 22.13, 24 or newer with npm, or use make run, which needs none' >&2; exit 1; }
	@echo "fetching the dependencies of the page …"; cd examples/client && npm ci --loglevel=error && touch node_modules/.package-lock.json || \
	  { echo 'the dependencies of the page cannot be fetched, for the reason above; make run needs neither Node.js nor npm' >&2; exit 1; }

.PHONY: graphql
graphql: servers build examples/graphql/node_modules/.package-lock.json ## make run with examples/graphql/rules.yaml, and a GraphQL gateway on port 4000 (GRAPHQL_PORT); needs npm
	@bin/weft openapi --rules examples/graphql/rules.yaml >examples/graphql/openapi.json
	@trap 'exit 0' INT TERM; trap 'kill $$demo 2>/dev/null; wait $$demo' EXIT; \
	  WEFT_RULES=$(CURDIR)/examples/graphql/rules.yaml bin/demo -weft bin/weft -legacy bin/legacy & demo=$$!; \
	  cd examples/graphql && WEFT_URL=http://127.0.0.1:$${PORT:-10000} npm start --silent

.PHONY: test-graphql
test-graphql: servers build examples/graphql/node_modules/.package-lock.json ## test the GraphQL gateway, against a complete demo; needs npm
	@cd examples/graphql && npm test --silent

examples/graphql/node_modules/.package-lock.json: examples/graphql/package-lock.json
	@command -v npm >/dev/null || { echo 'npm is missing; install Node.js 20.19 or newer with npm' >&2; exit 1; }
	@echo "fetching the dependencies of the gateway …"; cd examples/graphql && npm ci --loglevel=error --ignore-scripts && touch node_modules/.package-lock.json

.PHONY: test
test: tools go ## run all tests, with the real Envoy and the real mongod
	@status=0; for module in $(MODULES); do echo "testing $$module …"; fresh=; \
	  if [ $$module = bench ]; then fresh=-count=1; fi; : it builds and runs weft, which the test cache does not notice; \
	  (cd $$module && go test -race -timeout 14m $$fresh ./...) || status=1; done; exit $$status

.PHONY: transparency
transparency: tools go ## what Envoy and weft change of requests and responses, as a table; a part of make test
	@out=$$(go test -count=1 -run '^TestTransparency$$' -v ./test/envoy) || { echo "$$out" | grep -v '^ *--- PASS\|^=== RUN'; exit 1; }; \
	  echo "$$out" | sed -n '/^case /,/^--- /p' | sed '/^--- /d'

.PHONY: test-page
test-page: page-tools servers build examples/client/dist ## test the page in Chromium, against a complete demo; writes docs/images if the page looks different
	@cd examples/client && npm run --silent lint && npm test --silent

# The browser and the fonts of the page. Without fc-match, the test itself looks for the fonts.
.PHONY: page-tools
page-tools:
	@command -v "$${CHROMIUM:-/usr/bin/chromium}" >/dev/null || { echo 'Chromium is missing; on Debian: apt-get install chromium fonts-inter fonts-jetbrains-mono, elsewhere: CHROMIUM=path make test-page' >&2; exit 1; }
	@! command -v fc-match >/dev/null || for font in Inter 'JetBrains Mono'; do case "$$(fc-match -f '%{family}' "$$font")" in \
	  "$$font"*) ;; *) echo "the font $$font is missing; on Debian: apt-get install fonts-inter fonts-jetbrains-mono, elsewhere install Inter and JetBrains Mono" >&2; exit 1 ;; \
	  esac; done

PROOFS := ./...
# The tools of Istio and Envoy Gateway take longest to build, and only some tests need them. -trimpath is as for the tools, so
# that packages which they share are compiled once.
K8S_QUICK = $(if $(filter-out ./manifests ./image ./standalone ./mongodb,$(PROOFS)),,quick)
.PHONY: test-k8s
test-k8s: tools k8s-tools $(GOLANGCI_LINT) ## test the manifests in k8s/ with the code of an API server, istiod and Envoy Gateway, and a real Envoy; PROOFS="./manifests ./image ./standalone ./mongodb" is quicker
	@cd test/k8s && export GOFLAGS="$$(go env GOFLAGS) -trimpath" && $(CURDIR)/$(GOLANGCI_LINT) run $(PROOFS) && go test -timeout 20m -count=1 -v $(PROOFS)

.PHONY: k8s-tools
k8s-tools: go ## build the tools that test-k8s needs into .tools/k8s/ (ten minutes, once)
	@echo "building the tools of the tests of k8s/, if they are missing …"
	@test/k8s/tools/install.sh .tools/k8s $(K8S_QUICK)

.PHONY: k8s
k8s: build ## generate Envoy's part of k8s/, after a change of k8s/base/rules.yaml
	@PATH="$(CURDIR)/bin:$$PATH" k8s/generate.sh

FUZZTIME := 10s
.PHONY: fuzz
fuzz: go ## run each fuzz target for FUZZTIME=10s
	@set -e; for package in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "fuzzing $$package $$target …"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
	  done; \
	done

.PHONY: chaos
chaos: tools build ## kill, freeze and stop each process under 64 clients, with and without caches, and check every answer (ten minutes); CHAOS="-for 5s -only caches" is quicker; MODE=module
	@bin/chaos -weft bin/weft -legacy bin/legacy $(if $(filter module,$(MODE)),-library bin/libweft.so) $(CHAOS)

# Checks out the commit BASE in $$old/tree, which is removed when the shell ends.
CHECKOUT = old=$$(mktemp -d); trap 'git worktree remove --force "$$old/tree"; rm -rf "$$old"' EXIT; \
	git worktree add -q --detach "$$old/tree" $(or $(BASE),HEAD~1)

.PHONY: bench
bench: servers build .tools/bench-python ## compare weft with its alternatives; results in bin/results; BASE=commit measures another weft, too; BENCH="-only weft,no-op -for 1s" is quicker
	@cd bench && $(BUILD) -o ../bin/bench .
ifdef BASE
	@echo "building weft of $(BASE) …"
	@$(CHECKOUT) && (cd "$$old/tree" && $(BUILD) \
	  -ldflags "-s -w -X main.version=$$(git rev-parse --short HEAD)" -o $(CURDIR)/bin/weft-before .)
endif
	@if command -v "$${CC:-gcc}" >/dev/null; then \
	  "$${CC:-gcc}" -O2 -shared -fPIC -Wl,--unresolved-symbols=ignore-all -o bin/libnoop.so bench/noopmodule/noop.c; fi
	@bin/bench -weft bin/weft $(addprefix -module ,$(wildcard bin/libweft.so)) $(addprefix -noop-module ,$(wildcard bin/libnoop.so)) $(if $(BASE),-baseline bin/weft-before) -python .tools/bench-python/bin/python $(BENCH)

MICRO := go test -run '^$$' -bench . -benchmem -count 8 ./enrich ./enrich/mongostore ./extproc
.PHONY: benchstat
benchstat: tools go ## compare the micro-benchmarks of a commit, BASE=HEAD~1, with this tree
	@$(CHECKOUT) && ln -s $(CURDIR)/.tools "$$old/tree/.tools" && \
	echo "measuring $(or $(BASE),HEAD~1) …" && (cd "$$old/tree" && $(MICRO) >"$$old/before") && \
	echo "measuring this tree …" && $(MICRO) >"$$old/after" && cd bench && go tool benchstat "$$old/before" "$$old/after"

.tools/bench-python: bench/aggregator/requirements.txt
	@rm -rf $@; python3 -m venv $@ && $@/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@

# The library for weft in Envoy's process.
LIBRARY := CGO_ENABLED=1 go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"
.PHONY: build
build: go ## build weft and the demo's programs into bin/, and libweft.so if there is a C compiler
	@echo "building weft …"
	@$(BUILD) -o bin/weft .
	@echo "building the demo …"
	@$(BUILD) -o bin/ ./examples/demo ./examples/chaos
	@cd examples/legacy && $(BUILD) -o ../../bin/ .
	@if command -v "$${CC:-gcc}" >/dev/null; then echo "building libweft.so …"; $(LIBRARY) -o bin/libweft.so ./envoy/module/libweft && rm bin/libweft.h; \
	else echo "libweft.so, which only MODE=module needs, is not built: a C compiler is missing; install gcc"; fi

.PHONY: tools
tools: servers ## fetch Envoy, mongod and the tools of tests into .tools/, once
	@python3 test/harness/fetch_tools.py tests

.PHONY: servers
servers:
	@command -v python3 >/dev/null || { echo 'python3 is missing; install it (on Debian: apt-get install python3 python3-pip), then run make again' >&2; exit 1; }
	@python3 test/harness/fetch_tools.py

.PHONY: lint
lint: $(GOLANGCI_LINT) ## run golangci-lint over all modules, and check words, line lengths and links with test/prose/check.py
	@status=0; echo "checking words, lines and links …"; python3 test/prose/check.py || status=1; for module in $(MODULES); do echo "linting $$module …"; (cd $$module && $(CURDIR)/$(GOLANGCI_LINT) run ./...) || status=1; done; exit $$status

$(GOLANGCI_LINT): | go
	@echo "building golangci-lint 2.15.0 (some minutes, once) …"
	@mkdir -p $(@D); GOBIN=$(CURDIR)/$(@D) go install -trimpath github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 \
	  >$(@D)/build.log 2>&1 || { cat $(@D)/build.log >&2; exit 1; }

.PHONY: vuln
vuln: go ## list known vulnerabilities in dependencies; needs the vulnerability database
	@set -e; for module in $(MODULES); do echo "checking $$module …"; (cd $$module && go run $(GOVULNCHECK) ./...); done

.PHONY: sbom
sbom: build $(CYCLONEDX_GOMOD) ## write bin/weft.cdx.json: the modules of bin/weft (CycloneDX)
	@$(CYCLONEDX_GOMOD) bin -json -std -licenses -version $(VERSION) -output bin/weft.cdx.json bin/weft 2>bin/sbom.log || { cat bin/sbom.log >&2; exit 1; }
	@go version -m bin/weft | awk '$$1 == "dep" { print "pkg:golang/" $$2 "@" $$3 "?" }' >bin/sbom.log; while read -r module; do \
	  grep -qF "\"$$module" bin/weft.cdx.json || { echo "bin/weft.cdx.json: $$module is missing" >&2; exit 1; }; done <bin/sbom.log
	@rm bin/sbom.log; echo "bin/weft.cdx.json: $$(grep -c '"purl"' bin/weft.cdx.json) modules"

$(CYCLONEDX_GOMOD): | go
	@mkdir -p $(@D); GOBIN=$(CURDIR)/$(@D) go install -trimpath github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 \
	  >$(@D)/build.log 2>&1 || { cat $(@D)/build.log >&2; exit 1; }

.PHONY: image
image: ## build the container image weft:VERSION, with docker or buildah
	@if command -v docker >/dev/null; then docker build --build-arg VERSION=$(VERSION) -t weft:$(VERSION) .; \
	elif command -v buildah >/dev/null; then buildah build --build-arg VERSION=$(VERSION) -t weft:$(VERSION) .; \
	else echo 'neither docker nor buildah is installed; install one of them' >&2; exit 1; fi

.PHONY: clean
clean: ## remove bin/ and the demo's data, but not .tools/
	@rm -rf bin .demo

# If Go is missing or too old, one line says so.
GO_WANTED := $(shell sed -n 's/^go //p' go.mod)
.PHONY: go
go:
	@command -v go >/dev/null || { echo 'go is missing; install Go $(GO_WANTED) or newer, then run make again' >&2; exit 1; }
	@have=$$(go env GOVERSION | sed 's/^devel //') && \
	if [ "$$(printf '%s\n' "go$(GO_WANTED)" "$$have" | sort -V | tail -n 1)" != "$$have" ]; then \
	  echo "$$have is too old; install Go $(GO_WANTED) or newer, then run make again" >&2; exit 1; fi
