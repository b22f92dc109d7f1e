#!/bin/sh
# The same config is started again, and again, under load: each time the new instance takes over, nothing is lost and no
# exporter sees another index.
. "${0%/*}/lib/traffic.sh"
need_traffic
sandbox

# take_over NAME INSTANCES ROUND: an instance is started again
take_over() {
	local i=$(($3 % $2)) old
	old=$(pid_of "$1" $i)
	mv "$tmp/$1-$i.log" "$tmp/old.log"
	start_and_wait "$1" $i
	ok "$1, round $3: the old index $i exits by itself, and with 0" exits_with_0 "$old"
	like "$1, round $3: it says why" "$(cat "$tmp/old.log")" \
		"index $i of listener nfacctd was taken over by nfacctd.* pid $(pid_of "$1" $i)\."
}

three_instances() {
	local round
	config live 2100 3 "$by_period" "reuseport_takeover: true"
	start_all live 3
	start_traffic mixed 2100 period=1000
	await 10 all_learnt live 132
	for round in 1 2 3 4 5 6 7 8 9 10; do take_over live 3 $round; done
	stop_traffic
	stop_all live
	nothing_lost live
	one_index_each live 200
}

# one_instance: the same for reuseport_hashbucket_count: 1
one_instance() {
	local round
	config alone 2110 1 "$by_period" "reuseport_takeover: true"
	start_all alone 1
	start_traffic netflow5 2110 period=1000
	for round in 1 2; do take_over alone 1 $round; done
	stop_traffic
	stop_all alone
	nothing_lost alone
}

three_instances
one_instance
done_testing
