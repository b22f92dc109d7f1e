# A sandbox of namespaces for what sends traffic or loads BPF programs, and networks within it. Needs common.sh, and $root, the project's.
# shellcheck shell=sh disable=SC2034,SC2154

# sandbox [ARGUMENT...]: runs the script again with these arguments, in mount, network and PID namespaces of its own, and returns
# only there. The sandbox has a loopback that accepts every address, an empty bpffs at $bpffs (the usual place), and the
# directory $tmp. When the script ends, however it ends, all that it started, mounted or configured is gone.
sandbox() {
	local child
	if [ -z "${SANDBOX:-}" ]; then
		[ "$(id -u)" -eq 0 ] || die "must be run as root: it makes network namespaces and loads BPF programs"
		make_tmp
		SANDBOX=$tmp unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$@" &
		child=$!
		trap '{ kill -KILL $child && wait $child; } 2>/dev/null || true; exit 130' HUP INT TERM
		wait $child && exit 0 || exit $?
	fi

	tmp=$SANDBOX bpffs=/sys/fs/bpf
	# The first process of a PID namespace receives only the signals that it has a handler for
	trap 'exit 130' HUP INT TERM
	let_others_enter
	mount -t bpf bpf "$bpffs"
	# 'ip netns' keeps its files there: mount it, so that the host does not see them
	mkdir -p /run/netns
	mount -t tmpfs tmpfs /run/netns
	ip link set lo up
	ip route add local 0.0.0.0/0 dev lo
	ip -6 route add local ::/0 dev lo
}

# let_others_enter: opens, in this sandbox, a directory above the project that its owner alone may enter, such as a home. Other users, and
# root without capabilities, could not start the project's programs there. What else is in that directory is not seen any more.
let_others_enter() {
	local directory="$root" closed=''
	while [ "$directory" != / ]; do
		directory=$(dirname "$directory")
		[ $((0$(stat -c %a "$directory") & 1)) -eq 1 ] || closed=$directory
	done
	[ -n "$closed" ] || return 0
	mount --bind "$root" /mnt
	mount -t tmpfs -o mode=755 tmpfs "$closed"
	mkdir -p "$root"
	mount --bind /mnt "$root"
	umount /mnt
}

# bridge PREFIX...: makes br0 with these addresses, for routers in namespaces of their own. The loopback accepts its own
# addresses only from then on.
bridge() {
	local prefix
	ip route del local 0.0.0.0/0 dev lo
	ip -6 route del local ::/0 dev lo
	# A bridge with multicast snooping drops neighbour solicitations until it has learnt who listens
	ip link add br0 type bridge mcast_snooping 0
	for prefix in "$@"; do
		# shellcheck disable=SC2046 # no word for IPv4
		ip addr add "$prefix" dev br0 $(nodad "$prefix")
	done
	ip link set br0 up
}

# router_netns NAME PREFIX: makes a network namespace with that address, connected to br0
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

# nodad PREFIX: prints the option that makes 'ip addr add' skip duplicate address detection, which takes a second, for IPv6
nodad() {
	case $1 in *:*) echo nodad ;; esac
}
