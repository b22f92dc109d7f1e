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
	local what="$1" wanted="$2" out
	shift 2
	if out=$("$@" 2>&1); then out="it succeeded: $out"; fi
	like "$what" "$out" "$wanted"
}

help_and_nonsense() {
	local script
	for script in scripts/* scripts/ci/*; do
		[ -f "$script" ] || continue
		like "$script --help says what it is" "$("$script" --help)" "^${script##*/}( .*)?: "
		refuses "$script --nonsense" "unknown|no source tree" "$script" --nonsense
	done
}

refuse_to_fetch() {
	refuses "fetch: a directory that exists" "$tmp exists already" scripts/fetch "$tmp"
	refuses "fetch: an unknown release" "pmacct 0.1 is not known here; known:.* 1.7.8 " scripts/fetch --release 0.1 "$tmp/src"
	echo "not pmacct" >"$tmp/pmacct.tar.gz"
	refuses "fetch: a tarball that is not the pinned one" "is not the pinned pmacct 1.7.8: SHA-256 should be [0-9a-f]{64}" \
		scripts/fetch --tarball "$tmp/pmacct.tar.gz" "$tmp/src"
	git init -q "$tmp/clone"
	refuses "fetch: a clone without the pinned commit" "clone has no commit [0-9a-f]{40}: fetch it there first" \
		scripts/fetch --git "$tmp/clone" "$tmp/src"
	refuses "fetch: a tarball of a release that has none" "no tarball of pmacct 1.7.9 is pinned: give a clone by --git" \
		scripts/fetch --release 1.7.9 --tarball "$tmp/pmacct.tar.gz" "$tmp/src"
	fetch_half
	is "fetch: a refusal leaves nothing behind" "$(ls "$tmp")" "$(printf '%s\n' clone pmacct.tar.gz scripts)"
	rm -r "$tmp/scripts"
}

# fetch_half: pmacct can be had, libcdada not
fetch_half() {
	git -C "$tmp/clone" -c user.name=x -c user.email=x@example.com commit -q --allow-empty -m x
	cp -R scripts "$tmp"
	sed -i "s/^tip - .*/tip - $(git -C "$tmp/clone" rev-parse HEAD)/" "$tmp/scripts/lib/releases.sh"
	refuses "fetch: a clone without libcdada" "cannot get pmacct tip from $tmp/clone, and libcdada from $tmp/nowhere: .* --libcdada" \
		"$tmp/scripts/fetch" --release tip --git "$tmp/clone" --libcdada "$tmp/nowhere" "$tmp/src"
}

refuse_to_apply() {
	cp -R "$pristine/." "$tmp/src"
	sed -i 's/rc = listen(config.bmp_sock, 1);/rc = listen(config.bmp_sock, 7);/' "$tmp/src/src/bmp/bmp.c"
	cp -R "$tmp/src" "$tmp/before"
	refuses "apply: a patch that does not fit is named" "patches/listen-backlog.patch does not apply:" scripts/apply "$tmp/src"
	ok "apply: then nothing is changed, not even by the patches before it" diff -r "$tmp/before" "$tmp/src"
	refuses "apply: not a pmacct tree" "is not a pmacct source tree" scripts/apply "$tmp"
	ln -s "$root" "$tmp/my directory"
	refuses "apply: a blank in its path" "$tmp/my directory: the path of this directory has a blank, .*: move it" "$tmp/my directory/scripts/apply" "$tmp/before"
	refuses "apply: a tree that is patched already" "has src/reuseport already: apply to a pristine tree" scripts/apply "$tree"
}

refuse_stale_patches() {
	mkdir "$tmp/project"
	cp -R scripts patches pmacct configure.ac.patch "$tmp/project"
	sed -i 's/^@@ -\([0-9]*\)/@@ -9\1/' "$tmp/project/patches/bmp-listener.patch"
	refuses "refresh: names what is stale" "stale, run scripts/ci/refresh: patches/bmp-listener.patch" \
		"$tmp/project/scripts/ci/refresh" --check "$pristine"
}

refuse_to_build() {
	refuses "build: a tree without the patches" "has no src/reuseport: run scripts/apply on it first" scripts/build "$pristine"
	refuses "build --like: not a daemon of pmacct" "does not report its configure flags by -V" scripts/build --like /bin/true "$tree"
}

# ---- configure, in a tree that is not configured yet: $tmp/new ----

# make_new_tree: what autoreconf generates, which takes long, is that of the built tree, and the autoreconf in $tmp/bin leaves it at
# that. What configure found out about this machine then, it finds in $CONFIG_SITE, except the environment and what pkg-config knows.
make_new_tree() {
	cp -R "$pristine/." "$tmp/new"
	scripts/apply "$tmp/new" >/dev/null
	(cd "$tree" && find . -type f \( -name Makefile.in -o ! -path './*/*' ! -name config.log ! -name config.status \) \
		-exec cp --parents -t "$tmp/new" {} +)
	mkdir "$tmp/bin"
	printf '#!/bin/sh\n[ -x configure ] || exec %s "$@"\n' "$(command -v autoreconf)" >"$tmp/bin/autoreconf"
	chmod 755 "$tmp/bin/autoreconf"
	sed -n '/^## Cache variables/,/^## Output variables/p' "$tree/config.log" |
		grep -E '^(ac|am|lt)_cv_' | grep -v '^ac_cv_env_' >"$tmp/config.site"
	# nothing is compiled
	echo enable_dependency_tracking=no >>"$tmp/config.site"
	export CONFIG_SITE="$tmp/config.site"
}

# only_libbpf VERSION: pkg-config will know no library, or only libbpf in that version
only_libbpf() {
	mkdir -p "$tmp/pc"
	rm -f "$tmp/pc/"*
	[ -z "$1" ] || printf 'Name: libbpf\nDescription: x\nVersion: %s\nLibs: -lbpf\n' "$1" >"$tmp/pc/libbpf.pc"
}

refuse_to_configure() {
	local version
	for version in '' 0.3.9; do
		only_libbpf "$version"
		refuses "configure: libbpf ${version:-missing}" "missing libbpf >= 0.4.0" \
			sh -c "cd $tmp/new && PKG_CONFIG_LIBDIR=$tmp/pc ./configure"
	done
}

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

configure_like() {
	local flags
	flags=$(flags_of "$("$nfacctd" -V | sed -n '/^Arguments/{n;p;}')")
	is "what a built tree's Makefile says its nfacctd reports" "$(flags_of "$(reported "$tree")")" "$flags"
	ok "build --like a built nfacctd configures" quietly env PATH="$tmp/bin:$PATH" \
		scripts/build --configure-only --like "$nfacctd" "$tmp/new"
	ok "and compiles nothing" [ ! -e "$tmp/new/src/nfacctd" ]
	is "it has the configure flags of that nfacctd" "$(flags_of "$(reported "$tmp/new")")" "$flags"
}

help_and_nonsense
refuse_to_fetch
refuse_to_apply
refuse_stale_patches
refuse_to_build
make_new_tree
refuse_to_configure
configure_like
done_testing
