#!/bin/sh
# Instances stop and start under load, by either signal: nothing is lost, in any protocol, although templates come every
# 30 seconds only.
. "${0%/*}/lib/traffic.sh"
need_traffic
sandbox

set_up() {
	config live 2100 3 "$by_period"
	start_all live 3
	start_traffic mixed 2100 period=1000
	await 10 all_learnt live 132
}

# restart CYCLE SIGNAL: an instance stops, the others do without it for a second, and it is back
restart() {
	local i=$(($1 % 3))
	ok "cycle $1: index $i exits on SIG$2, by itself and with 0" stopped "$2" "$(pid_of live $i)"
	sleep 1
	start_and_wait live $i
}

set_up
for cycle in 1 3 5 7 9; do
	restart $cycle INT
	restart $((cycle + 1)) TERM
done
stop_traffic
stop_all live
nothing_lost live
done_testing
