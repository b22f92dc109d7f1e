# The releases of pmacct that the series supports, and where their source is pinned.
# shellcheck shell=sh disable=SC2034

# The release that the patches are made from, and the default of every script
base=1.7.8

# Release, SHA-256 of Debian's orig tarball or '-', commit in pmacct's git repository
releases='
1.7.6 - 241b5dbaceac3400c95f5bad3e8afa93186e04d0
1.7.7 - ef37a415504c9c3e6afeaecb2f0cce4eb698e648
1.7.8 4df50a3c6c7bdace3345bbf3bd4f6fa7a6722ec1fb45dfd266ad956b327da98a 723b0cb2ad8e55b53df458ec80fe33b0541856a7
1.7.9 - 32fd57ebb5fa966eece1e48ac19e94bb715f0678
tip - 743f0c06afeea89591f3d7ad02cd109399356595
'

# find_release RELEASE: sets $sha256 and $commit to what the release is pinned to; an unknown release ends the script
find_release() {
	local row
	row=$(echo "$releases" | awk -v r="$1" '$1 "" == r "" && r != ""')
	[ -n "$row" ] || die "pmacct $1 is not known here; known:$(echo "$releases" | cut -d' ' -f1 | tr '\n' ' ')"
	row=${row#* }
	sha256=${row% *} commit=${row#* }
}

# read_release TREE: prints the release of a source tree as its VERSION file has it; for a branch, the release that it will become
read_release() {
	[ -f "$1/VERSION" ] && [ -f "$1/src/nfacctd.c" ] || die "$1 is not a pmacct source tree"
	sed 's/-git$//' "$1/VERSION"
}
