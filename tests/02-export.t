#!/bin/sh
# The exported series is what scripts/apply applies: as mails, as a quilt series and as a branch, byte for byte.
. "${0%/*}/lib/tap.sh"
[ -d "$pristine" ] || skip_all "no pristine source: run make build"
need patch git quilt
make_tmp
cd "$root"
release=${RELEASE:-$base}
project=$tmp/project
clone=$tmp/clone
branch=reuseport-$release

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
		"$(sed -n '/^ /{s/^ //;p}; /^Author/q' "$root/patches/nfacctd-listener.patch")"
}

# ---- the branch, in a clone whose first commit stands for upstream's ----

# make_project: a copy of ours that pins the commit $upstream
make_project() {
	mkdir "$project"
	cp -R scripts patches pmacct configure.ac.patch "$project"
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
	"$project/scripts/export" --branch --git "$clone" "$release"
}

export_a_branch() {
	echo "work in progress" >>"$clone/README" && echo "staged" >"$clone/new" && in_clone add new
	state >"$tmp/before"
	ok "export --branch" quietly export_branch
	state >"$tmp/after"
	ok "leaves HEAD, the index, the work tree and other branches alone" diff "$tmp/before" "$tmp/after"
	is "has the commits that git am makes: trees, authors, dates, messages" \
		"$(in_clone log --format='%T %an <%ae> %ad %B' "$upstream..$branch")" \
		"$(in_am log --format='%T %an <%ae> %ad %B' "$upstream..")"
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
	refuses "--git with a directory that is no clone" "--git $tmp: not a clone of pmacct: fatal: not a git repository" scripts/export --branch --git "$tmp"
	refuses "--git with a clone that lacks the release" "has no commit $commit, pmacct $release: fetch it there first" \
		scripts/export --branch --git "$clone" "$release"
	refuses "--git without --branch" "--git goes with --branch" scripts/export --git "$clone"
	ok "a refusal leaves nothing behind" [ ! -e "$tmp/none" ]
}

apply_series
export_series
push_by_quilt
apply_mails
check_mails
make_project
export_a_branch
export_it_again
override_a_patch
refuse_another_branch
refuse_patches
refuse_arguments
done_testing
