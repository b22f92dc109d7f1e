#!/bin/sh
# Several hosts with two instances each, by scripts/lab, which itself fails if a promise is broken: behind a router with ECMP, and
# behind IPVS where the kernel has it; 'scripts/ci/check-kernels --suites bookworm tests/34-several-hosts.t' boots one
# that has.
. "${0%/*}/lib/daemons.sh"
need_daemons
need ip ss script
# No package can add what the running kernel lacks: a skip, even with CHECK_STRICT
[ -e /proc/sys/net/ipv4/fib_multipath_hash_fields ] || {
	echo "1..0 # SKIP this kernel cannot hash on the source address alone: Linux 5.12"
	exit 0
}
ipvs=''
if modprobe -q ip_vs_mh 2>/dev/null || [ -e /proc/net/ip_vs ]; then
	need ipvsadm nft
	ipvs=yes
fi
make_tmp
cd "$root"

# lab MODE: asserts that the lab succeeds
lab() {
	local since status=0
	since=$(date +%s)
	timeout $((600 * ${SLOWER:-1})) scripts/lab --samples "$tmp/samples" "$1" >"$tmp/out" 2>&1 || status=$?
	is "lab $1 succeeds" "$status" 0
	diag "$(cat "$tmp/out")"
	diag "$(($(date +%s) - since)) s"
	like "its last line says what it has shown" "$(tail -n 1 "$tmp/out")" \
		"^lab: 200 exporters, 3 hosts of 2 instances: flows and BMP of each at one; a host lost and back as promised$"
}

# counted ROW METRIC: prints that sample
counted() {
	awk -F '\t' -v row="$1" -v metric="$2" '$1 == "hosts" && $2 == row && $3 == metric { print $5 }' "$tmp/samples"
}

# some_move ASSERTION ROW METRIC: asserts that the sample is not 0
some_move() {
	local moved
	moved=$(counted "$2" "$3")
	ok "$1 (${moved:=0})" [ "$moved" -gt 0 ]
}

# only_its ROW: asserts by the samples that only the lost host's exporters move, and that all return
only_its() {
	some_move "$1: exporters of the lost host move" "$1" "moved, of the lost host"
	is "$1: exporters of other hosts that move" "$(counted "$1" "moved, of the others")" 0
	is "$1: when the host is back, exporters that have not returned, its own and others'" \
		"$(counted "$1" "not returned, of the lost host") $(counted "$1" "not returned, of the others")" "0 0"
}

behind_ecmp() {
	lab ecmp
	only_its "ECMP, resilient"
	some_move "an ordinary group moves some exporters of other hosts, too" "ECMP, hash-threshold" "moved, of the others"
}

behind_ipvs() {
	if [ -n "$ipvs" ]; then
		lab ipvs
		only_its "IPVS, mh, weight 0"
	else
		diag "this kernel has no IPVS"
	fi
}

use_its_shell() {
	local since status=0
	since=$(date +%s)
	printf '%s\n' 'ip -n router route get 203.0.113.1 from 10.0.0.7 iif eth0' \
		'nsenter --net=/run/netns/h2 reuseportctl/reuseportctl --pin-path /sys/fs/bpf/h2 status' exit |
		SHELL=/bin/sh timeout $((300 * ${SLOWER:-1})) script -qec "scripts/lab --hosts 2 --shell ecmp" /dev/null >"$tmp/colours" || status=$?
	sed 's/\x1b\[[0-9;]*m//g' "$tmp/colours" >"$tmp/out"
	is "lab --shell ends with its shell" "$status" 0
	like "where one can ask for the way" "$(cat "$tmp/out")" "via 192\.0\.2\.1[12] "
	like "and look at a host" "$(cat "$tmp/out")" "/sys/fs/bpf/h2: 2 buckets, nonce 20260808"
	diag "$(($(date +%s) - since)) s"
}

before=$(list_left)
behind_ecmp
behind_ipvs
use_its_shell
is "nothing is left of it" "$(list_left)" "$before"
done_testing
