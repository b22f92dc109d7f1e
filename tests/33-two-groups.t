#!/bin/sh
# Two groups on one host, with other ports and another pin path, never touch each other: whatever happens to the first,
# each exporter stays at one index of the second, nothing is lost there, and its settings are what they were.
. "${0%/*}/lib/traffic.sh"
need_traffic
need bpftool
sandbox

set_up() {
	config first 2100 3 "reuseport_takeover: true" "reuseport_nonce: 1"
	config second 2200 2 "$by_period" "reuseport_nonce: 2" "reuseport_failover: false"
	start_all first 3
	start_all second 2
	settings >"$tmp/before"
	start_sender first netflow5 4 2100 exporters=100 ports=1 rate=500
	start_traffic netflow5 2200 period=1000
}

# settings: the second group's
settings() {
	local map
	for map in size nonce policy; do bpftool map dump pinned "$bpffs/second/$map" | grep -v '^Found'; done
}

# disturb_first: all that can happen to a group, one after the other
disturb_first() {
	local old
	crash first 0
	ok "an instance of the first group stops" stopped INT "$(pid_of first 1)"
	start_and_wait first 0
	old=$(pid_of first 2)
	mv "$tmp/first-2.log" "$tmp/old.log"
	start_and_wait first 2
	ok "an instance is taken over" exits_with_0 "$old"
	ok "the group grows" quietly "$reuseportctl" --pin-path "$bpffs/first" resize 7
	ok "the group shrinks" quietly "$reuseportctl" --pin-path "$bpffs/first" resize 3
	start_and_wait first 1
	stop_all first
	start_all first 1
}

check_second() {
	nothing_lost second
	one_index_each second 200
	settings >"$tmp/after"
	ok "the settings of the second group are what they were" diff "$tmp/before" "$tmp/after"
}

set_up
disturb_first
stop_traffic
stop_all first second
check_second
done_testing
