#!/bin/sh
# The exported series is what scripts/apply applies, as mails and as a quilt series, byte for byte; the exported branch has it and all
# that pmacct needs to build and install object and tool by itself.
. "${0%/*}/lib/tap.sh"
[ -d "$pristine" ] || skip_all "no pristine source: run make build"
need patch git quilt
make_tmp
cd "$root"
release=${RELEASE:-$base}
project=$tmp/project
clone=$tmp/clone
branch=reuseport-$release
signer='Jane Doe <jane@example.org>'

# The git configuration of the user who runs this must not matter
export HOME="$tmp" GIT_CONFIG_NOSYSTEM=1 QUILT_PATCHES="$tmp/series"
unset PMACCT_GIT
git config --global user.name committer
git config --global user.email committer@example.org

# refuses NAME REGEX COMMAND...: asserts that the command fails and prints one line, which matches
refuses() {
	local what="$1" wanted="$2" out
	shift 2
	if out=$("$@" 2>&1); then out="it succeeded: $out"; fi
	[ "$(echo "$out" | wc -l)" -eq 1 ] || out="not one line: $out"
	like "$what" "$out" "$wanted"
}

# same DIR DIR: whether names, types, modes and contents of all files are the same
same() {
	local d
	for d in "$1" "$2"; do (cd "$d" && find . -path ./.git -prune -o -printf '%p %y %m\n' | sort) >"$d.modes"; done
	diff "$1.modes" "$2.modes" && diff -r --exclude .git "$1" "$2"
}

# in_am COMMAND...: of git, in the tree that gets the series as mails
in_am() {
	git -C "$tmp/am" "$@"
}

in_clone() {
	git -C "$clone" "$@"
}

# ---- the series ----

apply_series() {
	cp -R "$pristine/." "$tmp/applied"
	scripts/apply "$tmp/applied" >/dev/null
}

export_series() {
	scripts/export --out "$tmp/series" "$release" >/dev/null
	TZ=Asia/Tokyo scripts/export --out "$tmp/again" "$release" >/dev/null
	ok "a second export, in another time zone, has the same bytes" diff -r "$tmp/series" "$tmp/again"
	is "its series file names all patches, in the order of their names" "$(cat "$tmp/series/series")" \
		"$(find "$tmp/series" -name '*.patch' -printf '%f\n' | LC_ALL=C sort)"
	is "it has the overlay and every patch of patches/series" "$(cut -d- -f2- "$tmp/series/series" | paste -sd' ')" \
		"reuseport.patch $(list_patches "$release" | sed 's,.*/,,' | paste -sd' ')"
}

push_by_quilt() {
	cp -R "$pristine/." "$tmp/quilt"
	ok "quilt push -a, with fuzz 0" quietly sh -c "cd $tmp/quilt && quilt push -a --fuzz=0 && ! quilt unapplied && rm -r .pc"
	ok "makes the tree that scripts/apply makes" quietly same "$tmp/applied" "$tmp/quilt"
}

# apply_mails: $clone is as the tree was before them
apply_mails() {
	cp -R "$pristine/." "$tmp/am"
	in_am init --quiet
	in_am add --all --force
	in_am commit --quiet --message "pristine"
	git clone --quiet "$tmp/am" "$tmp/clone"
	# shellcheck disable=SC2046 # names of ours, without blanks
	ok "git am" quietly in_am am $(sed "s,^,$tmp/series/," "$tmp/series/series")
	ok "makes the tree that scripts/apply makes" quietly same "$tmp/applied" "$tmp/am"
}

check_mails() {
	is "a description's first line is the subject, its author and date are the patch's" \
		"$(in_am log --format='%s|%an|%as' -1 --grep '^share nfacctd')" \
		"share nfacctd's UDP ports by exporter|pmacct-reuseport developers|$(
			sed -n 's/^Last-Update: //p' "$root/patches/nfacctd-listener.patch")"
	is "and its further lines are the body" \
		"$(in_am log --format=%b -1 --grep '^share nfacctd')" \
		"$(sed -n '/^ /{s/^ //;s/^\.$//;p}; /^Author/q' "$root/patches/nfacctd-listener.patch")"
}

# ---- the branch, in a clone whose first commit stands for upstream's ----

# make_project: a copy of ours that pins the commit $upstream
make_project() {
	mkdir "$project"
	cp -R scripts patches pmacct bpf reuseportctl configure.ac.patch "$project"
	find_release "$release"
	upstream=$(in_clone rev-parse HEAD)
	sed -i "s/$commit/$upstream/" "$project/scripts/lib/releases.sh"
}

# state: prints all that can be seen of the clone, except the branch
state() {
	in_clone for-each-ref | grep -v "refs/heads/$branch$"
	(cd "$clone" && find . -path ./.git/objects -prune -o -path "./.git/*refs/heads" -prune -o -type f -exec sha256sum {} +) | sort
}

export_branch() {
	"$project/scripts/export" --branch --git "$clone" --signoff "$signer" "$release"
}

export_a_branch() {
	echo "work in progress" >>"$clone/README" && echo "staged" >"$clone/new" && in_clone add new
	state >"$tmp/before"
	ok "export --branch" quietly export_branch
	state >"$tmp/after"
	ok "leaves HEAD, the index, the work tree and other branches alone" diff "$tmp/before" "$tmp/after"
	mkdir "$tmp/branch"
	in_clone archive "$branch" | tar -xf - -C "$tmp/branch"
}

check_commits() {
	local at
	is "it has the patches in the order of patches/series, one a commit" "$(in_clone log --reverse --format=%s "$upstream..$branch")" \
		"$(list_branch_patches "$release" | xargs sed -n 's/^Description: //p')"
	is "each by who signs it off, with that line at its end" \
		"$(in_clone log --format='%an <%ae>|%cn <%ce>|%(trailers:key=Signed-off-by,valueonly)' "$upstream..$branch" | sed '/^$/d' | sort -u)" \
		"$signer|$signer|$signer"
	is "and says more than its subject" "$(in_clone log --format=%b%x00 "$upstream..$branch" | tr -d '\n' | tr '\0' '\n' | grep -c '^Signed-off-by')" 0
	at=$(in_clone log --format=%H -1 --grep '^add the group' "$branch")
	is "what helps everybody comes before the group, and needs no libbpf" \
		"$(in_clone show "$at^:configure.ac" | grep -c libbpf)|$(in_clone ls-tree -r --name-only "$at^" src/reuseport | sed 's,.*/,,' | paste -sd' ')" \
		"$(grep -c libbpf "$pristine/configure.ac")|Makefile.am $(sed -n 's/^check_files = //p' pmacct/src/reuseport/Makefile.am)"
	is "no Makefile.am names a file that is not there yet" "$(missing_files)" ""
	is "which three commits make, as they add them" "$(in_clone log --format=%h "$upstream..$branch" -- src/reuseport/Makefile.am | wc -l)" 3
}

# missing_files: prints the C files that a Makefile.am of src/reuseport names, in one of the commits that make it, before they are there
missing_files() {
	local at
	for at in $(in_clone log --format=%H "$upstream..$branch" -- src/reuseport/Makefile.am); do
		in_clone ls-tree -r --name-only "$at" src/reuseport | sed 's,.*/,,' | sort >"$tmp/there"
		in_clone show "$at:src/reuseport/Makefile.am" | grep -v '^#' | grep -o '[a-z_]*\.[ch]\>' | sort -u | comm -13 "$tmp/there" -
	done
}

# Upstream's files that the branch changes in another way than scripts/apply does, or that only it changes
only_in_branch='ChangeLog|QUICKSTART|configure.ac|docs/SIGNALS|src/Makefile.am|src/pmacct.h'

check_tree() {
	local dir
	is "it has all that scripts/apply makes, byte for byte, but for the build and the documents" \
		"$(diff -rq "$tmp/applied" "$tmp/branch" | sed -n "s,^Files $tmp/applied/\(.*\) and .*,\1,p" | sort | paste -sd'|')" "$only_in_branch"
	is "besides, it has what is in directories of its own, and one header" \
		"$(diff -rq "$tmp/applied" "$tmp/branch" | sed -n "s,^Only in $tmp/branch/*,,p; s,^Only in $tmp/applied,lacks ,p" | sort | paste -sd' ')" \
		"src/reuseport: bpf src/reuseport: reuseport_none.h src: reuseportctl"
	for dir in bpf reuseportctl; do
		is "all C files of $dir/ are there, unchanged" \
			"$(diff -rq --exclude='*.o' --exclude=.clang-format --exclude=reuseportctl.bash --exclude=reuseportctl "$dir" "$tmp/branch/src/$([ $dir = reuseportctl ] || echo reuseport/)$dir" |
				grep -v "^Only in $tmp/branch")" ""
	done
	is "all functions and keys of reuseport.h have their like where the group is left out" \
		"$(sed -n 's/^extern .*[ *]\([a-z_]*\)(.*/\1/p' pmacct/src/reuseport/reuseport.h | while read -r name; do
			grep -qw "define $name" patches/branch/reuseport_none.h || echo "$name"
		done)" ""
	at_least "which has some" "$(grep -c '^extern' pmacct/src/reuseport/reuseport.h)" 30
}

export_it_again() {
	head=$(in_clone rev-parse "$branch")
	ok "export --branch again, with the branch there" quietly export_branch
	in_clone branch --quiet --delete --force "$branch"
	ok "export --branch again, with the branch deleted" quietly export_branch
	is "the branch is the same commit, at whatever time" "$(in_clone rev-parse "$branch")" "$head"
}

# ---- what a release overrides ----

# override_a_patch: $override is a release's own
override_a_patch() {
	override=$project/patches/$release/files.patch
	mkdir "$project/patches/$release"
	sed 's/^Description: .*/Description: something else/' "$project/patches/files.patch" \
		>"$override"
	"$project/scripts/export" --out "$tmp/override" "$release" >/dev/null
	like "a release's own patch takes the common one's place" "$(cat "$tmp/override/"*-files.patch)" \
		"^Subject: .PATCH [0-9]+/[0-9]+. something else$"
}

# ---- refusals ----

refuse_another_branch() {
	refuses "another branch of that name" "has another branch $branch already: remove it" export_branch
	is "that branch stays as it was" "$(in_clone rev-parse "$branch")" "$head"
	in_clone branch --quiet --move "$branch" mine
}

refuse_patches() {
	sed -i 's/^-  unlink(filename);/-  unlink(file);/' "$override"
	refuses "a patch that does not fit" "files.patch does not apply to $upstream; nothing was changed in $clone" export_branch
	ok "then there is no branch" not in_clone rev-parse --quiet --verify "$branch"
	sed -i 's/^Last-Update: .*/Last-Update: soon/' "$override"
	refuses "a patch without a date" "files.patch: Last-Update is 'soon', not a date" \
		"$project/scripts/export" --out "$tmp/none" "$release"
}

refuse_arguments() {
	refuses "an unknown release" "pmacct 0.1 is not known here; known: 1\.7\." scripts/export --out "$tmp/none" 0.1
	refuses "a directory that exists" "$tmp/series exists already: remove it" scripts/export --out "$tmp/series"
	refuses "--branch without a clone" "no clone given, by --git or PMACCT_GIT" scripts/export --branch
	refuses "--branch that nobody signs off" "nobody signs it off, by --signoff" scripts/export --branch --git "$clone"
	refuses "--signoff without an address" "--signoff Jane Doe: not as 'Name <address>'" scripts/export --branch --git "$clone" --signoff "Jane Doe"
	refuses "--git with a directory that is no clone" "--git $tmp: not a clone of pmacct: fatal: not a git repository" \
		scripts/export --branch --git "$tmp" --signoff "$signer"
	refuses "--git with a clone that lacks the release" "has no commit $commit, pmacct $release: fetch it there first" \
		scripts/export --branch --git "$clone" --signoff "$signer" "$release"
	refuses "--git without --branch" "--git and --signoff go with --branch" scripts/export --git "$clone"
	ok "a refusal leaves nothing behind" [ ! -e "$tmp/none" ]
}

apply_series
export_series
push_by_quilt
apply_mails
check_mails
make_project
export_a_branch
check_commits
check_tree
export_it_again
override_a_patch
refuse_another_branch
refuse_patches
refuse_arguments
done_testing
