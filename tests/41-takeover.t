#!/bin/sh
# The same config is started again, and again, under load: each time the newcomer takes over, nothing is lost and no
# exporter sees another index.
. "${0%/*}/lib.sh"
need_daemons
sandbox

config live 2100 3 "$by_slot" "nfacctd_templates_file: $tmp/templates.json" "reuseport_takeover: true"
start_all live 3
traffic mixed 2100 slot=1000
sleep 3

for round in 1 2 3 4 5 6 7 8 9 10; do
	i=$((round % 3))
	old=$(pid_of live $i)
	mv "$tmp/live-$i.log" "$tmp/old.log"
	start_and_wait live $i
	status=0
	wait "$old" || status=$?
	is "round $round: the old index $i exits by itself" "$status" 0
	like "and says why" "$(cat "$tmp/old.log")" "index $i of listener nfacctd was taken over by nfacctd.* pid $(pid_of live $i)\."
done

traffic_ends
stop_all live
nothing_lost live
is "exporters that were at more than one index" \
	"$(received_by_slot live | awk '{print $1, $4}' | sort -u | cut -d' ' -f1 | sort | uniq -d | wc -l)" 0
done_testing
