#!/bin/sh
# Instances stop and start under load, by either signal: nothing is lost, in any protocol, although templates come every
# 30 seconds only.
. "${0%/*}/lib.sh"
need_daemons
sandbox

config live 2100 3 "$by_slot" "nfacctd_templates_file: $tmp/templates.json"
start_all live 3
traffic mixed 2100 slot=1000
sleep 3

for cycle in 1 2 3 4 5 6 7 8 9 10; do
	i=$((cycle % 3))
	signal=$([ $((cycle % 2)) -eq 0 ] && echo TERM || echo INT)
	ok "cycle $cycle: index $i exits on SIG$signal, by itself and with 0" stopped "$signal" "$(pid_of live $i)"
	sleep 1
	start_and_wait live $i
done

traffic_ends
stop_all live
nothing_lost live
done_testing
