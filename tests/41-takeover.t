#!/bin/sh
# The same config is started again, and again, under load: each time the new instance takes over, nothing is lost and no
# exporter sees another index.
. "${0%/*}/lib/traffic.sh"
need_traffic
sandbox

set_up() {
	config live 2100 3 "$by_period" "nfacctd_templates_file: $tmp/templates.json" "reuseport_takeover: true"
	start_all live 3
	start_traffic mixed 2100 period=1000
	await 10 all_learnt
}

# take_over ROUND: an instance is started again
take_over() {
	local i=$(($1 % 3)) old
	old=$(pid_of live $i)
	mv "$tmp/live-$i.log" "$tmp/old.log"
	start_and_wait live $i
	ok "round $1: the old index $i exits by itself, and with 0" exits_with_0 "$old"
	like "round $1: it says why" "$(cat "$tmp/old.log")" \
		"index $i of listener nfacctd was taken over by nfacctd.* pid $(pid_of live $i)\."
}

set_up
for round in 1 2 3 4 5 6 7 8 9 10; do take_over $round; done
stop_traffic
stop_all live
nothing_lost live
one_index_each live 200
done_testing
