#!/bin/sh
# The two public selectors that others run, as compiled from their sources: 3 nfacctd and 3 pmbmpd balance with each, and
# say in one line what it lacks. Nobody's source or object is in this repository; they come by variable, and what is not
# given is skipped by name:
#
#   STRANGER_FOLLOWED     reuseport.o, of the system this one follows: https://github.com/eduarrrd/reuseport
#   STRANGER_CONFIG_KEYS  unyte_reuseport_kern.o, of the one that pmacct's CONFIG-KEYS names:
#                         https://github.com/network-analytics/ebpf-loadbalancer, once insa-unyte/ebpf-loadbalancer
. "${0%/*}/lib.sh"
need_daemons
need jq
sandbox

# sessions: the routers whose BMP sessions each instance of pmbmpd has seen, lines "router index"
sessions() {
	for i in 0 1 2; do
		jq -r --arg i $i 'select(.bmp_msg_type == "init") | .bmp_router + " " + $i' "$tmp/$1-$i.json"
	done | sort
}

all_seen() {
	[ "$(cat "$tmp/$1"-?.json 2>/dev/null | grep -c '"init"')" -eq 100 ]
}

# one_place NAME: $tmp/NAME.places, lines "exporter index": 100 exporters, each at one instance, all three in use
one_place() {
	is "$1: 100 exporters, each at one of three instances" \
		"$(cut -d' ' -f1 "$tmp/$1.places" | sort -u | wc -l) $(sort -u "$tmp/$1.places" | wc -l) $(cut -d' ' -f2 "$tmp/$1.places" | sort -u | wc -l)" \
		"100 100 3"
	diag "$1: exporters by instance: $(cut -d' ' -f2 "$tmp/$1.places" | sort | uniq -c | awk '{printf "%s:%s ", $2, $1}')"
}

# balances NAME VARIABLE OBJECT
balances() {
	if [ -z "$3" ]; then
		count=$((count + 1))
		echo "ok $count - $1 # SKIP no $2"
		return
	fi
	[ -f "$3" ] || die "$2 is $3: no such file"
	config "$1" 2100 3 "reuseport_bpf_prog: $3"
	start_all "$1" 3
	for i in 0 1 2; do
		{
			grep '^reuseport' "$tmp/$1.conf"
			printf '%s\n' "bmp_daemon_port: 1790" "bmp_daemon_max_peers: 200" "bmp_daemon_msglog_file: $tmp/$1-$i.json"
		} >"$tmp/$1-bmp-$i.conf"
		"$pmbmpd" -f "$tmp/$1-bmp-$i.conf" -x $i >"$tmp/$1-bmp-$i.log" 2>&1 &
		echo $! >>"$tmp/$1.pmbmpd"
	done
	for i in 0 1 2; do wait_for 20 grep -q 'listener bmp joined' "$tmp/$1-bmp-$i.log"; done
	for log in "$tmp/$1"-[012].log "$tmp/$1"-bmp-[012].log; do
		is "$1: ${log##*/}: one WARN line, and what it lacks" "$(grep -E 'WARN|ERROR' "$log" | sed 's/.*: reuseport: //')" \
			"$3 lacks the maps policy, overrides, owners, counters, and does no failover: use reuseport.o to have what they are for."
	done
	is "$1: pinned is what belongs to the group, where it belongs" "$(cd "$bpffs" && find . -type f ! -name '*.debug' | sort | tr '\n' ' ')" \
		"./$1/bmp/tcp_balancing_targets ./$1/nfacctd/udp_balancing_targets ./$1/nonce ./$1/size "

	"$tools/exporter" bmp 4 1790 exporters=100 ports=1 >/dev/null &
	routers=$!
	sent=$("$tools/exporter" netflow5 4 2100 exporters=100 ports=3 datagrams=4 rate=4000)
	ok "$1: 100 BMP sessions are up" wait_for 30 all_seen "$1"
	sessions "$1" >"$tmp/$1-bmp.places"
	kill "$routers" && wait "$routers" || true
	while read -r p; do stopped TERM "$p" || true; done <"$tmp/$1.pmbmpd"
	stop_all "$1"
	received "$1" | cut -d' ' -f1,2 >"$tmp/$1.places"
	one_place "$1"
	is "$1: of $sent datagrams sent, lost" $((sent - $(received "$1" | awk '{sum += $3} END {print sum}'))) 0
	one_place "$1-bmp"
	ok "$1: flows and session of each at the same index" diff "$tmp/$1.places" "$tmp/$1-bmp.places"
	rm -rf "${bpffs:?}/$1"
}

balances followed STRANGER_FOLLOWED "${STRANGER_FOLLOWED:-}"
balances config-keys STRANGER_CONFIG_KEYS "${STRANGER_CONFIG_KEYS:-}"

done_testing
