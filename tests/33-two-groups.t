#!/bin/sh
# Two groups on one host, with other ports and another pin path, never touch each other: whatever happens to the first,
# each exporter stays at one index of the second, nothing is lost there, and its settings are what they were.
. "${0%/*}/lib.sh"
need_daemons
need bpftool
sandbox

config first 2100 3 "reuseport_takeover: true" "reuseport_nonce: 1"
config second 2200 2 "$by_slot" "reuseport_nonce: 2" "reuseport_failover: false"
start_all first 3
start_all second 2
settings() {
	for map in size nonce policy; do bpftool map dump pinned "$bpffs/second/$map" | grep -v '^Found'; done
}
settings >"$tmp/before"
"$tools/exporter" netflow5 4 2100 exporters=100 ports=1 datagrams=0 rate=500 >/dev/null &
echo $! >"$tmp/senders"
traffic netflow5 2200 slot=1000

crash first 0
ok "an instance of the first stops" stopped INT "$(pid_of first 1)"
start_and_wait first 0
old=$(pid_of first 2)
mv "$tmp/first-2.log" "$tmp/old.log"
start_and_wait first 2
ok "one is taken over" wait "$old"
ok "it grows" quietly "$reuseportctl" --pin-path "$bpffs/first" resize 7
ok "and shrinks" quietly "$reuseportctl" --pin-path "$bpffs/first" resize 3
start_and_wait first 1
stop_all first
start_all first 1
sleep 1

traffic_ends
stop_all first second
nothing_lost second
is "exporters of the second that were at more than one index" \
	"$(received_by_slot second | awk '{print $1, $4}' | sort -u | cut -d' ' -f1 | sort | uniq -d | wc -l)" 0
settings >"$tmp/after"
ok "its settings are what they were" diff "$tmp/before" "$tmp/after"
done_testing
