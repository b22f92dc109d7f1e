#!/bin/sh
# The exported series is what scripts/apply applies: as mails, as a quilt series and as a branch, byte for byte.
. "${0%/*}/lib/tap.sh"
[ -d "$pristine" ] || skip_all "no pristine source: run make build"
need patch git quilt
make_tmp
cd "$root"

# The git configuration of the user who runs this must not matter
export HOME="$tmp" GIT_CONFIG_NOSYSTEM=1 QUILT_PATCHES="$tmp/series"
unset PMACCT_GIT
git config --global user.name committer
git config --global user.email committer@example.org

# refuses NAME REGEX COMMAND...: asserts that the command fails and prints one line, which matches
refuses() {
	what=$1 wanted=$2
	shift 2
	if out=$("$@" 2>&1); then out="it succeeded: $out"; fi
	[ "$(echo "$out" | wc -l)" -eq 1 ] || out="not one line: $out"
	like "$what" "$out" "$wanted"
}

# same DIR DIR: whether names, types, modes and contents of all files are the same
same() {
	for d in "$1" "$2"; do (cd "$d" && find . -path ./.git -prune -o -printf '%p %y %m\n' | sort) >"$d.modes"; done
	diff "$1.modes" "$2.modes" && diff -r --exclude .git "$1" "$2"
}

cp -R "$pristine/." "$tmp/applied"
scripts/apply "$tmp/applied" >/dev/null

# ---- the series ----
scripts/export --out "$tmp/series" "${RELEASE:-$base}" >/dev/null
TZ=Asia/Tokyo scripts/export --out "$tmp/again" "${RELEASE:-$base}" >/dev/null
ok "a second export, in another time zone, has the same bytes" diff -r "$tmp/series" "$tmp/again"
is "its series file names all patches, in the order of their names" "$(cat "$tmp/series/series")" \
	"$(find "$tmp/series" -name '*.patch' -printf '%f\n' | LC_ALL=C sort)"
is "it has the overlay and every patch of patches/series" "$(cut -d- -f2- "$tmp/series/series" | paste -sd' ')" \
	"reuseport.patch $(list_patches "${RELEASE:-$base}" | sed 's,.*/,,' | paste -sd' ')"

cp -R "$pristine/." "$tmp/quilt"
ok "quilt push -a, with fuzz 0" quietly sh -c "cd $tmp/quilt && quilt push -a --fuzz=0 && ! quilt unapplied && rm -r .pc"
ok "makes the tree that scripts/apply makes" quietly same "$tmp/applied" "$tmp/quilt"

cp -R "$pristine/." "$tmp/am"
git -C "$tmp/am" init --quiet
git -C "$tmp/am" add --all --force
git -C "$tmp/am" commit --quiet --message "pristine"
git clone --quiet "$tmp/am" "$tmp/clone"
# shellcheck disable=SC2046 # names of ours, without blanks
ok "git am" quietly git -C "$tmp/am" am $(sed "s,^,$tmp/series/," "$tmp/series/series")
ok "makes the tree that scripts/apply makes" quietly same "$tmp/applied" "$tmp/am"
is "a description's first line is the subject, its author and date are the patch's" \
	"$(git -C "$tmp/am" log --format='%s|%an|%as' -1 --grep '^share nfacctd')" \
	"share nfacctd's UDP ports by exporter|pmacct-reuseport developers|$(
		sed -n 's/^Last-Update: //p' "$root/patches/nfacctd-listener.patch")"
is "and its further lines are the body" \
	"$(git -C "$tmp/am" log --format=%b -1 --grep '^share nfacctd')" \
	"$(sed -n '/^ /{s/^ //;p}; /^Author/q' "$root/patches/nfacctd-listener.patch")"

# ---- the branch, in a clone whose first commit stands for upstream's ----
project=$tmp/project
clone=$tmp/clone
mkdir "$project"
cp -R scripts patches pmacct configure.ac.patch "$project"
find_release "${RELEASE:-$base}"
upstream=$(git -C "$clone" rev-parse HEAD)
sed -i "s/$commit/$upstream/" "$project/scripts/lib/releases.sh"
branch=reuseport-${RELEASE:-$base}

# state: prints all that can be seen of the clone, except the branch
state() {
	git -C "$clone" for-each-ref | grep -v "refs/heads/$branch$"
	(cd "$clone" && find . -path ./.git/objects -prune -o -path "./.git/*refs/heads" -prune -o -type f -exec sha256sum {} +) | sort
}

export_branch() {
	"$project/scripts/export" --branch --git "$clone" "${RELEASE:-$base}"
}

echo "work in progress" >>"$clone/README" && echo "staged" >"$clone/new" && git -C "$clone" add new
state >"$tmp/before"
ok "export --branch" quietly export_branch
state >"$tmp/after"
ok "leaves HEAD, the index, the work tree and other branches alone" diff "$tmp/before" "$tmp/after"
is "has the commits that git am makes: trees, authors, dates, messages" \
	"$(git -C "$clone" log --format='%T %an <%ae> %ad %B' "$upstream..$branch")" \
	"$(git -C "$tmp/am" log --format='%T %an <%ae> %ad %B' "$upstream..")"
head=$(git -C "$clone" rev-parse "$branch")
ok "export --branch again, with the branch there" quietly export_branch
git -C "$clone" branch --quiet --delete --force "$branch"
ok "export --branch again, with the branch deleted" quietly export_branch
is "the branch is the same commit, at whatever time" "$(git -C "$clone" rev-parse "$branch")" "$head"

# ---- what a release overrides ----
mkdir "$project/patches/${RELEASE:-$base}"
sed 's/^Description: .*/Description: something else/' "$project/patches/files.patch" \
	>"$project/patches/${RELEASE:-$base}/files.patch"
"$project/scripts/export" --out "$tmp/override" "${RELEASE:-$base}" >/dev/null
like "a release's own patch takes the common one's place" "$(cat "$tmp/override/"*-files.patch)" \
	"^Subject: .PATCH [0-9]+/[0-9]+. something else$"

# ---- refusals ----
refuses "another branch of that name" "has another branch $branch already: remove it" export_branch
is "that branch stays as it was" "$(git -C "$clone" rev-parse "$branch")" "$head"
git -C "$clone" branch --quiet --move "$branch" mine
sed -i 's/^-  unlink(filename);/-  unlink(file);/' "$project/patches/${RELEASE:-$base}/files.patch"
refuses "a patch that does not fit" "files.patch does not apply to $upstream; nothing was changed in $clone" export_branch
ok "then there is no branch" not git -C "$clone" rev-parse --quiet --verify "$branch"
sed -i 's/^Last-Update: .*/Last-Update: soon/' "$project/patches/${RELEASE:-$base}/files.patch"
refuses "a patch without a date" "files.patch: Last-Update is 'soon', not a date" \
	"$project/scripts/export" --out "$tmp/none" "${RELEASE:-$base}"
refuses "an unknown release" "pmacct 0.1 is not known here; known: 1\.7\." scripts/export --out "$tmp/none" 0.1
refuses "a directory that exists" "$tmp/series exists already: remove it" scripts/export --out "$tmp/series"
refuses "--branch without a clone" "no clone given, by --git or PMACCT_GIT" scripts/export --branch
refuses "--git with a directory that is no clone" "--git $tmp: not a clone of pmacct: fatal: not a git repository" scripts/export --branch --git "$tmp"
refuses "--git with a clone that lacks the release" "has no commit $commit, pmacct ${RELEASE:-$base}: fetch it there first" \
	scripts/export --branch --git "$clone" "${RELEASE:-$base}"
refuses "--git without --branch" "--git goes with --branch" scripts/export --git "$clone"
ok "a refusal leaves nothing behind" [ ! -e "$tmp/none" ]

done_testing
