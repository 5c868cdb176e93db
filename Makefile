# Canal. `make help` lists what can be made. Sources are found by wildcard: a new file or test needs
# no entry here.

CC ?= cc
CLANG ?= clang
PYTHON ?= /usr/bin/python3
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

WARN := -Wall -Wextra -Werror -Wshadow -Wcast-qual -Wwrite-strings -Wpointer-arith \
	-Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wimplicit-fallthrough \
	-Wswitch-enum
OPTIMISE ?= -O2
# SANITIZE is set by `make asan`; fortified libc functions and ASan do not mix.
SANITIZE ?=
HARDEN := $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
HARDEN_LD := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
CPPFLAGS := -I. -D_GNU_SOURCE -DCANAL_VERSION='"$(VERSION)"'
CFLAGS := -std=gnu17 -g $(OPTIMISE) -fPIE $(WARN) $(HARDEN) $(SANITIZE) $(EXTRA_CFLAGS)
LDFLAGS := $(HARDEN_LD) $(SANITIZE)

DAEMON_PKGS := libuv libcurl json-c libnl-3.0 libnl-route-3.0 libmnl libmicrohttpd libfyaml libmd
DAEMON_LIBS = $(shell pkg-config --libs $(DAEMON_PKGS)) -lipset -lm
# The CNI plugin is started for every pod: nothing that pulls TLS or an event loop may be linked.
CNI_LIBS = $(shell pkg-config --libs json-c libmnl libmd)
CPPFLAGS += $(shell pkg-config --cflags $(DAEMON_PKGS) 2>/dev/null)

sources = $(sort $(wildcard $(1)/*.c $(1)/*/*.c $(1)/*/*/*.c))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB_SRC := $(call sources,lib)
CONFD_SRC := $(call sources,confd)
FELIX_SRC := $(call sources,felix)
CNI_SRC := $(call sources,cni)
CANALCTL_SRC := $(call sources,canalctl)
UNIT_SRC := $(call sources,test/unit)
FUZZ_SRC := $(wildcard test/fuzz/fuzz_*.c)
TOOL_SRC := $(wildcard test/tools/*.c)

BINARIES := $(if $(wildcard confd/main.c),$(BUILD)/canal-confd) $(if $(wildcard felix/main.c),$(BUILD)/canal-felix) \
	$(if $(wildcard cni/main.c),$(BUILD)/canal) $(if $(wildcard canalctl/main.c),$(BUILD)/canalctl)
ROOM_LIBS := $(BUILD)/libconfd.a $(BUILD)/libfelix.a $(BUILD)/libcni.a $(BUILD)/libcanalctl.a
UNITS := $(patsubst test/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
FUZZ_REPLAYS := $(patsubst test/fuzz/%.c,$(BUILD)/replay/%,$(FUZZ_SRC))
FUZZERS := $(patsubst test/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
TOOLS := $(patsubst test/tools/%.c,$(BUILD)/tools/%,$(TOOL_SRC))

.PHONY: all
all: $(BINARIES) $(TOOLS) ## Build the binaries

.PHONY: help
help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | sort | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

# ---- objects, one archive a room; main.c stays out so that tests link the rest -------------------
$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@$(if $(filter 1,$(V)),,echo "  CC    $<")
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

define archive
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcs $@ $^
endef
$(BUILD)/libcanal.a: $(call objects,$(LIB_SRC))
	$(archive)
$(BUILD)/libconfd.a: $(call objects,$(filter-out confd/main.c,$(CONFD_SRC)))
	$(archive)
$(BUILD)/libfelix.a: $(call objects,$(filter-out felix/main.c,$(FELIX_SRC)))
	$(archive)
$(BUILD)/libcni.a: $(call objects,$(filter-out cni/main.c,$(CNI_SRC)))
	$(archive)
$(BUILD)/libcanalctl.a: $(call objects,$(filter-out canalctl/main.c,$(CANALCTL_SRC)))
	$(archive)

define link
	@mkdir -p $(@D)
	@$(if $(filter 1,$(V)),,echo "  LINK  $@")
	$(Q)$(CC) $(LDFLAGS) -o $@ $^
endef
$(BUILD)/canal-confd: $(BUILD)/obj/confd/main.o $(BUILD)/libconfd.a $(BUILD)/libcanal.a
	$(link) $(DAEMON_LIBS)
$(BUILD)/canal-felix: $(BUILD)/obj/felix/main.o $(BUILD)/libfelix.a $(BUILD)/libcanal.a
	$(link) $(DAEMON_LIBS)
$(BUILD)/canal: $(BUILD)/obj/cni/main.o $(BUILD)/libcni.a $(BUILD)/libcanal.a
	$(link) $(CNI_LIBS)
$(BUILD)/canalctl: $(BUILD)/obj/canalctl/main.o $(BUILD)/libcanalctl.a $(BUILD)/libcanal.a
	$(link) $(CNI_LIBS)
$(BUILD)/tools/%: $(BUILD)/obj/test/tools/%.o $(ROOM_LIBS) $(BUILD)/libcanal.a
	$(link) $(DAEMON_LIBS)
$(BUILD)/unit/%: $(BUILD)/obj/test/unit/%.o $(ROOM_LIBS) $(BUILD)/libcanal.a
	$(link) $(DAEMON_LIBS) -lcmocka

.SECONDARY:

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---- tests -----------------------------------------------------------------------------------------
.PHONY: deps
deps: ## Install every Debian package that building, running and testing takes
	$(Q).ci/deps

.PHONY: units
units: $(UNITS) ## Build and run the unit tests
	$(Q).ci/run-units $(UNITS)

.PHONY: test
test: deps ## Run all tests; installs what they need
	$(Q)$(MAKE) --no-print-directory -j2 all test-tools
	$(Q).ci/test

.PHONY: test-tools
test-tools: $(UNITS) $(FUZZ_REPLAYS) $(TOOLS)

.PHONY: asan
asan: ## Run the unit tests and fuzz corpora under ASan and UBSan
	$(Q)$(MAKE) --no-print-directory -j2 BUILD=$(BUILD)/asan OPTIMISE=-O1 \
		SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" \
		units replay

.PHONY: valgrind
valgrind: $(UNITS) ## Run the unit tests under valgrind
	$(Q)WRAP="valgrind -q --error-exitcode=9 --leak-check=full --suppressions=test/valgrind.supp" \
		.ci/run-units $(UNITS)

# Fuzz targets are built twice: by clang with libFuzzer, and by any compiler with a main that replays
# the committed corpus, so that `make test` covers every input that ever mattered.
$(BUILD)/replay/%: $(BUILD)/obj/test/fuzz/%.o $(BUILD)/obj/test/fuzz/replay/main.o $(ROOM_LIBS) $(BUILD)/libcanal.a
	$(link) $(DAEMON_LIBS)

.PHONY: replay
replay: $(FUZZ_REPLAYS) ## Replay the fuzz corpora
	$(Q).ci/run-replays $(BUILD) $(FUZZ_REPLAYS)

TIME ?= 60
FUZZ ?= $(patsubst test/fuzz/fuzz_%.c,%,$(FUZZ_SRC))
.PHONY: fuzz
fuzz: ## Run libFuzzer on every target (FUZZ=names), TIME seconds each
	$(Q)$(MAKE) --no-print-directory -j2 BUILD=$(BUILD)/libfuzzer CC=$(CLANG) OPTIMISE=-O1 \
		SANITIZE="-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all" fuzzers
	$(Q).ci/run-fuzz $(BUILD)/libfuzzer/fuzz $(TIME) $(FUZZ)

.PHONY: fuzzers
fuzzers: $(FUZZERS)
$(BUILD)/fuzz/%: $(BUILD)/obj/test/fuzz/%.o $(ROOM_LIBS) $(BUILD)/libcanal.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(DAEMON_LIBS)

.PHONY: golden-update
golden-update: all ## Write the golden pairs anew; read the diff before committing it
	$(Q)test/golden/confd.py

.PHONY: lint
lint: ## Check formatting, clang-tidy, layers, shell and Python
	$(Q).ci/lint

.PHONY: print-cppflags
print-cppflags:
	@echo '$(filter-out -DCANAL_VERSION%,$(CPPFLAGS)) -DCANAL_VERSION=\"lint\"'

.PHONY: demo
demo: deps ## Two zones and two racks, routed end to end (KEEP=1 leaves the lab up)
	$(Q)$(MAKE) --no-print-directory -j2 all
	$(Q)test/demo/run

.PHONY: bench
bench: deps ## Print the benchmark table; raw lines go to bench/
	$(Q)$(MAKE) --no-print-directory -j2 all test-tools
	$(Q)test/bench/run

N ?= 2000
SEED ?= 0
SAMPLE ?= 1000
# The packets of each backend in four parts, which may run side by side.
RANDOM_PARTS = $(foreach backend,nft legacy,$(foreach part,0 1 2 3,policy-random-$(backend)-$(part)))
.PHONY: policy-random policy-random-sets $(RANDOM_PARTS)
policy-random: deps ## Hold N random policy sets from SEED on against felix and packets (-j: in parts)
	$(Q)$(MAKE) --no-print-directory all $(BUILD)/tools/policy-eval
	$(Q)$(MAKE) --no-print-directory --keep-going policy-random-sets $(RANDOM_PARTS)

policy-random-sets:
	$(Q)test/policy/random_sets.py --count $(N) --seed $(SEED)
$(RANDOM_PARTS):
	$(Q)set -- $(subst -, ,$@); test/policy/random_packets.py --backend $$3 --sample $(SAMPLE) \
		--seed $$(($(SEED) + $(N) * $$4 / 4)) --count $$(($(N) * ($$4 + 1) / 4 - $(N) * $$4 / 4))

.PHONY: settings-page
settings-page: $(BUILD)/canal-confd $(BUILD)/canal-felix ## Print docs/settings.md from the programs' own tables
	@cat docs/settings.head.md
	@$(BUILD)/canal-confd --help-markdown
	@$(BUILD)/canal-felix --help-markdown

.PHONY: install
install: all ## Install binaries, templates and the CNI plugin below DESTDIR
	install -D -m 755 $(BUILD)/canal-confd $(DESTDIR)$(PREFIX)/bin/canal-confd
	install -D -m 755 $(BUILD)/canal-felix $(DESTDIR)$(PREFIX)/bin/canal-felix
	install -D -m 755 $(BUILD)/canalctl $(DESTDIR)$(PREFIX)/bin/canalctl
	install -D -m 755 $(BUILD)/canal $(DESTDIR)/opt/cni/bin/canal
	install -d $(DESTDIR)$(PREFIX)/share/canal/bird-templates
	install -m 644 bird-templates/* $(DESTDIR)$(PREFIX)/share/canal/bird-templates/

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(BUILD)

.PHONY: format
format: ## Format all C sources
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format -i

.SECONDARY:

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
