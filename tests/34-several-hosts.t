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
	since=$(date +%s) status=0
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

# only_its ROW: asserts by the samples that only the lost host's exporters move, and that all return
only_its() {
	moved=$(counted "$1" "moved, of the lost host")
	ok "$1: exporters of the lost host move (${moved:=0})" [ "$moved" -gt 0 ]
	is "$1: exporters of other hosts that move" "$(counted "$1" "moved, of the others")" 0
	is "$1: when the host is back, exporters that have not returned, its own and others'" \
		"$(counted "$1" "not returned, of the lost host") $(counted "$1" "not returned, of the others")" "0 0"
}

# left: prints what a lab might leave behind
left() {
	find /sys/fs/bpf /run/netns -mindepth 1 2>/dev/null | sort
	ip -o link | cut -d: -f2
}

left >"$tmp/before"
lab ecmp
only_its "ECMP, resilient"
moved=$(counted "ECMP, hash-threshold" "moved, of the others")
ok "an ordinary group moves some exporters of other hosts, too (${moved:=0})" [ "$moved" -gt 0 ]

if [ -n "$ipvs" ]; then
	lab ipvs
	only_its "IPVS, mh, weight 0"
else
	diag "this kernel has no IPVS"
fi

since=$(date +%s) status=0
printf '%s\n' 'ip -n router route get 203.0.113.1 from 10.0.0.7 iif eth0' \
	'nsenter --net=/run/netns/h2 reuseportctl/reuseportctl --pin-path /sys/fs/bpf/h2 status' exit |
	SHELL=/bin/sh timeout $((300 * ${SLOWER:-1})) script -qec "scripts/lab --hosts 2 --shell ecmp" /dev/null >"$tmp/out" || status=$?
is "lab --shell ends with its shell" "$status" 0
like "where one can ask for the way" "$(cat "$tmp/out")" "via 192\.0\.2\.1[12] "
like "and look at a host" "$(cat "$tmp/out")" "/sys/fs/bpf/h2: 2 buckets, nonce 20260808"
diag "$(($(date +%s) - since)) s"

left >"$tmp/after"
ok "nothing is left of it" diff "$tmp/before" "$tmp/after"
done_testing
