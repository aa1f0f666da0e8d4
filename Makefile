# Every target only calls the Go tool, or a tool that test/tools pins. A fresh
# Debian 12 with Go, make and a C compiler runs build, test, demo and lint.

GO      ?= go
# What runs the suites: `make test GOTEST='go test -json'` for machines.
GOTEST  ?= $(GO) test
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# How much runs at once: the lab shares two cores with what it measures.
JOBS    ?= 2
FUZZ    ?= 60s
# How much `make bench` measures: quick or full.
BENCH   ?= quick
# How many random schedules `make sim` plays.
SEEDS   ?= 150

TOOL    := $(GO) tool -modfile=test/tools/go.mod
BUILD   := CGO_ENABLED=0 $(GO) build -p $(JOBS) -trimpath -ldflags '-s -w -X github.com/lifeboat-ha/lifeboat/cmd/app.Version=$(VERSION)'

.PHONY: all build test vet lint golangci rules units demo sim crowds mutants contract lab bench-lab vip vip-packages libvirt libvirt-packages page page-packages bench fuzz nightly packages clean

all: build test

build: # the three programs, static, into bin/
	$(BUILD) -o bin/ ./cmd/...

test: vet # vet, then every test that needs no root and no lab, with the race detector; the floor plan too
	$(GOTEST) -race -p $(JOBS) -timeout 10m $(shell $(GO) list ./... | grep -v /cmd/demo)
	$(GOTEST) -race -timeout 10m ./cmd/demo # by itself: it lives in real time

vet:
	$(GO) vet -p $(JOBS) ./...
	$(GO) vet -p $(JOBS) -tags 'lab contract vip' ./test/...

lint: golangci # and known vulnerabilities, where their database can be reached (it says so where not)
	@.ci/vulnerabilities || [ $$? -eq 2 ]

golangci: # golangci-lint, as test/tools pins it
	$(TOOL) golangci-lint run
	$(TOOL) golangci-lint fmt --diff

rules: # the alert rules, with promtool (Debian: prometheus)
	promtool check rules deploy/prometheus/lifeboat.rules.yml
	promtool test rules deploy/prometheus/lifeboat.rules.test.yml

units: # the systemd units
	.ci/units

demo: # a small cloud in this process: a host dies and is recovered
	$(BUILD) -o bin/lifeboat ./cmd/lifeboat
	bin/lifeboat demo

sim: # every scenario but the crowds, and random schedules; without the race detector, which `test` has
	LIFEBOAT_SIM_ALL=1 LIFEBOAT_SIM_SEEDS=$(SEEDS) $(GOTEST) -count=1 -timeout 30m ./test/sim

mutants: # each safety rule switched off in turn: some test must notice (an hour)
	$(GO) test -tags mutants -count=1 -timeout 5h -v ./test/mutants

contract: # the adapters against the real thing; what is not given is skipped, and .ci/run counts that
	$(GOTEST) -tags contract -count=1 -p 1 -timeout 20m ./test/contract/...

lab: # acceptance, short form: root, Debian 12, after `test/lab/lab install`
	$(GOTEST) -tags lab -count=1 -timeout 25m ./test/lab/... -run 'TestShort|TestLab'

bench-lab: # recoveries on the lab beside what its Nova needs by hand; BENCH=full: 100 servers, too. On an idle machine
	LIFEBOAT_BENCH=$(BENCH) $(GO) test -tags lab -count=1 -timeout 60m ./test/lab -run '^TestBench$$' -v

vip: # the control plane's address: root, `apt-get install $(make -s vip-packages)`; network namespaces of its own, 2.5 min
	$(GOTEST) -tags vip -count=1 -parallel 6 -timeout 10m ./test/vip

vip-packages: # what `make vip` needs of Debian; none of it is to be started by itself
	@echo keepalived haproxy nftables iproute2

libvirt: # the agent's eyes on a real libvirtd and QEMU's emulation: root, `apt-get install $(make -s libvirt-packages)`; 15 s
	$(GOTEST) -tags libvirt -count=1 -timeout 5m ./detector/guest

libvirt-packages: # what `make libvirt` needs of Debian; none of it is to be started by itself
	@echo libvirt-daemon libvirt-daemon-driver-qemu qemu-system-x86

page: # the page in a real browser: `apt-get install $(make -s page-packages)`; 10 s
	$(GOTEST) -tags browser -count=1 -timeout 5m ./evacuate/api -run '^TestPage'

page-packages: # what `make page` needs of Debian
	@echo chromium

bench: # BENCH=quick: minutes; BENCH=full: the whole table of docs/performance.md, for a night
	LIFEBOAT_BENCH=$(BENCH) $(GO) test -run '^$$' -bench . -benchmem -p 1 -timeout 8h ./...

fuzz: # each fuzz test for FUZZ, one after the other
	@set -e; for package in $$($(GO) list ./...); do \
		for name in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$name"; $(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZ) -parallel $(JOBS) $$package; \
		done; \
	done

crowds: # scenarios of 200, 500 and 1000 hosts, one after the other: each process its own
	@set -e; for file in $$(grep -lE 'hosts: (200|500|1000)\b' test/sim/scenarios/*.yaml); do name=$$(basename $$file .yaml); \
		LIFEBOAT_NIGHTLY=1 $(GOTEST) -count=1 -timeout 60m -v ./test/sim -run "^TestScenarios$$/^$$name$$"; \
	done

nightly: test lint rules units sim crowds fuzz contract vip # all of it, the whole lab last: hours
	LIFEBOAT_NIGHTLY=1 $(GOTEST) -tags lab -count=1 -timeout 6h ./test/lab/...

packages: build # .deb and .rpm of deploy/package, into bin/
	@for file in deploy/package/*.yaml; do for kind in deb rpm; do \
		VERSION=$(if $(filter v%,$(VERSION)),$(VERSION),0.0.0-$(VERSION)) ARCH=$(shell $(GO) env GOARCH) \
		$(TOOL) nfpm package --config $$file --packager $$kind --target bin/ || exit 1; done; done

clean:
	rm -rf bin
