#!/bin/sh
# 200 exporters, 5 source ports each, and N nfacctd on one port: every exporter at exactly one instance, 0 lost.
# Three groups at a time: IPv4, IPv6, and both on one dual-stack listener.
. "${0%/*}/lib/daemons.sh"
need_daemons
sandbox

# start_groups INSTANCES: so many of each group
start_groups() {
	local name
	config v4 2104 "$1" "nfacctd_ip: 0.0.0.0"
	config v6 2106 "$1" "nfacctd_ip: ::\nnfacctd_ipv6_only: true"
	config dual 2108 "$1"
	for name in v4 v6 dual; do start_all $name "$1"; done
}

# sends FAMILY PORT: 200 exporters x 5 ports x 4 datagrams; prints how many were sent
sends() {
	"$tools/exporter" netflow5 "$1" "$2" exporters=200 ports=5 datagrams=4 rate=4000
}

send_to_groups() {
	local sent
	sends 4 2104 >"$tmp/sent-v4"
	sends 6 2106 >"$tmp/sent-v6"
	sent=$(sends 4 2108)
	echo $((sent + $(sends 6 2108))) >"$tmp/sent-dual"
}

# check_received NAME EXPORTERS INSTANCES WORDS: what the group of that name received
check_received() {
	local name="$1" exporters="$2" instances="$3" words="$4" sent shares
	sent=$(cat "$tmp/sent-$name")
	is "$words: datagrams sent" "$sent" $((exporters * 5 * 4))
	received "$name" >"$tmp/received"
	is "$words: each of $exporters exporters at one instance" "$(count_places)" \
		"$exporters exporters, $exporters places, $instances instances"
	is "$words: of $sent datagrams sent, lost" $((sent - $(total_received))) 0
	shares=$(awk '{n[$2]++} END {for (i in n) print i ":" n[i]}' "$tmp/received" | sort | tr '\n' ' ')
	diag "$words: $exporters exporters, $sent sent, $(total_received) received; exporters by instance $shares"
}

# balance INSTANCES: so many of each group have one exporter at one instance
balance() {
	start_groups "$1"
	send_to_groups
	stop_all v4 v6 dual
	check_received v4 200 "$1" "N = $1, IPv4"
	check_received v6 200 "$1" "N = $1, IPv6"
	check_received dual 400 "$1" "N = $1, dual stack"
	rm -f "$tmp"/*.csv "$tmp"/*.log
}

balance 1
balance 2
balance 4
# 21 daemons at once are too many for an emulated machine
[ "${SLOWER:-1}" -gt 1 ] || balance 7
done_testing
