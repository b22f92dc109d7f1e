#!/bin/sh
# A group of units grows and shrinks by scripts/scale, at 20,000 datagrams a second: nothing is lost. A step that fails is undone, and what
# cannot be done is refused before the first step.
. "${0%/*}/lib/systemd.sh"
need_traffic
need systemd systemctl flock
sandbox

PATH=${reuseportctl%/*}:$PATH

# scale COUNT: its output goes to $tmp/scale
scale() {
	"$root/scripts/scale" --user live "$1" >"$tmp/scale" 2>&1
}

# is_scaled N: asserts that there are so many instances: buckets, configs, units
is_scaled() {
	local i
	like "$1 instances: buckets" "$(reuseportctl --pin-path "$bpffs/live" status)" "^$bpffs/live: $1 buckets, nonce 42, failover on"
	is "$1 instances: reuseport_hashbucket_count" "$(sed -n 's/^reuseport_hashbucket_count: //p' "$tmp/live.conf")" "$1"
	is "$1 instances: units that are active" "$(for i in 0 1 2 3 4 5 6; do systemctl --user is-active "live@$i"; done | grep -cx active)" "$1"
}

# scales N REGEX...: asserts that it gets so many instances, and that it says each of these
scales() {
	local before says instances="$1"
	before=$(date +%s%N)
	shift
	ok "scale to $instances" scale "$instances" || diag "$(cat "$tmp/scale")"
	diag "$instances instances after $(ms_since "$before") ms"
	for says; do like "scale to $instances says it" "$(cat "$tmp/scale")" "$says"; done
	is_scaled "$instances"
	sleep 2
}

# refuses N REGEX: asserts that it does not, and that all is as before, with M instances
refuses() {
	ok "scale to $1 fails" not scale "$1"
	like "scale to $1: why" "$(cat "$tmp/scale")" "$2"
	is_scaled "$3"
}

# make_small_disk: the config is on a file system that takes two pages; before there is a systemd, which has mounts of its own
make_small_disk() {
	mkdir "$tmp/small"
	mount -t tmpfs -o size=8k tmpfs "$tmp/small"
	ln -s small/live.conf "$tmp/live.conf"
}

configure() {
	local i
	config live 2100 2 "$by_period" "print_output_file[p]: $tmp/live.csv" "nfacctd_templates_file: $tmp/live.json" "reuseport_nonce: 42"
	chmod 640 "$tmp/small/live.conf"
	unit live
	for i in 2 3 4 5 6; do : >"$tmp/live-$i.log"; done
}

# rebalanced BUCKET: gives it 20 overrides as 'rebalance' makes them, of which some are of no use, and keeps the weights
rebalanced() {
	{
		reuseportctl --pin-path "$bpffs/live" override list
		seq -f "192.0.2.%g $1 rebalanced" 20 39
	} | quietly reuseportctl --pin-path "$bpffs/live" override load -
}

# give_shares: buckets 3 and 4 have weights and an override of 'rebalance', which do not keep them from going
give_shares() {
	quietly reuseportctl --pin-path "$bpffs/live" weight 3 50
	quietly reuseportctl --pin-path "$bpffs/live" drain 4
	rebalanced 4
}

# scale_unheard COUNT FD: its output goes to that descriptor
scale_unheard() {
	"$root/scripts/scale" --user live "$1" >&"$2" 2>&1
}

# fail_unheard: the same where no write succeeds, to a pipe whose reader is gone and, as to a terminal that is gone, to /dev/full
fail_unheard() {
	mkfifo "$tmp/pipe"
	exec 8<>"$tmp/pipe"
	exec 7>"$tmp/pipe" 8>&- 6>/dev/full
	ok "scale to 5 fails, its output to a pipe without a reader" not scale_unheard 5 7
	is_scaled 3
	ok "scale to 5 fails, its output to /dev/full" not scale_unheard 5 6
	is_scaled 3
	exec 7>&- 6>&-
}

# fail_to_start: the last of the new units has no daemon. What 'override list' has is there afterwards, the weight of a bucket that went, too
fail_to_start() {
	local list
	quietly reuseportctl --pin-path "$bpffs/live" weight 4 50
	rebalanced 1
	list=$(reuseportctl --pin-path "$bpffs/live" override list)
	mkdir "$tmp/units/live@4.service.d"
	printf '[Service]\nExecStart=\nExecStart=%s/scripts/run-instance /nowhere/nfacctd %s 4\n' "$root" "$tmp/live.conf" >"$tmp/units/live@4.service.d/fails.conf"
	systemctl --user daemon-reload
	refuses 5 "scale: there are 3 instances, as before" 3
	like "and says which unit" "$(cat "$tmp/scale")" "^scale: live@4 does not start: see 'journalctl --user --unit live@4'"
	is "weights and overrides are as before" "$(reuseportctl --pin-path "$bpffs/live" override list)" "$list"
	at_least "as many as these" "$(echo "$list" | wc -l)" 21
	fail_unheard
	is "weights and overrides are as before, though nobody heard of it" "$(reuseportctl --pin-path "$bpffs/live" override list)" "$list"
	rm -r "$tmp/units/live@4.service.d"
	systemctl --user daemon-reload
	sleep 2
}

# fail_to_write: there is no room for another config
fail_to_write() {
	cp "$tmp/live.conf" "$tmp/before"
	head -c 8k /dev/zero >"$tmp/small/rest" 2>/dev/null || true
	refuses 4 "scale: there are 3 instances, as before" 3
	ok "the config is whole" cmp "$tmp/live.conf" "$tmp/before"
	rm "$tmp/small/rest"
	is "and no other file is left" "$(ls "$tmp/small")" live.conf
}

refuse_what_cannot_be() {
	reuseportctl --pin-path "$bpffs/live" override add 192.0.2.1 2
	refuses 2 "an override has 192.0.2.1/32 in bucket 2" 3
	reuseportctl --pin-path "$bpffs/live" override delete 192.0.2.1
	reuseportctl --pin-path "$bpffs/live" failover off >/dev/null
	ok "with failover off: refused" not scale 2
	like "since exporters would be" "$(cat "$tmp/scale")" "failover is off .*'reuseportctl failover on' first"
	reuseportctl --pin-path "$bpffs/live" failover on >/dev/null
}

stop_units() {
	local i
	for i in 0 1 2; do ok "live@$i stops" quietly systemctl --user stop "live@$i"; done
}

make_small_disk
start_systemd
configure
up live@0
up live@1
start_traffic mixed 2100 period=1000
sleep 2
scales 5 "live: 5 buckets, 2 before" "reuseport_hashbucket_count: 5$" "live@4 reads" "^scale: 5 instances, 2 before"
give_shares
scales 3 "live@4 has stopped" "live@3 has stopped" "live: 3 buckets, 5 before" "^scale: 3 instances, 5 before"
fail_to_start
fail_to_write
refuse_what_cannot_be
stop_traffic
await 20 queues_empty 2100 || true
stop_units
nothing_lost live
is "the config's mode stays" "$(stat -c %a "$tmp/small/live.conf")" 640
done_testing
