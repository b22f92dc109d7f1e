# The patch series: which patches a release gets, and how one is applied. Needs common.sh and $root.
# shellcheck shell=sh disable=SC2154

case $root in
*[[:space:]]*) die "$root: the path of this directory has a blank, which separates paths here and in pmacct's build: move it to a path without" ;;
esac

# list_patches RELEASE: prints the paths of its patches in order, one a line. A patch of its own that changes nothing says why the
# release needs none, and is left out.
list_patches() {
	echo "$root/configure.ac.patch"
	sed 's/#.*//; /^[[:space:]]*$/d' "$root/patches/series" | choose_patches "$1/" ''
}

# list_branch_patches RELEASE: the same for the branch of scripts/export, as patches/series says
list_branch_patches() {
	sed -n 's/^# branch: //; /^[^#]/p' "$root/patches/series" | choose_patches "$1/" branch/ ''
}

# choose_patches FOLDER/...: reads names, and prints the path of each in the first of these folders of patches/ that has it
choose_patches() {
	local name dir
	while read -r name; do
		for dir; do
			[ -f "$root/patches/$dir$name" ] || continue
			! grep -q '^--- a/' "$root/patches/$dir$name" || echo "$root/patches/$dir$name"
			break
		done
	done
}

# list_overrides: prints each patch that a release has instead of the common one, and its length without the header. A symbolic
# link costs nothing.
list_overrides() {
	local patch lines
	find "$root/patches" -mindepth 2 -name '*.patch' ! -path '*/branch/*' | sort | while read -r patch; do
		lines="$(sed '1,/^--- a/d' "$patch" | wc -l) lines"
		[ ! -L "$patch" ] || lines="no lines, a link to $(readlink "$patch")"
		echo "${patch#"$root/patches/"}: $lines"
	done
}

# count_context PATCH: prints how many lines of context its hunks have. A hunk has as many as all releases have in common,
# since patch(1) wants the same number before and after a change.
count_context() {
	awk '/^@@/ { lines = 0; inside = 1; next } inside && /^ / { lines++; next } { inside = 0 } lines > most { most = lines }
		END { print most }' "$1"
}

# list_patched_files PATCH: prints the files that the patch changes
list_patched_files() {
	sed -n 's,^+++ b/\([^[:space:]]*\).*,\1,p' "$1"
}

# apply_patch PATCH DIR: applies it with fuzz 0, or names the patch and prints why it does not fit
apply_patch() {
	patch -p1 -F0 -s -f --no-backup-if-mismatch -r - -d "$2" -i "$1" >"$2.log" 2>&1 && return
	echo "$prog: ${1#"$root"/} does not apply:" >&2
	sed 's/^/    /' "$2.log" >&2
	return 1
}

# copy_patched TREE DIR PATCH...: copies the files that the patches change, and nothing else
copy_patched() {
	local from to patch file
	from=$1 to=$2
	shift 2
	for patch in "$@"; do list_patched_files "$patch"; done | sort -u | while read -r file; do
		[ -f "$from/$file" ] || die "$from has no $file: is this a pmacct source tree?"
		mkdir -p "$to/$(dirname "$file")"
		cp -p "$from/$file" "$to/$file"
	done
}
