#!/bin/sh
# 200 exporters, 5 source ports each, and N nfacctd on one port: every exporter at exactly one instance, 0 lost.
# Three groups at a time: IPv4, IPv6, and both on one dual-stack listener.
. "${0%/*}/lib/daemons.sh"
need_daemons
sandbox

# sends FAMILY PORT: 200 exporters x 5 ports x 4 datagrams; adds up what was sent
sends() {
	"$tools/exporter" netflow5 "$1" "$2" exporters=200 ports=5 datagrams=4 rate=4000
}

# check_received NAME EXPORTERS WORDS: what the group of that name received
check_received() {
	is "$3: datagrams sent" "$(cat "$tmp/sent-$1")" $(($2 * 5 * 4))
	received "$1" >"$tmp/received"
	is "$3: each of $2 exporters at one instance" \
		"$(cut -d' ' -f1 "$tmp/received" | sort -u | wc -l) exporters, $(wc -l <"$tmp/received") places" \
		"$2 exporters, $2 places"
	sum=$(awk '{sum += $3} END {print sum + 0}' "$tmp/received")
	lost=$(($(cat "$tmp/sent-$1") - sum))
	is "$3: of $(cat "$tmp/sent-$1") datagrams sent, lost" $lost 0
	shares=$(awk '{n[$2]++} END {for (i in n) print i ":" n[i]}' "$tmp/received" | sort | tr '\n' ' ')
	diag "$3: $2 exporters, $(cat "$tmp/sent-$1") sent, $((sum)) received; exporters by instance $shares"
}

# 21 daemons at once are too many for an emulated machine
for n in 1 2 4 $([ "${SLOWER:-1}" -gt 1 ] || echo 7); do
	config v4 2104 "$n" "nfacctd_ip: 0.0.0.0"
	config v6 2106 "$n" "nfacctd_ip: ::\nnfacctd_ipv6_only: true"
	config dual 2108 "$n"
	for name in v4 v6 dual; do start_all $name "$n"; done

	sends 4 2104 >"$tmp/sent-v4"
	sends 6 2106 >"$tmp/sent-v6"
	sent=$(sends 4 2108)
	echo $((sent + $(sends 6 2108))) >"$tmp/sent-dual"
	stop_all v4 v6 dual

	check_received v4 200 "N = $n, IPv4"
	check_received v6 200 "N = $n, IPv6"
	check_received dual 400 "N = $n, dual stack"
	rm -f "$tmp"/*.csv "$tmp"/*.log
done

done_testing
