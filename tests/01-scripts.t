#!/bin/sh
# Each script's --help; what fetch, apply, refresh, build and configure refuse, and that they leave nothing behind then; the flags of
# 'build --like'.
. "${0%/*}/lib/tap.sh"
[ -x "$nfacctd" ] || skip_all "not built: run make build"
need patch pkg-config autoreconf
make_tmp
cd "$root"

# refuses NAME REGEX COMMAND...: asserts that the command fails and prints a line that matches
refuses() {
	what=$1 wanted=$2
	shift 2
	if out=$("$@" 2>&1); then out="it succeeded: $out"; fi
	like "$what" "$out" "$wanted"
}

for script in scripts/* scripts/ci/*; do
	[ -f "$script" ] || continue
	like "$script --help says what it is" "$("$script" --help)" "^${script##*/}( .*)?: "
	refuses "$script --nonsense" "unknown|no source tree" "$script" --nonsense
done

# ---- fetch ----
refuses "fetch: a directory that exists" "$tmp exists already" scripts/fetch "$tmp"
refuses "fetch: an unknown release" "pmacct 0.1 is not known here; known:.* 1.7.8 " scripts/fetch --release 0.1 "$tmp/src"
echo "not pmacct" >"$tmp/pmacct.tar.gz"
refuses "fetch: a tarball that is not the pinned one" "is not the pinned pmacct 1.7.8: SHA-256 should be [0-9a-f]{64}" \
	scripts/fetch --tarball "$tmp/pmacct.tar.gz" "$tmp/src"
git init -q "$tmp/clone"
refuses "fetch: a clone without the pinned commit" "clone has no commit [0-9a-f]{40}: fetch it there first" \
	scripts/fetch --git "$tmp/clone" "$tmp/src"
ok "fetch: a refusal leaves nothing behind" [ ! -e "$tmp/src" ]

# ---- apply ----
cp -R "$pristine/." "$tmp/src"
sed -i 's/rc = listen(config.bmp_sock, 1);/rc = listen(config.bmp_sock, 7);/' "$tmp/src/src/bmp/bmp.c"
cp -R "$tmp/src" "$tmp/before"
refuses "apply: a patch that does not fit is named" "patches/bmp-listener.patch does not apply:" scripts/apply "$tmp/src"
ok "apply: then nothing is changed, not even by the patches before it" diff -r "$tmp/before" "$tmp/src"
refuses "apply: not a pmacct tree" "is not a pmacct source tree" scripts/apply "$tmp"
refuses "apply: a tree that is patched already" "has src/reuseport already: apply to a pristine tree" scripts/apply "$tree"
refuses "refresh: names what is stale" "stale, run scripts/ci/refresh: patches/bmp-listener.patch" sh -c "
	cp -R scripts patches pmacct configure.ac.patch $tmp/before
	sed -i 's/^@@ -\([0-9]*\)/@@ -9\1/' $tmp/before/patches/bmp-listener.patch
	$tmp/before/scripts/ci/refresh --check $pristine"

# ---- configure, build ----
refuses "build: a tree without the patches" "has no src/reuseport: run scripts/apply on it first" scripts/build "$pristine"
refuses "build --like: not a daemon of pmacct" "does not report its configure flags by -V" scripts/build --like /bin/true "$tree"

# only_pc VERSION: pkg-config will know no library, or only libbpf in that version
only_pc() {
	mkdir -p "$tmp/pc"
	rm -f "$tmp/pc/"*
	[ -z "$1" ] || printf 'Name: libbpf\nDescription: x\nVersion: %s\nLibs: -lbpf\n' "$1" >"$tmp/pc/libbpf.pc"
}
# The configure script of the built tree: it stops here before it needs more than the files beside it
mkdir -p "$tmp/conf/src"
find "$tree" -maxdepth 1 -type f ! -name 'config.status' -exec cp -t "$tmp/conf" {} +
cp "$tree/src/pmacctd.c" "$tmp/conf/src/"
for version in '' 0.3.9; do
	only_pc "$version"
	refuses "configure: libbpf ${version:-missing}" "missing libbpf >= 0.4.0" \
		sh -c "cd $tmp/conf && PKG_CONFIG_LIBDIR=$tmp/pc ./configure"
done

# ---- build --like: the flags, as the daemon that is built then will report them ----
# reported TREE: what a daemon of a configured tree prints for 'Arguments'
reported() {
	printf '%s\n' '#include <stdio.h>' 'int main(void) { puts(COMPILE_ARGS); }' >"$tmp/reported.c"
	eval "cc $(sed -n 's/^DEFS = //p' "$1/src/Makefile") -o $tmp/reported $tmp/reported.c" && "$tmp/reported"
}

# flags_of WORDS: each configure flag once, one a line
flags_of() {
	echo "$1" | tr ' ' '\n' | sed '/^$/d' | sort -u
}

is "what a built tree's Makefile says its nfacctd reports" "$(flags_of "$(reported "$tree")")" \
	"$(flags_of "$("$nfacctd" -V | sed -n '/^Arguments/{n;p;}')")"
cp -R "$pristine/." "$tmp/like"
scripts/apply "$tmp/like" >/dev/null
ok "build --like a built nfacctd configures" quietly scripts/build --configure-only --like "$nfacctd" "$tmp/like"
ok "and compiles nothing" [ ! -e "$tmp/like/src/nfacctd" ]
is "it has the configure flags of that nfacctd" "$(flags_of "$(reported "$tmp/like")")" \
	"$(flags_of "$("$nfacctd" -V | sed -n '/^Arguments/{n;p;}')")"

done_testing
