# The front door: 'make help' lists the targets. 'make', 'make bpf', 'make build' and 'make install' need no root and install no
# packages; they name what is missing. 'sudo make demo', 'sudo make check' and the longer checks install it themselves.
# 'make build' fetches pmacct by scripts/fetch, which takes the address of Debian's archive from apt's configuration, where there is apt.

RELEASE ?= 1.7.8
TREE    := build/pmacct-$(RELEASE)
# Flags for pmacct's configure
CONFIGURE ?= --enable-jansson --enable-gnutls --enable-pgsql --enable-zmq
OVERLAY := pmacct/src/reuseport
VERSION := $(shell sed -n 's/^\#define REUSEPORT_VERSION "\(.*\)"/\1/p' $(OVERLAY)/reuseport_version.h)

CLANG      ?= clang
PKG_CONFIG ?= pkg-config
CFLAGS     ?= -O2 -g
INSTALL    ?= install
# bpfeb: the object for a big-endian machine
BPF_TARGET ?= bpf

# For ccache, where that is installed: what one directory compiled serves another, such as a second checkout
export CCACHE_BASEDIR   := $(CURDIR)
export CCACHE_NOHASHDIR := yes

# Where things are installed. DESTDIR is put before each path and is named in no file.
prefix      = /usr/local
exec_prefix = $(prefix)
sbindir     = $(exec_prefix)/sbin
libdir      = $(exec_prefix)/lib
pkglibdir   = $(libdir)/pmacct
datarootdir = $(prefix)/share
mandir      = $(datarootdir)/man
docdir      = $(datarootdir)/doc/pmacct-reuseport
bashcompletiondir = $(datarootdir)/bash-completion/completions
systemdsystemunitdir = $(prefix)/lib/systemd/system
tmpfilesdir = $(prefix)/lib/tmpfiles.d
sysusersdir = $(prefix)/lib/sysusers.d

ifeq ($(origin PREFIX),command line)
$(error PREFIX is called prefix here, as in GNU's makefiles: make $(or $(firstword $(MAKECMDGOALS)),install) prefix=$(PREFIX))
endif
ifneq ($(words $(CURDIR)),1)
$(error $(CURDIR): the path of this directory has a blank, which separates paths here and in pmacct's build: move it to a path without)
endif

.PHONY: help build bpf debug deps deb install uninstall demo check check-quick check-tools bench lint clean distclean FORCE
.PHONY: check-releases check-kernels check-libbpf check-compilers check-debian check-commits check-systemd fuzz
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# No built-in rules: the compiler for this host would make what no rule here makes
.SUFFIXES:

# Under sudo, in a tree that belongs to the user who called it: run the goals in another make, and give what that made to the
# user, also if it failed
owner := $(if $(filter-out 0,$(SUDO_UID)),$(shell [ "$$(id -u)" != 0 ] || stat -c %u .))
ifneq ($(and $(owner),$(filter $(owner),$(SUDO_UID)),$(if $(filter yes,$(GIVEN)),,run)),)

goals := $(or $(MAKECMDGOALS),help)
.PHONY: $(goals) with-owner
$(goals): with-owner
	@:
with-owner:
	@scripts/ci/with-owner "$(SUDO_UID):$(SUDO_GID)" $(MAKE) --no-print-directory GIVEN=yes $(goals)

else

help:
	@echo "make build      patched pmacct $(RELEASE) in $(TREE), and what 'make bpf' makes"
	@echo "make bpf        bpf/reuseport.o and reuseportctl/reuseportctl alone; BPF_TARGET=bpfeb: for a big-endian machine"
	@echo "make install    installs what 'make bpf' makes, units and examples; prefix=$(prefix), DESTDIR=. pmacct has its own"
	@echo "make uninstall  removes what 'make install' installed, with the same prefix and DESTDIR"
	@echo "make deps       installs the packages that 'make build' needs, on Debian, as root; scripts/deps --help has the others"
	@echo "make debug      bpf/reuseport-debug.o: the same selector, which prints each decision to the kernel's trace"
	@echo "make clean      removes what was built; keeps what was downloaded. make distclean: removes that too"
	@echo "These use CC, CLANG, CFLAGS, CPPFLAGS, LDFLAGS, LDLIBS and PKG_CONFIG, pmacct's build CONFIGURE; CI=true adds -Werror."
	@echo
	@echo "As root; they install the packages that are missing:"
	@echo "make demo       builds, then shows exporters, routers and three instances that share one port"
	@echo "make deb        Debian packages for SUITE=bookworm, trixie or sid, built in a chroot: pmacct and pmacct-reuseport"
	@echo "make check      the tests; T=40: tests/40*.t alone; CHECK_STRICT=1: a skipped test fails"
	@echo "make check-quick  in two minutes: lint, hash, selector, group, tool and one test of the daemons"
	@echo "make bench      what it costs and how it scales, beside the alternatives: tables and a plot, in about 30 minutes"
	@echo "make check-releases  every release of pmacct that can be fetched"
	@echo "make check-kernels, check-libbpf, check-compilers  Debian's kernels in qemu; other releases of libbpf; other compilers"
	@echo "make check-debian, check-commits  Debian's packages: build, upgrade, purge; pmacct after each patch, and each commit of the branch"
	@echo "make check-systemd   the units, run by systemd, here and in qemu: start, upgrade, SIGKILL, reboot"
	@echo "make fuzz            nfacctd's and sfacctd's decoders, with sanitizers, for SECONDS=N (300)"
	@echo "make check-fresh     'sudo make demo' and 'sudo make check' on a fresh Debian 12 and 13"
	@echo "make lint       the checks of the source and the patches"
	@echo "Each script answers --help: scripts/ has what users call, scripts/ci/ what developers call."

build: $(TREE)/.built bpf

bpf: bpf/reuseport.o reuseportctl/reuseportctl

debug: bpf/reuseport-debug.o

deps:
	scripts/deps build

# ---- the selector and the tool ----

WARNINGS  := -Wall -Wextra $(if $(filter true,$(CI)),-Werror)
# Debug information names no directory of this machine
IN_TREE    = -ffile-prefix-map=$(CURDIR)=.
C_FLAGS    = -std=gnu11 $(WARNINGS) $(IN_TREE) -I$(OVERLAY) -Itests/tools -Ireuseportctl $(shell $(PKG_CONFIG) --cflags libbpf libmnl jansson 2>/dev/null)
# -idirafter: where Debian keeps asm/types.h, known to gcc if that is there; -mcpu=v3: what Linux 5.1 and newer run
BPF_FLAGS  = -target $(BPF_TARGET) -mcpu=v3 -O2 -g $(WARNINGS) $(IN_TREE) -Ibpf -I$(OVERLAY) \
	$(shell $(PKG_CONFIG) --cflags libbpf 2>/dev/null) $(addprefix -idirafter /usr/include/,$(shell gcc -print-multiarch 2>/dev/null))
TOOL_LIBS  = $(shell $(PKG_CONFIG) --libs libbpf libmnl jansson 2>/dev/null || echo -lbpf -lmnl -ljansson)
GROUP_LIBS = $(shell $(PKG_CONFIG) --libs libbpf 2>/dev/null || echo -lbpf)
# Each object records the headers that it was made from, below build/obj
record     = $(if $(filter /%,$@),,-MMD -MP -MT $@ -MF build/obj/$(basename $@).d)

# The group library, which the tool, the tests and the benchmarks link: of the overlay, what knows nothing of pmacct
GROUP := $(patsubst %.c,build/obj/%.o,$(shell grep -L '"pmacct\.h"' $(OVERLAY)/*.c))
TOOL  := $(patsubst %.c,build/obj/%.o,$(wildcard reuseportctl/*.c))

reuseportctl/reuseportctl: $(TOOL) $(GROUP)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS) $(LDLIBS)

build/obj/%.o: %.c | build/.deps-bpf
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# Also the variants that the tests make of the selector, and the programs that the benchmark compares it with
%.o: %.bpf.c | build/.deps-bpf
	@mkdir -p build/obj/$(dir $<)
	$(CLANG) $(BPF_FLAGS) $(record) -c $< -o $@

bpf/reuseport-debug.o: bpf/reuseport.bpf.c | build/.deps-bpf
	@mkdir -p build/obj/bpf
	$(CLANG) $(BPF_FLAGS) $(record) -DRP_DEBUG -c $< -o $@

-include $(shell find build/obj -name '*.d' 2>/dev/null)

# ---- pmacct ----

build/pristine-$(RELEASE): | build/.deps-build
	scripts/fetch --release $(RELEASE) $@

# Changes when CONFIGURE does
$(TREE).configure: FORCE
	@mkdir -p build
	@echo '$(CONFIGURE)' | cmp -s - $@ || echo '$(CONFIGURE)' >$@

# From the pristine source each time: patches and overlay are small, and a half-patched tree is of no use. /.: the pristine source may
# be a symbolic link, and to copy that would be to patch what it points to.
$(TREE)/.built: $(TREE).configure configure.ac.patch $(wildcard patches/* patches/*/*) $(wildcard $(OVERLAY)/*) | build/pristine-$(RELEASE)
	rm -rf $(TREE)
	cp -R build/pristine-$(RELEASE)/. $(TREE)
	scripts/apply $(TREE)
	scripts/build $(TREE) $(CONFIGURE)
	touch $@

# Two more for the tests, built as quickly as possible: unpatched and patched, both with upstream's --enable-ebpf
EBPF_FLAGS = --enable-ebpf --disable-bgp-bins --disable-st-bins --without-external-deps \
	CFLAGS=-O0 CPPFLAGS=-I$(CURDIR)/$(TREE)/src/external_libs/rootfs/include LDFLAGS=-L$(CURDIR)/$(TREE)/src/external_libs/rootfs/lib

build/stock-$(RELEASE)/.built: | $(TREE)/.built
	rm -rf $(@D)
	cp -R build/pristine-$(RELEASE)/. $(@D)
	scripts/build --unpatched $(@D) $(EBPF_FLAGS)
	touch $@

# For the benchmark: unpatched, with the same flags as ours
build/unpatched-$(RELEASE)/.built: $(TREE).configure | build/pristine-$(RELEASE)
	rm -rf $(@D)
	cp -R build/pristine-$(RELEASE)/. $(@D)
	scripts/build --unpatched $(@D) $(CONFIGURE)
	touch $@

build/ebpf-$(RELEASE)/.built: $(TREE)/.built
	rm -rf $(@D)
	cp -R build/pristine-$(RELEASE)/. $(@D)
	scripts/apply $(@D)
	scripts/build $(@D) $(EBPF_FLAGS)
	touch $@

# ---- installing ----

# What is installed, as MODE:SOURCE:PATH. In a source that ends in .in, @sbindir@ and @pkglibdir@ become those directories, @version@ the version.
INSTALLED = \
	644:bpf/reuseport.o:$(pkglibdir)/reuseport.o \
	$(foreach script,$(wildcard bpftrace/*.bt),755:$(script):$(pkglibdir)/$(notdir $(script))) \
	755:reuseportctl/reuseportctl:$(sbindir)/reuseportctl \
	644:reuseportctl/reuseportctl.8.in:$(mandir)/man8/reuseportctl.8 \
	644:reuseportctl/reuseportctl.bash:$(bashcompletiondir)/reuseportctl \
	755:scripts/instances:$(pkglibdir)/scripts/instances \
	755:scripts/run-instance:$(pkglibdir)/scripts/run-instance \
	755:scripts/scale:$(pkglibdir)/scripts/scale \
	644:scripts/lib/common.sh:$(pkglibdir)/scripts/lib/common.sh \
	$(foreach unit,$(wildcard systemd/*.service.in),644:$(unit):$(systemdsystemunitdir)/$(basename $(notdir $(unit)))) \
	$(foreach unit,$(wildcard systemd/*.timer systemd/*.target),644:$(unit):$(systemdsystemunitdir)/$(notdir $(unit))) \
	644:systemd/tmpfiles.conf:$(tmpfilesdir)/pmacct-reuseport.conf \
	644:systemd/sysusers.conf:$(sysusersdir)/pmacct-reuseport.conf \
	$(foreach example,$(wildcard examples/*),644:$(example):$(docdir)/examples/$(patsubst %.in,%,$(notdir $(example))))

# The directories that nothing else has files in
OWN_DIRECTORIES = $(pkglibdir)/scripts/lib $(pkglibdir)/scripts $(pkglibdir) $(docdir)/examples $(docdir)

install: bpf
	@set -e; for file in $(INSTALLED); do \
		mode=$${file%%:*}; file=$${file#*:}; source=$${file%%:*}; path="$(DESTDIR)$${file#*:}"; \
		echo "install $$path"; \
		$(INSTALL) -d "$${path%/*}"; \
		case $$source in \
		*.in) rm -f "$$path"; \
			sed 's|@sbindir@|$(sbindir)|g; s|@pkglibdir@|$(pkglibdir)|g; s|@version@|$(VERSION)|g' "$$source" >"$$path"; \
			chmod "$$mode" "$$path" ;; \
		*) $(INSTALL) -m "$$mode" "$$source" "$$path" ;; \
		esac; \
	done

uninstall:
	@set -e; for file in $(INSTALLED); do rm -f "$(DESTDIR)$${file##*:}"; done
	@for directory in $(OWN_DIRECTORIES); do rmdir "$(DESTDIR)$$directory" 2>/dev/null || true; done

# ---- what root runs: it installs the packages that are missing ----

demo deb check check-quick check-tools bench check-releases check-kernels check-libbpf check-compilers check-debian check-commits check-systemd: INSTALL_DEPS := yes

# The commands and libraries that a group of scripts/deps needs; 'bpf' and 'build' can be had without Debian
build/.deps-%: scripts/deps
	CONFIGURE='$(CONFIGURE)' scripts/deps $(if $(INSTALL_DEPS),,--check) $*
	@mkdir -p build && touch $@

demo: build build/.deps-demo
	scripts/demo

# In a chroot: nothing is built here
deb: build/.deps-deb
	scripts/deb $(if $(SUITE),--suite $(SUITE))

TOOLS := $(addprefix tests/bin/,balance cost decision exporter hash member pace placement placing quarantine returns samples selector state bad_apple.so boot_time.so held_lock.so next_minute.so wall_clock.so) bench/decision.o

vpath %.c tests/tools bench

tests/bin/member: build/obj/reuseportctl/listener_socket.o

tests/bin/balance: build/obj/reuseportctl/plan.o

tests/bin/%: %.c $(GROUP) | build/.deps-bpf
	@mkdir -p tests/bin build/obj/tests/bin
	$(CC) $(C_FLAGS) $(CPPFLAGS) $(CFLAGS) $(record) $(LDFLAGS) -o $@ $(filter %.c %.o,$^) $(GROUP_LIBS) $(LDLIBS)

# To be preloaded. -fno-builtin: one has a memcpy() of its own
tests/bin/%.so: %.c
	@mkdir -p tests/bin
	$(CC) $(C_FLAGS) $(CPPFLAGS) $(CFLAGS) -fno-builtin -shared -fPIC $(LDFLAGS) -o $@ $< -ldl

fuzz: build check-tools
	RECORDINGS=$(CURDIR)/build/recordings tests/53-real-exporters.t
	FUZZ_PCAPS=build/recordings scripts/ci/fuzz $(SECONDS)

EXPORTER := $(patsubst %.c,build/obj/%.o,$(wildcard tests/tools/exporter*.c))

tests/bin/exporter: $(EXPORTER)
	@mkdir -p tests/bin
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

tests/bin/cost: build/obj/tests/tools/cost.o build/obj/tests/tools/interpreter.o $(GROUP)
	@mkdir -p tests/bin
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(GROUP_LIBS) $(LDLIBS)

check-tools: build/.deps-demo build/.deps-check $(TOOLS)

# Three at a time, and those that are about traffic at full rate two at a time, the longest first; at the end what sends more than the buffers of
# a busy machine take, beside one that sleeps for a minute. Each has namespaces of its own.
T :=
QUICK   := 00 10 11 12 13 14 16 17 18 19 27
PAIRED  := 59 44 62 32 28 33 35 40 41 42 43 48 50 55
LAST    := 36 49
# Minutes with a systemd of its own: 'make check-systemd' runs it, and 'make check T=58'
UNITS   := 58 64
# The longest of the others
LONG    := 00 46 01 12 31 57
CHOSEN   = $(sort $(wildcard $(T:%=tests/%*.t)))
tests    = $(wildcard $(patsubst %,tests/%-*.t,$(1)))
PROVE    = prove --exec '' --failures --timer
# Only that one has other builds of pmacct beside ours
STOCK    = $(if $(T),$(filter tests/26-%,$(CHOSEN)),all)

# .deps-check first: it brings ccache, which serves the three builds of pmacct
check: build/.deps-check build debug $(if $(STOCK),build/stock-$(RELEASE)/.built build/ebpf-$(RELEASE)/.built) check-tools
	@$(if $(T),$(if $(CHOSEN),$(PROVE) $(CHOSEN),$(error no test is called tests/$(T)*.t)), \
		status=0; \
		$(PROVE) --jobs 3 $(call tests,$(LONG)) $(filter-out $(call tests,$(PAIRED) $(LAST) $(LONG) $(UNITS)),$(wildcard tests/*.t)) || status=1; \
		$(PROVE) --jobs 2 $(call tests,$(PAIRED)) || status=1; \
		$(PROVE) --jobs 2 $(call tests,$(LAST)) || status=1; \
		exit $$status)

check-quick: build debug check-tools
	$(PROVE) --jobs 2 $(call tests,$(QUICK))

bench/receive_times.so: bench/receive_times.c
	$(CC) $(C_FLAGS) $(CPPFLAGS) $(CFLAGS) -shared -fPIC $(LDFLAGS) -o $@ $<

bench: build check-tools build/unpatched-$(RELEASE)/.built bench/receive_times.so build/.deps-long
	scripts/bench

# Longer than the rest: see each one's --help
check-kernels check-libbpf check-compilers check-debian check-commits check-systemd: build debug check-tools build/.deps-long
check-releases: build/.deps-build build/.deps-check
check-releases check-kernels check-libbpf check-compilers check-debian check-commits check-systemd:
	scripts/ci/$@

.PHONY: check-units
check-systemd: check-units
check-units: build debug check-tools build/.deps-check
	$(PROVE) $(call tests,$(UNITS))

# It builds in a chroot
.PHONY: check-fresh
check-fresh: INSTALL_DEPS := yes
check-fresh: build/.deps-long
	scripts/ci/check-fresh

lint: $(TREE)/.built
	scripts/ci/lint --built $(TREE) build/pristine-$(RELEASE)

# Not what was downloaded: pmacct's source; in build/debian, Debian's packages, and the chroots of the longer checks
clean:
	rm -rf tests/bin bpf/*.o bench/*.o bench/*.so reuseportctl/reuseportctl
	[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name 'pristine-*' ! -name debian -exec rm -rf {} +

# The longer checks, run by sudo, leave files that belong to root in build/debian, and only there: see scripts/ci/with-owner
distclean: clean
	@echo rm -rf build
	@rm -rf build 2>/dev/null || { echo "build/debian has chroots that belong to root: run 'sudo make distclean'" >&2; exit 1; }

endif
