# What the scripts share; sourced, with $root set to the project's root.
# shellcheck shell=sh disable=SC2154

prog=${0##*/}

# The release that the patches are made from, and that is meant where none is named
# shellcheck disable=SC2034
base=1.7.8

die() {
	echo "$prog: $*" >&2
	exit 1
}

# help: prints the script's own header comment
help() {
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
	exit 0
}

# usage_error WORDS: a call that makes no sense
usage_error() {
	echo "$prog: $*; see '$prog --help'" >&2
	exit 2
}

# make_tmp: a directory in $tmp that goes away with the script
make_tmp() {
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' HUP INT TERM
}

# release  SHA-256 of Debian's orig tarball, or -  commit of pmacct
releases='
1.7.6 - 241b5dbaceac3400c95f5bad3e8afa93186e04d0
1.7.7 - ef37a415504c9c3e6afeaecb2f0cce4eb698e648
1.7.8 4df50a3c6c7bdace3345bbf3bd4f6fa7a6722ec1fb45dfd266ad956b327da98a 723b0cb2ad8e55b53df458ec80fe33b0541856a7
1.7.9 - 32fd57ebb5fa966eece1e48ac19e94bb715f0678
tip - 743f0c06afeea89591f3d7ad02cd109399356595
'

# pinned RELEASE: sets $sha256 and $commit, or dies
pinned() {
	row=$(echo "$releases" | awk -v r="$1" '$1 "" == r "" && r != ""')
	[ -n "$row" ] || die "pmacct $1 is not known here; known:$(echo "$releases" | cut -d' ' -f1 | tr '\n' ' ')"
	row=${row#* }
	# shellcheck disable=SC2034 # for who asked
	sha256=${row% *} commit=${row#* }
}

# release_of TREE: which pmacct release a source tree is, as its VERSION file says; a branch is the release that it is to be
release_of() {
	[ -f "$1/VERSION" ] && [ -f "$1/src/nfacctd.c" ] || die "$1 is not a pmacct source tree"
	sed 's/-git$//' "$1/VERSION"
}

# series RELEASE: the patches for it, in order, one path a line
series() {
	echo "$root/configure.ac.patch"
	sed 's/#.*//; /^[[:space:]]*$/d' "$root/patches/series" | while read -r name; do
		if [ -f "$root/patches/$1/$name" ]; then
			echo "$root/patches/$1/$name"
		else
			echo "$root/patches/$name"
		fi
	done
}

# overrides: what it costs that a release has a patch of its own: lines of it, without its header; a link costs none
overrides() {
	find "$root/patches" -mindepth 2 -name '*.patch' | sort | while read -r p; do
		lines="$(sed '1,/^--- a/d' "$p" | wc -l) lines"
		[ ! -L "$p" ] || lines="no lines, it is $(readlink "$p")"
		echo "${p#"$root/patches/"}: $lines"
	done
}

# context PATCH: how many lines of context it has. As many as all releases have in common: patch(1) wants as many before a
# change as after it.
context() {
	awk '/^@@/ { lines = 0; inside = 1; next } inside && /^ / { lines++; next } { inside = 0 } lines > most { most = lines }
		END { print most }' "$1"
}

# patched_files PATCH: which files it changes
patched_files() {
	sed -n 's,^+++ b/\([^[:space:]]*\).*,\1,p' "$1"
}

# apply_patch PATCH DIR: with fuzz 0, or says which patch does not fit and why
apply_patch() {
	patch -p1 -F0 -s -f --no-backup-if-mismatch -r - -d "$2" -i "$1" >"$2.log" 2>&1 && return
	echo "$prog: ${1#"$root"/} does not apply:" >&2
	sed 's/^/    /' "$2.log" >&2
	return 1
}

# copy_patched TREE DIR PATCH...: the files that the patches change, and nothing else
copy_patched() {
	from=$1 to=$2
	shift 2
	for p in "$@"; do patched_files "$p"; done | sort -u | while read -r file; do
		[ -f "$from/$file" ] || die "$from has no $file: is this a pmacct source tree?"
		mkdir -p "$to/$(dirname "$file")"
		cp -p "$from/$file" "$to/$file"
	done
}

# sandbox ARGUMENT...: runs the script once more, in mount, network and PID namespaces of its own, and returns only
# there: with a loopback that takes any address for its own, an empty bpffs at $bpffs, the usual place, and $tmp to
# write to. All that it starts, mounts or configures is gone when it ends, however it ends.
sandbox() {
	if [ -z "${SANDBOX:-}" ]; then
		[ "$(id -u)" -eq 0 ] || die "must be run as root: it makes network namespaces and loads BPF programs"
		make_tmp
		SANDBOX=$tmp unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$@" &
		child=$!
		trap '{ kill -KILL $child && wait $child; } 2>/dev/null || true; exit 130' HUP INT TERM
		wait $child && exit 0 || exit $?
	fi

	tmp=$SANDBOX bpffs=/sys/fs/bpf
	# PID 1 of a namespace gets only the signals that it has a handler for
	trap 'exit 130' HUP INT TERM
	mount -t bpf bpf "$bpffs"
	# where 'ip netns' keeps its files: its own, so that the host sees nothing of them
	mkdir -p /run/netns
	mount -t tmpfs tmpfs /run/netns
	ip link set lo up
	ip route add local 0.0.0.0/0 dev lo
	ip -6 route add local ::/0 dev lo
}

# bridge PREFIX...: in a sandbox where routers have namespaces of their own: br0 has these addresses, and the loopback no others
bridge() {
	ip route del local 0.0.0.0/0 dev lo
	ip -6 route del local ::/0 dev lo
	# One that snoops drops neighbour solicitations until it knows who listens
	ip link add br0 type bridge mcast_snooping 0
	for prefix in "$@"; do
		# shellcheck disable=SC2046 # or nothing
		ip addr add "$prefix" dev br0 $(nodad "$prefix")
	done
	ip link set br0 up
}

# router_netns NAME PREFIX: such a namespace, with that address, behind br0
router_netns() {
	ip netns add "$1"
	ip link add "$1" master br0 type veth peer name eth0 netns "$1"
	ip link set "$1" up
	ip -n "$1" -batch - <<-END
		addr add $2 dev eth0 $(nodad "$2")
		link set lo up
		link set eth0 up
	END
}

# nodad PREFIX: what 'ip addr add' is to be told of an IPv6 address, which would not be usable for a second
nodad() {
	case $1 in *:*) echo nodad ;; esac
}

# wait_for SECONDS COMMAND...: until the command succeeds; fails if it does not in time. SLOWER: so many times as long, where
# the machine is emulated
wait_for() {
	tenths=$(($1 * 10 * ${SLOWER:-1}))
	shift
	while ! "$@"; do
		[ "$tenths" -gt 0 ] || return 1
		tenths=$((tenths - 1))
		sleep 0.1
	done
}

# debian SUITE COMMAND ARGUMENT...: apt-get or apt-cache on one suite of Debian's archive, with lists and packages of its own
# in build/debian/SUITE, nothing installed: what the host has, and its sources, do not matter
debian() {
	state=$root/build/debian/$1
	if [ ! -s "$state/sources.list" ]; then
		mkdir -p "$state/lists/partial" "$state/archives/partial"
		: >"$state/status"
		debian_sources "$1" >"$state/sources.list"
	fi
	shift
	"$@" -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State="$state" \
		-o Dir::State::Status="$state/status" -o Dir::Cache="$state" -o Acquire::Languages=none -o APT::Sandbox::User=root \
		-o Acquire::Check-Valid-Until=false
}

# debian_sources SUITE: its sources.list, from the mirrors that apt knows on this host
debian_sources() {
	key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
	mirror=$(mirrors Debian | head -n 1)
	security=$(mirrors Debian-Security | head -n 1)
	for type in deb deb-src; do
		echo "$type $key ${mirror:-http://deb.debian.org/debian} $1 main"
		[ "$1" = sid ] || echo "$type $key ${security:-http://deb.debian.org/debian-security} $1-security main"
	done
}

# mirrors LABEL: the addresses in apt's own configuration
mirrors() {
	# shellcheck disable=SC2016 # apt's own syntax
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' "Label: $1" | sort -u
}
