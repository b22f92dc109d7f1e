#!/bin/sh
# Recorded routers of pmacct's own test suite, Cisco's, Huawei's and others': with all that can happen to the instance that serves them, the
# flow records are those of one undisturbed instance. The recordings are not in this repository.
#
#   RECORDED_ROUTERS  a clone of pmacct's repository: https://github.com/pmacct/pmacct; or none
. "${0%/*}/lib/traffic.sh"
if [ "${RECORDED_ROUTERS:-}" = none ]; then
	echo "1..0 # SKIP RECORDED_ROUTERS is none"
	exit 0
fi
[ -n "${RECORDED_ROUTERS:-}" ] || skip_all "set RECORDED_ROUTERS to a clone of pmacct's repository, or to none"
need_traffic
need perl git
sandbox

file=$tmp/pcap
columns="peer_src_ip, src_host, dst_host, src_port, dst_port, proto, tos, in_iface, out_iface, mpls_vpn_rd, sampling_rate"
# the development branch has more of what options data tell
[ "${RELEASE:-}" != tip ] || columns="$columns, ingress_vrf_name, egress_vrf_name, in_iface_name, out_iface_name"

# pcap FILE ARGUMENT...: see tests/tools/pcap.pl
pcap() {
	perl "$root/tests/tools/pcap.pl" "$@"
}

# recordings: their paths in the repository
recordings() {
	git -C "$RECORDED_ROUTERS" ls-tree -r --name-only HEAD tests | grep -E '^tests/(104|106|110|111|112|40[0-3]|50[0-2])-[^/]*/traffic-[0-9]+\.pcap$'
}

# configure NAME COUNT
configure() {
	config "$1" 2100 "$2" "aggregate[p]: $columns" "nfacctd_renormalize: true" "reuseport_takeover: true" "maps_entries: 1000"
}

# records NAME: the rows of all instances, packets and bytes added up
records() {
	cat "$tmp/$1"-?.csv | grep -v PEER_SRC_IP | awk -F, '{bytes = $NF; packets = $(NF - 1); sub(/,[^,]*,[^,]*$/, ""); p[$0] += packets; b[$0] += bytes}
		END {for (row in p) print row "," p[row] "," b[row]}' | sort
}

# undisturbed FILE DATAGRAMS
undisturbed() {
	configure alone 1
	start_and_wait alone 0
	pcap "$1" send 0 "$2"
	stop_all alone
}

# part N: sends the Nth of six parts of the recording, and waits until it is read
part() {
	pcap "$file" send $((n * $1 / 6)) $((n * ($1 + 1) / 6))
	await 20 queues_empty 2100
	sleep 0.2
}

# disturbed FILE DATAGRAMS: instance 0 serves all, as long as it is there
disturbed() {
	local old prefix
	configure group 3
	start_all group 3
	for prefix in 0.0.0.0/0 ::/0; do "$reuseportctl" --pin-path "$bpffs/group" override add $prefix 0; done
	part 0
	stopped INT "$(pid_of group 0)" || diag "it does not stop"
	part 1
	start_and_wait group 0
	part 2
	old=$(pid_of group 0)
	start_and_wait group 0
	exits_with_0 "$old" || diag "it is not taken over"
	part 3
	crash group 0
	part 4
	start_and_wait group 0
	part 5
	stop_all group
}

recordings >"$tmp/recordings"
at_least "recordings in $RECORDED_ROUTERS" "$(wc -l <"$tmp/recordings")" 10
while read -r path; do
	name=${path#tests/}
	git -C "$RECORDED_ROUTERS" show "HEAD:$path" >"$file" 2>/dev/null || {
		diag "$name: this clone lacks it"
		continue
	}
	n=$(pcap "$file" count)
	[ "$n" -gt 0 ] || continue
	rm -f "$tmp"/*.csv
	undisturbed "$file" "$n"
	disturbed "$file" "$n"
	records alone >"$tmp/alone"
	records group >"$tmp/group"
	ok "$name: $n datagrams, $(wc -l <"$tmp/alone") different flow records: the same" diff "$tmp/alone" "$tmp/group"
done <"$tmp/recordings"
done_testing
