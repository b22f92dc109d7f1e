#!/bin/sh
# The group library without a daemon: which instances join, which are refused and in which words, what becomes of leftovers.
. "${0%/*}/lib/members.sh"
need_root
need clang bpftool jq flock setpriv
sandbox

pins=$bpffs/group

# ---- joining. $first, $third and $tcp live on: index 0 and 2, and index 1 of the listener bmp ----

make_the_group() {
	rehearses "where there is no group yet" "$object" "$pins" 3 0
	rehearses "where there is no group yet, for TCP" "$object" "$pins" 3 0 protocol=tcp
	ok "and makes no directory" [ ! -e "$pins" ]
	member "$object" "$pins" 3 0
	first=$pid
	ok "what is compared has maps with their values" [ "$(contents | grep -c '"key"')" -ge 5 ]
	rehearses "beside a live instance" "$object" "$pins" 3 1
	rehearses "of a takeover" "$object" "$pins" 3 0 takeover=true
	rehearses "of a listener that the group does not have yet" "$object" "$pins" 3 1 protocol=tcp
	like "the first makes the group" "$said" "^joined index 0 of 3 nonce [1-9][0-9]* failover on live 0:member:$first\$"
	nonce=$(echo "$said" | sed 's/.*nonce \([0-9]*\).*/\1/')
}

join_the_group() {
	member "$object" "$pins" 3 2
	third=$pid
	is "the next finds its settings and the live instances" "$said" \
		"joined index 2 of 3 nonce $nonce failover on live 0:member:$first 2:member:$third"
	member "$object" "$pins" 3 1 protocol=tcp
	tcp=$pid
	is "another listener has buckets of its own and the group's nonce" "$said" \
		"joined index 1 of 3 nonce $nonce failover on live 1:member:$tcp"
}

refuse_other_settings() {
	refused_as_rehearsed "an index in use names its owner and what to do" \
		"reuseport_hashbucket_index 2 is in use in $pins by member pid $third at index 2 of listener nfacctd: .*reuseport_takeover" \
		"$object" "$pins" 3 2
	refused_as_rehearsed "another count: both are named, and a live instance" \
		"reuseport_hashbucket_count is 4 here, but 3 in the running group $pins \(member pid [0-9]+ at index" \
		"$object" "$pins" 4 1
	refused_as_rehearsed "another nonce: both are named" "reuseport_nonce is 77 here, but $nonce in the running group" \
		"$object" "$pins" 3 1 nonce=77
	refused_as_rehearsed "another failover: both are named" "reuseport_failover is false here, but true in the running group" \
		"$object" "$pins" 3 1 failover=false
	joins "the same settings, spelt out, are accepted" "^joined index 1 of 3 nonce $nonce failover on" \
		"$object" "$pins" 3 1 nonce="$nonce" failover=true
	stop "$pid"
}

crash_and_take_over() {
	local replaced
	stop "$third"
	joins "after SIGKILL the index is free, nothing to clean up" "^joined index 2 of 3 nonce $nonce" "$object" "$pins" 3 2
	third=$pid replaced=$out
	member "$object" "$pins" 3 2 takeover=true
	is "takeover: the new instance owns the bucket, the old process lives on" "$said $(kill -0 "$third" && echo yes)" \
		"joined index 2 of 3 nonce $nonce failover on live 0:member:$first 2:member:$pid yes"
	kill -TERM "$third"
	wait_for_line "$replaced" left
	is "the replaced instance leaves, and the bucket keeps its socket" "$(tail -n 1 "$replaced")" \
		"left, its bucket was in other hands"
	stop "$third"
}

# leave: $pid does, and its process stays, with its socket
leave() {
	local leaver="$pid"
	kill -TERM "$leaver"
	wait_for_line "$out" left
	is "an instance that leaves empties its bucket" "$(tail -n 1 "$out")" "left, its bucket is empty"
	stop "$first"
	joins "its socket, still bound, is not taken for a foreign one when no other instance is live" "^joined index 0 of 3" \
		"$object" "$pins" 3 0
	first=$pid
	joins "and its bucket is free" "^joined index 2 of 3" "$object" "$pins" 3 2
	stop "$pid" "$leaver" "$tcp"
}

# wait_and_join: beside $first, which ends here
wait_and_join() {
	later 3
	ok "and does not hold the lock meanwhile" flock -n "$pins" true
	lastly
	like "then it joins" "$said" "^joined index 1 of 3"
	stop "$pid"
	later 3
	rm "$pins"/nfacctd/*
	lastly
	like "but not a group whose pins are gone" "$said" "the pins in $pins/nfacctd were removed or replaced while this instance started"
	stop "$first"
}

# ---- resizing ----

resize_while_one_waits() {
	member "$object" "$pins" 3 0
	first=$pid
	later 3
	is "a group is resized" "$(resize 2)" "$pins: 2 buckets, 3 before"
	lastly
	like "an instance that waited meanwhile takes the size it finds" "$said" "^joined index 1 of"
	like "a bucket in use is not cut off" "$(resize 1)" \
		"^reuseportctl: cannot shrink the group $pins to 1 buckets: a bucket beyond is in use by member pid $pid at index 1"
	stop "$pid"
	later 2
	quietly resize 1
	lastly
	like "or finds that its index is beyond" "$said" "the group $pins was resized to 1 buckets: reuseport_hashbucket_index 1 is beyond"
}

resize_at_the_same_time() {
	local n p
	for n in 2 3 4 5 6 7 8 9; do
		resize $n >"$tmp/resize$n" &
		echo $! >>"$tmp/resizes"
	done
	while read -r p; do wait "$p" || diag "a resize fails"; done <"$tmp/resizes"
	is "eight at the same time: each finds what another one left" \
		"$(cat "$tmp"/resize? | grep -o '[0-9]* before' | sort -u | wc -l)" 8
	stop "$first"
}

refuse_to_resize() {
	local n status
	for n in 0 129 x '' 3x -1; do
		said=$(resize "$n") && status=0 || status=$?
		is "resize '$n' is not understood" "$status $(printf '%s\n' "$said" | wc -l)" "2 1"
	done
	like "no instance live" "$(resize 3)" "no instance is live in the group $pins: .* start the instances"
	like "no group" "$(resize 3 "$bpffs/nowhere")" "no group at $bpffs/nowhere"
	like "resize: a path that is not on a bpffs" "$(resize 3 /tmp)" "^reuseportctl: reuseport_pin_path /tmp is not on a bpffs: mount one \('mount -t bpf -o mode=0711 "
}

# ---- leftovers ----

replace_leftovers() {
	ok "nothing is left of what was resized" quietly "$reuseportctl" -p "$pins" reset
	member "$object" "$pins" 3 1 protocol=tcp
	tcp=$pid
	refused_as_rehearsed "a live BMP listener alone keeps the group's settings in force" "is 5 here, but 3 .*listener bmp" \
		"$object" "$pins" 5 4
	stop "$tcp"
	rehearses "of other settings with no instance live" "$object" "$pins" 5 4 nonce=99 failover=false
	member "$object" "$pins" 5 4 nonce=99 failover=false
	is "with no instance live, another count, nonce and policy replace what is left" "$said" \
		"joined index 4 of 5 nonce 99 failover off live 4:member:$pid"
	stop "$pid"
}

# rivals_said: what those that start_rivals started have said
rivals_said() {
	cat "$tmp"/rival-*
}

all_rivals_said() {
	[ "$(rivals_said | wc -l)" -eq 16 ]
}

start_at_the_same_instant() {
	local i which pids='' others
	for i in 0 1 2 3 4 5 6 7; do
		for which in a b; do
			"$tools/member" "$object" "$pins" 8 $i >"$tmp/rival-$i$which" &
			pids="$pids $!"
		done
	done
	ok "16 at the same instant, two for each of 8 buckets: all come to an end" await 15 all_rivals_said
	is "one of each two wins, with one nonce for all" \
		"$(rivals_said | grep -c '^joined') $(rivals_said | sed -n 's/.*nonce \([0-9]*\) .*/\1/p' | sort -u | wc -l)" "8 1"
	is "the others are told which instance has it" "$(rivals_said | grep -c 'is in use .* by member pid')" 8
	others=$(rivals_said | grep -vE '^joined|is in use .* by member pid' || true)
	[ -z "$others" ] || diag "$others"
	# shellcheck disable=SC2086 # each pid a word
	stop $pids
}

kill_the_holder_of_the_lock() {
	local holder
	"$tools/member" "$object" "$pins" 2 0 hold=60 >"$tmp/holder" &
	holder=$!
	await 5 not flock -n "$pins" true
	refused "a lock that is not given back is reported, not waited for forever" "another process holds the lock on $pins" \
		"$object" "$pins" 2 1
	stop "$holder"
	joins "killed between locking and joining, it blocks no other" "^joined index 1 of 2" "$object" "$pins" 2 1
	stop "$pid"
}

# ---- objects ----

take_foreign_objects() {
	local theirs live
	joins "an object with the old section name is taken" "^joined index 0 of 2" \
		"$(variant old 's,SEC("sk_reuseport"),SEC("sk_reuseport/selector"),')" "$bpffs/old" 2 0
	stop "$pid"
	theirs=$(foreign_object)
	joins "one without our own maps is taken, and what it lacks is named" \
		"^joined index 0 of 2 .*failover off lacks group, policy, slots, weights, overrides, quarantine, exporter_state, state_changes, instances, owners, counters" "$theirs" "$bpffs/foreign" 2 0
	live=$pid
	refused_as_rehearsed "in use, by a process that left no name" \
		"in use in $bpffs/foreign by a process that left no name at index 0" "$theirs" "$bpffs/foreign" 2 0
	refused "at another port, which is free" "listener nfacctd of the group $bpffs/foreign is live .*, but not at this address" \
		"$theirs" "$bpffs/foreign" 2 1 port=2200
	refused_as_rehearsed "failover asked of an object that cannot is refused" \
		"has no map 'policy' and cannot honour reuseport_failover" "$theirs" "$bpffs/foreign" 2 1 failover=true
	refused_as_rehearsed "ours beside a live one without our maps" \
		"map 'group' is not pinned in $bpffs/foreign, although instances are live .*: they use another object" \
		"$object" "$bpffs/foreign" 2 1
	stop "$live"
}

# refuse_foreign_objects: beside a live instance, which ends in refuse_other_pin_path
refuse_foreign_objects() {
	member "$object" "$bpffs/mixed" 2 0
	refused_as_rehearsed "one without our maps beside a live one of ours" \
		"foreign.o has no map 'group', which the live instances use" "$(foreign_object)" "$bpffs/mixed" 2 1
	rm "$bpffs/mixed/nonce"
	refused_as_rehearsed "a pin that was removed" "map 'nonce' is not pinned in $bpffs/mixed, although instances are live" \
		"$object" "$bpffs/mixed" 2 1
}

# refuse_object NAME REGEX VARIANT SED-SCRIPT [ARGUMENT...]
refuse_object() {
	local name="$1" regex="$2" made
	made=$(variant "$3" "$4")
	shift 4
	refused_as_rehearsed "$name" "$regex" "$made" "$pins" 2 0 "$@"
}

refuse_unfit_objects() {
	refuse_object "no _selector" "noselector.o has no program '_selector': set reuseport_bpf_prog" \
		noselector 's/_selector(/_other(/'
	refuse_object "an object without the map of the size" "nosize.o has no map 'size': it cannot honour reuseport_hashbucket_count" \
		nosize 's/(size)/(volume)/; s/&size,/\&volume,/'
	refuse_object "no socket array for the transport" "noudp.o has no map 'udp_balancing_targets' for the sockets of listener nfacctd" \
		noudp 's/udp_balancing_targets/udp_targets/g'
	refuse_object "a nonce asked of an object without" "has no map 'nonce' and cannot honour reuseport_nonce" \
		nononce 's/(nonce)/(salt)/; s/&nonce,/\&salt,/' nonce=5
	refuse_object "a map of another size" "map 'udp_balancing_targets' of .*small.o has another type or size" \
		small '/BPF_MAP_TYPE_REUSEPORT_SOCKARRAY/,/max_entries/s/RP_MAX_BUCKETS/64/'
	refuse_object "a map of another type" "map 'size' of .*hash.o has another type or size \(type 1," \
		hash 's/BPF_MAP_TYPE_ARRAY);  /BPF_MAP_TYPE_HASH);  /'
	refuse_object "an object that the verifier refuses" "the kernel refuses .*loop.o" \
		loop 's/count(ctx, key, outcome, flags);/for (;;) count(ctx, key, outcome, flags);/'
	refuse_object "not to be taken for a lack of privilege" "the kernel refuses .*beyond.o \(.*: use the reuseport.o that belongs" \
		beyond 's/n\[outcome\]++/n[outcome + 4000]++/'
}

# ---- addresses ----

refuse_other_pin_path() {
	refused "another pin path for a port that a live group has" \
		"the address of listener nfacctd is in use by sockets that are not in the group $bpffs/typo" "$object" "$bpffs/typo" 2 1
	stop "$pid"
}

refuse_other_ports() {
	member "$object" "$bpffs/mixed" 2 0
	refused "another port for a listener that is live" \
		"listener nfacctd is to be at :: port 2200 here, but is live at :: port 2100 in the group $bpffs/mixed \(member pid $pid at index 0" \
		"$object" "$bpffs/mixed" 2 1 port=2200
	stop "$pid"
	member "$object" "$bpffs/mixed" 2 0 protocol=tcp
	refused "the same for TCP" "listener bmp is to be at :: port 2200 here, but is live at :: port 2100 in the group" \
		"$object" "$bpffs/mixed" 2 1 protocol=tcp port=2200
	refused "a TCP port that a group at another path has" \
		"the address of listener bmp is in use by sockets that are not in the group" "$object" "$bpffs/typo" 2 1 protocol=tcp
	stop "$pid"
}

# ---- pins ----

keep_what_is_pinned_there() {
	mkdir "$bpffs/taken"
	bpftool map create "$bpffs/taken/size" type hash key 4 value 4 entries 1 name foreign
	refused_as_rehearsed "something else is pinned there" \
		"something else than map 'size' is pinned at $bpffs/taken/size: remove it" "$object" "$bpffs/taken" 2 0
	is "and it is left alone" "$(bpftool -j map show pinned "$bpffs/taken/size" | jq -r .name)" foreign
}

replace_old_pins() {
	mkdir "$bpffs/stale" "$bpffs/stale/nfacctd"
	pin_old_counters "$bpffs/stale/nfacctd/counters"
	rehearses "beside a leftover of another version" "$object" "$bpffs/stale" 2 0
	joins "a leftover of another version is replaced, with no instance live" "^joined index 0 of 2" "$object" "$bpffs/stale" 2 0
	rm "$bpffs/stale/nfacctd/counters"
	pin_old_counters "$bpffs/stale/nfacctd/counters"
	refused_as_rehearsed "but not while one is" "the live instances \(member pid $pid at .*\) use another version of map 'counters'" \
		"$object" "$bpffs/stale" 2 1
	stop "$pid"
}

refuse_pin_paths() {
	refused_as_rehearsed "a pin path that is not absolute" "reuseport_pin_path 'relative' is not a directory's absolute path" \
		"$object" relative 2 0
	refused_as_rehearsed "one that is not on a bpffs" "reuseport_pin_path $tmp/here is not on a bpffs: mount one" \
		"$object" "$tmp/here" 2 0
	refused_as_rehearsed "one below a directory that is not there" \
		"cannot make reuseport_pin_path $bpffs/no/group: .*No such file" "$object" "$bpffs/no/group" 2 0
	refused_as_rehearsed "a path with a dot in a name" "cannot make directory $bpffs/a.b: bpffs takes no name with a dot in it" \
		"$object" "$bpffs/a.b" 2 0
	refused_as_rehearsed "one that is a file" "cannot open the group's directory $pins/size \(Not a directory\)" \
		"$object" "$pins/size" 2 0
}

# ---- users that must not write what belongs to root ----

# copy_for_users: from here on, what other users may run and read too
copy_for_users() {
	chmod 755 "$tmp" "$bpffs"
	cp "$tools/member" "$reuseportctl" "$object" "$tmp/"
	tools=$tmp reuseportctl=$tmp/reuseportctl object=$tmp/reuseport.o
}

# refused_by RUNNER NAME REGEX ARGUMENT...: a member that RUNNER starts must be refused by a line that matches, and its rehearsal in
# the same words
refused_by() {
	local runner="$1" name="$2" regex="$3" before rehearsed
	shift 3
	before=$(files)
	rehearsed=$($runner "$tools/member" "$@" rehearse=true || true)
	is "a rehearsal changes no file" "$(files)" "$before"
	said=$($runner "$tools/member" "$@" || true)
	is "and is refused in the same words" "$rehearsed" "$said"
	like "$name" "$said" "$regex"
}

refuse_users() {
	local before
	refused_by as_user "a pin path in a directory of another user" \
		"cannot make directory $bpffs/mine \(Permission denied\): the directory above it must" "$object" "$bpffs/mine" 2 0
	refused_by as_user "a group of another user" \
		"cannot open the group's directory $pins \(Permission denied\): all instances" "$object" "$pins" 2 0
	mkdir -m 755 "$bpffs/readable"
	refused_by as_user "one that may be read, but not written" \
		"cannot make directory $bpffs/readable/nfacctd \(Permission denied\)" "$object" "$bpffs/readable" 2 0
	mkdir -m 755 "$bpffs/readable/nfacctd"
	refused_by as_user "nor may its listener's" \
		"cannot pin map 'group' at $bpffs/readable/group \(Permission denied\)" "$object" "$bpffs/readable" 2 0
	chown 65534 "$bpffs/readable" "$bpffs/readable/nfacctd"
	before=$(files)
	is "its owner may rehearse" "$(as_user "$tools/member" "$object" "$bpffs/readable" 2 0 rehearse=true)" rehearsed
	is "and changes no file" "$(files)" "$before"
}

# use_preloaded_program: as the user without CAP_BPF
use_preloaded_program() {
	local counters="$bpffs/preloaded/nfacctd/counters"
	mkdir -m 700 "$bpffs/preloaded"
	chown 65534 "$bpffs/preloaded"
	ok "preload, as the user with CAP_BPF" quietly as_user "$reuseportctl" -p "$bpffs/preloaded" --prog "$object" preload nfacctd
	if as_plain_user bpftool map show pinned "$counters" 2>&1 | grep -q 'not permitted'; then
		refused_by as_plain_user "before Linux 5.19 the preloaded program cannot be opened" \
			"^cannot open .*: no privilege for BPF: run as root, or with CAP_BPF" "$object" "$bpffs/preloaded" 2 0
		return
	fi
	is "without CAP_BPF: may rehearse" "$(as_plain_user "$tools/member" "$object" "$bpffs/preloaded" 2 0 rehearse=true)" rehearsed
	rm "$counters"
	pin_old_counters "$counters"
	chown 65534 "$counters"
	refused_by as_plain_user "a leftover of another version beside the preloaded program" \
		"^cannot open $counters \(No such file or directory\): run 'reuseportctl preload' again" "$object" "$bpffs/preloaded" 2 0
}

make_the_group
join_the_group
refuse_other_settings
crash_and_take_over
leave
wait_and_join
resize_while_one_waits
resize_at_the_same_time
refuse_to_resize
replace_leftovers
start_at_the_same_instant
kill_the_holder_of_the_lock
take_foreign_objects
refuse_foreign_objects
refuse_other_pin_path
refuse_other_ports
refuse_unfit_objects
keep_what_is_pinned_there
replace_old_pins
refuse_pin_paths
copy_for_users
refuse_users
use_preloaded_program
done_testing
