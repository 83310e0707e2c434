# A thin front: everything behind it is meson and ninja. `make help` lists the targets.
BUILD   ?= build
ASAN    ?= build-asan
FUZZ    ?= build-fuzz
COVERAGE ?= build-coverage
PREFIX  ?=
DESTDIR ?=
FUZZ_SECONDS ?= 60
CRASH_STEP ?= 1
NINJA   := ninja

.PHONY: all binaries kernel kernel-docker demo test test-unit test-box test-docker test-lab test-lab-more test-crash lint fuzz coverage bench bench-lab install clean deps help
.DEFAULT_GOAL := all

all: binaries kernel ## build Boxlet and its guest kernel (the kernel once: it is cached outside the tree)

$(BUILD)/build.ninja:
	@tools/deps --check build
	meson setup $(BUILD) --prefix=$(or $(PREFIX),/usr/local)

binaries: $(BUILD)/build.ninja
	$(NINJA) -C $(BUILD)

kernel: ## build the guest kernel, flavour lean
	@tools/link-kernel lean $(BUILD)/kernel

kernel-docker: ## build the guest kernel, flavour docker
	@tools/link-kernel docker $(BUILD)/kernel

deps: ## install the Debian packages that are missing
	@tools/deps

demo: ## install, build, make a small image, run a box
	@tools/demo

test: ## all tests, with everything they need installed
	@tools/deps
	@$(MAKE) --no-print-directory all
	@tests/run

test-crash: ## kill -9, ENOSPC, EIO and ENOMEM at every system call of create, rm, pull, start, ...: a night; CRASH_STEP=97 for a sample
	@tools/deps
	@$(MAKE) --no-print-directory all
	@tests/crash/run --step $(CRASH_STEP)
	@set -e; for fault in ENOSPC ENOSPC+ EIO EIO+ ENOMEM ENOMEM+; do tests/crash/run --fault $$fault --step $(CRASH_STEP); done

test-unit test-box test-docker test-lab test-lab-more: test-%:
	@tools/deps
	@$(MAKE) --no-print-directory all
	@tests/run $*

lint: ## layout, static analysis, layers, documents
	@tools/deps build test
	@tools/lint

fuzz: ## each fuzz target for FUZZ_SECONDS
	@tools/deps build test
	@tools/fuzz $(FUZZ) $(FUZZ_SECONDS)

coverage: ## which lines of the virtio devices the unit tests and fuzz corpora run
	@tools/deps build test
	@tools/coverage $(COVERAGE)

bench: ## the figures beside their budgets
	@tools/deps
	@$(MAKE) --no-print-directory all
	@bench/run

bench-lab: all ## engine kvm beside QEMU, in the lab
	@tools/deps
	@tests/lab/run --time 1800 -- bench/run lab

install: $(BUILD)/build.ninja ## PREFIX (/usr/local, or that of the last time), DESTDIR
	@tools/install $(BUILD) "$(PREFIX)" "$(DESTDIR)"

clean: ## remove the build folders (the cached kernel stays)
	rm -rf $(BUILD) $(ASAN) $(FUZZ) $(COVERAGE) build-install

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile
