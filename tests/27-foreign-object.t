#!/bin/sh
# An object from elsewhere, with the maps of the contract alone and the old section name: nfacctd balances with it,
# and says in one line what it lacks.
. "${0%/*}/lib/daemons.sh"
need_daemons
need clang
sandbox

start_group() {
	foreign=$(foreign_object)
	config other 2100 3 "reuseport_bpf_prog: $foreign"
	start_all other 3
}

say_what_it_lacks() {
	local i
	for i in 0 1 2; do
		is "instance $i: one WARN line, and what it lacks" "$(grep WARN "$tmp/other-$i.log")" \
			"WARN ( default/core ): reuseport: $foreign lacks the maps policy, slots, weights, overrides, quarantine, exporter_state, state_changes, instances, owners, counters, and does no failover, and keeps neither templates nor sampling rates: use reuseport.o to have what they are for."
	done
}

pin_what_it_has() {
	is "pinned is what it has, in the group's directory alone" "$(cd "$bpffs" && find . -type f ! -name '*.debug' | sort | tr '\n' ' ')" \
		"./other/nfacctd/_selector ./other/nfacctd/udp_balancing_targets ./other/nonce ./other/size "
}

balance() {
	local sent
	sent=$("$tools/exporter" netflow5 4 2100 exporters=100 ports=3 datagrams=4 rate=4000)
	is "datagrams sent" "$sent" 1200
	stop_all other
	received other >"$tmp/received"
	is "100 exporters, each at one of three instances" "$(count_places)" "100 exporters, 100 places, 3 instances"
	is "of $sent datagrams sent, lost" $((sent - $(total_received))) 0
}

start_group
say_what_it_lacks
pin_what_it_has
balance
done_testing
