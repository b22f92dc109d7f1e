# The front door. 'make demo' and 'make check' install what they need by apt-get; 'make help' lists the rest.

RELEASE ?= 1.7.8
TREE    := build/pmacct-$(RELEASE)
# for configure
CONFIGURE ?= --enable-jansson --enable-gnutls --enable-pgsql
OVERLAY := pmacct/src/reuseport

CLANG      ?= clang
BPF_TARGET ?= bpf
# -idirafter: where Debian keeps asm/types.h, asked when gcc is there; -mcpu=v3 is what Linux 5.1 and newer run
BPF_CFLAGS = -target $(BPF_TARGET) -mcpu=v3 -O2 -g -Wall -Wextra -Werror -ffile-prefix-map=$(CURDIR)=. -I$(OVERLAY) \
	$(addprefix -idirafter /usr/include/,$(shell gcc -print-multiarch 2>/dev/null))
TOOL_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -ffile-prefix-map=$(CURDIR)=. -I$(OVERLAY)

TOOLS := $(patsubst %.c,tests/bin/%,$(notdir $(filter-out %.bpf.c,$(wildcard tests/*.c bench/*.c)))) tests/bin/exporter tests/bin/cost bench/decision.o

.PHONY: help build bpf debug install demo check check-quick check-tools bench lint clean
.PHONY: check-releases check-kernels check-libbpf check-compilers check-debian check-commits check-systemd
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# No built-in rules: the host's compiler would make what no rule here does
.SUFFIXES:

help:
	@echo "make build   patched pmacct $(RELEASE) in $(TREE), and what 'make bpf' makes"
	@echo "make demo    the same, then exporters, routers and three instances that share one port"
	@echo "make check   the tests; T=40: tests/40*.t alone; CHECK_STRICT=1: a skipped one fails"
	@echo "make check-quick  in two minutes: lint, hash, selector, group, tool and one test of the daemons"
	@echo "make bench   what it costs and how it scales, beside the alternatives: tables and a plot, in some 20 minutes"
	@echo "             longer ones, each with --help in scripts/:"
	@echo "make check-releases  every release of pmacct that can be had"
	@echo "make check-kernels, check-libbpf, check-compilers  Debian's kernels in qemu; other releases of libbpf; other compilers"
	@echo "make check-debian, check-commits  Debian's package with the series in it; pmacct after each patch of the series"
	@echo "make check-systemd   the units, run by systemd in qemu: start, upgrade, reboot"
	@echo "make install PREFIX=$(PREFIX) DESTDIR=   what 'make bpf' makes, units and examples; pmacct has its own"
	@echo "make lint    the checks of the source and the patches"
	@echo "make bpf     bpf/reuseport.o and reuseportctl/reuseportctl alone; BPF_TARGET=bpfeb: for a big-endian machine"
	@echo "make debug   bpf/reuseport-debug.o: the same selector, which says each decision in the kernel's trace"
	@echo "make clean   removes what was built"

build: $(TREE)/.built bpf

bpf: bpf/reuseport.o reuseportctl/reuseportctl

CTL := $(patsubst %,reuseportctl/%.c,reuseportctl status steer pair sockets) $(OVERLAY)/group.c

reuseportctl/reuseportctl: $(CTL) $(wildcard reuseportctl/*.h $(OVERLAY)/*.h) | build/.deps-build
	$(CC) $(TOOL_CFLAGS) $(CPPFLAGS) $(CFLAGS) -o $@ $(CTL) $(LDFLAGS) -lbpf -lmnl -ljansson

OBJECT_HEADERS := $(OVERLAY)/reuseport_abi.h $(OVERLAY)/reuseport_hash.h bpf/reuseport_trace.h

# Also the variants that the tests make of it, and the programs that the benchmark has beside it
%.o: %.bpf.c $(OBJECT_HEADERS) | build/.deps-build
	$(CLANG) $(BPF_CFLAGS) -Ibpf -c $< -o $@

debug: bpf/reuseport-debug.o

bpf/reuseport-debug.o: bpf/reuseport.bpf.c $(OBJECT_HEADERS) | build/.deps-build
	$(CLANG) $(BPF_CFLAGS) -DRP_DEBUG -c $< -o $@

build/pristine-$(RELEASE): | build/.deps-build
	scripts/fetch --release $(RELEASE) $@

# From the pristine source each time: patches and overlay are small, and a half-patched tree is worth nothing
$(TREE)/.built: Makefile configure.ac.patch $(wildcard patches/* patches/*/*) $(wildcard $(OVERLAY)/*) | build/pristine-$(RELEASE)
	rm -rf $(TREE)
	cp -R build/pristine-$(RELEASE) $(TREE)
	scripts/apply $(TREE)
	scripts/build $(TREE) $(CONFIGURE)
	touch $@

# Two more for the tests, as fast as they can be had: unpatched and patched, with upstream's own feature for the same end
EBPF_FLAGS = --enable-ebpf --disable-bgp-bins --disable-st-bins --without-external-deps \
	CFLAGS=-O0 CPPFLAGS=-I$(CURDIR)/$(TREE)/src/external_libs/rootfs/include LDFLAGS=-L$(CURDIR)/$(TREE)/src/external_libs/rootfs/lib

build/stock-$(RELEASE)/.built: | $(TREE)/.built
	rm -rf $(@D)
	cp -R build/pristine-$(RELEASE) $(@D)
	scripts/build --unpatched $(@D) $(EBPF_FLAGS)
	touch $@

build/ebpf-$(RELEASE)/.built: $(TREE)/.built
	rm -rf $(@D)
	cp -R build/pristine-$(RELEASE) $(@D)
	scripts/apply $(@D)
	scripts/build $(@D) $(EBPF_FLAGS)
	touch $@

# PREFIX as pmacct's own. DESTDIR stages: the files know nothing of it
PREFIX ?= /usr/local
TO      = $(DESTDIR)$(PREFIX)

install: bpf
	install -D -m 644 -t $(TO)/lib/pmacct bpf/reuseport.o
	install -D -t $(TO)/lib/pmacct bpftrace/*.bt
	install -D -t $(TO)/sbin reuseportctl/reuseportctl
	install -D -m 644 -t $(TO)/share/man/man8 reuseportctl/reuseportctl.8
	install -D -m 644 reuseportctl/reuseportctl.bash $(TO)/share/bash-completion/completions/reuseportctl
	install -D -t $(TO)/lib/pmacct/scripts scripts/instances scripts/run-instance
	install -D -m 644 -t $(TO)/lib/pmacct/scripts scripts/lib.sh
	install -D -m 644 -t $(TO)/lib/systemd/system systemd/*.service systemd/*.timer systemd/*.target
	install -D -m 644 systemd/tmpfiles.conf $(TO)/lib/tmpfiles.d/pmacct-reuseport.conf
	install -D -m 644 systemd/sysusers.conf $(TO)/lib/sysusers.d/pmacct-reuseport.conf
	install -D -m 644 -t $(TO)/share/doc/pmacct-reuseport/examples examples/*
	for file in systemd/*.service; do sed -i 's,/usr/local,$(PREFIX),g' $(TO)/lib/systemd/system/$${file#systemd/} || exit; done
	sed -i 's,/usr/local,$(PREFIX),g' $(TO)/share/doc/pmacct-reuseport/examples/* $(TO)/share/man/man8/reuseportctl.8

demo: build build/.deps-demo
	scripts/demo

vpath %.c tests bench

tests/bin/%: %.c $(OVERLAY)/group.c $(wildcard $(OVERLAY)/*.h tests/*.h) | build/.deps-build
	@mkdir -p tests/bin
	$(CC) $(TOOL_CFLAGS) -Itests -o $@ $< $(OVERLAY)/group.c -lbpf

EXPORTER := $(wildcard tests/tools/exporter*.c)

tests/bin/exporter: $(EXPORTER) tests/tools/exporter.h | build/.deps-build
	@mkdir -p tests/bin
	$(CC) $(TOOL_CFLAGS) -o $@ $(EXPORTER)

tests/bin/cost: tests/tools/cost.c tests/tools/interpreter.c tests/tools/interpreter.h tests/tap.h $(wildcard $(OVERLAY)/*.h) | build/.deps-build
	@mkdir -p tests/bin
	$(CC) $(TOOL_CFLAGS) -Itests -o $@ $(filter %.c,$^) -lbpf

check-tools: build/.deps-demo build/.deps-check $(TOOLS)

# Those that need a quiet machine, as they are about traffic at full rate or about what happens within a second, one after the
# other; the others two at a time. Each has namespaces of its own.
T :=
QUICK   := 00 10 11 12 13 16 27
ALONE   := 20 24 28 33 35 40 41 42 43 44
CHOSEN   = $(sort $(wildcard $(T:%=tests/%*.t)))
PROVE    = prove --exec '' --failures --timer
# Only that one has other builds of pmacct beside ours
STOCK    = $(if $(T),$(filter tests/26-%,$(CHOSEN)),all)

check: build debug $(if $(STOCK),build/stock-$(RELEASE)/.built build/ebpf-$(RELEASE)/.built) check-tools
	$(if $(T),$(if $(CHOSEN),$(PROVE) $(CHOSEN),$(error no test is called tests/$(T)*.t)), \
		status=0; \
		$(PROVE) --jobs 2 $(filter-out $(wildcard $(ALONE:%=tests/%-*.t)),$(wildcard tests/*.t)) || status=1; \
		$(PROVE) $(wildcard $(ALONE:%=tests/%-*.t)) || status=1; \
		exit $$status)

check-quick: build debug check-tools
	$(PROVE) --jobs 2 $(wildcard $(QUICK:%=tests/%-*.t))

bench: build check-tools build/.deps-long
	scripts/bench

# Longer than the rest: see each one's --help
check-kernels check-libbpf check-compilers check-debian check-commits check-systemd: build debug check-tools build/.deps-long
check-releases check-kernels check-libbpf check-compilers check-debian check-commits check-systemd:
	scripts/$@

lint: build/.deps-build build/.deps-check $(TREE)/.built
	scripts/lint --built $(TREE) build/pristine-$(RELEASE)

build/.deps-%: scripts/deps
	scripts/deps $*
	@mkdir -p build && touch $@

clean:
	rm -rf build tests/bin bpf/*.o bench/*.o reuseportctl/reuseportctl
