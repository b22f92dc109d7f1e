#!/bin/sh
# The group library without a daemon: which instances join, which are refused and in which words, what becomes of leftovers.
. "${0%/*}/lib/daemons.sh"
need_root
need clang bpftool jq flock setpriv
sandbox

pins=$bpffs/group
members=0

# member ARGUMENT...: starts one in the background and waits for its line; $said and $pid
member() {
	members=$((members + 1))
	out=$tmp/member$members
	"$tools/member" "$@" >"$out" &
	pid=$!
	await 15 test -s "$out" || diag "member $* says nothing"
	said=$(head -n 1 "$out")
}

# refused ARGUMENT...: starts one that must be refused, with exit status 1 and one line; $said
refused() {
	if said=$("$tools/member" "$@"); then
		said="not refused: $said"
	elif [ "$(printf '%s\n' "$said" | wc -l)" -ne 1 ]; then
		said="more than a line: $said"
	fi
}

# rehearsed_and_refused ARGUMENT...: a rehearsal must say the same, and leave the bpffs as it is
rehearsed_and_refused() {
	before=$(files)
	refused "$@" rehearse=true
	rehearsed=$said after=$(files)
	refused "$@"
	is "a rehearsal is refused in the same words" "$rehearsed" "$said"
	is "and changes no file" "$after" "$before"
}

# files: what is on the bpffs, with inode numbers, owners and the time of each change
files() {
	find "$bpffs" -printf '%p %i %u %m %T@ %C@\n' | sort
}

# contents: each map on it, with its ID and its values, and the ID of each program
contents() {
	files
	find "$bpffs" -type f | sort | while read -r pin; do
		bpftool -j map show pinned "$pin" 2>/dev/null | jq -c '[.id, .name, .type]' &&
			bpftool -j map dump pinned "$pin" || bpftool -j prog show pinned "$pin" | jq .id
	done
}

# rehearses NAME ARGUMENT...: the assertions that a rehearsal finds nothing to refuse, and that it changes nothing
rehearses() {
	name=$1
	shift
	before=$(contents)
	is "a rehearsal $name" "$("$tools/member" "$@" rehearse=true)" rehearsed
	is "changes no file, no map and no value" "$(contents)" "$before"
}

stop() {
	kill -KILL "$@" 2>/dev/null || true
	wait "$@" 2>/dev/null || true
}

# ---- joining ----
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
member "$object" "$pins" 3 2
third=$pid
is "the next finds its settings and the live instances" "$said" \
	"joined index 2 of 3 nonce $nonce failover on live 0:member:$first 2:member:$third"
member "$object" "$pins" 3 1 protocol=tcp
tcp=$pid
is "another listener has buckets of its own and the group's nonce" "$said" \
	"joined index 1 of 3 nonce $nonce failover on live 1:member:$tcp"

rehearsed_and_refused "$object" "$pins" 3 2
like "an index in use names its owner and what to do" "$said" \
	"reuseport_hashbucket_index 2 is in use in $pins by member pid $third at index 2 of listener nfacctd: .*reuseport_takeover"
rehearsed_and_refused "$object" "$pins" 4 1
like "another count: both are named, and a live instance" "$said" \
	"reuseport_hashbucket_count is 4 here, but 3 in the running group $pins \(member pid [0-9]+ at index"
rehearsed_and_refused "$object" "$pins" 3 1 nonce=77
like "another nonce: both are named" "$said" "reuseport_nonce is 77 here, but $nonce in the running group"
rehearsed_and_refused "$object" "$pins" 3 1 failover=false
like "another failover: both are named" "$said" "reuseport_failover is false here, but true in the running group"
member "$object" "$pins" 3 1 nonce="$nonce" failover=true
like "the same settings, spelt out, are accepted" "$said" "^joined index 1 of 3 nonce $nonce failover on"
stop "$pid"

# ---- a crash, a takeover ----
stop "$third"
member "$object" "$pins" 3 2
third=$pid
like "after SIGKILL the index is free, nothing to clean up" "$said" "^joined index 2 of 3 nonce $nonce"
member "$object" "$pins" 3 2 takeover=true
is "takeover: the new instance owns the bucket, the old process lives on" "$said $(kill -0 "$third" && echo yes)" \
	"joined index 2 of 3 nonce $nonce failover on live 0:member:$first 2:member:$pid yes"
said_by() {
	await 5 grep -q "$2" "$tmp/member$1" || diag "member $1: $(cat "$tmp/member$1")"
}
kill -TERM "$third"
said_by $((members - 1)) left
is "the replaced instance leaves, and the bucket keeps its socket" "$(tail -n 1 "$tmp/member$((members - 1))")" \
	"left, its bucket was in other hands"
stop "$third"
kill -TERM "$pid"
said_by $members left
is "an instance that leaves empties its bucket" "$(tail -n 1 "$tmp/member$members")" "left, its bucket is empty"
leaver=$pid
stop "$first"
member "$object" "$pins" 3 0
like "its socket, still bound, is not taken for a foreign one when no other instance is live" "$said" "^joined index 0 of 3"
first=$pid
member "$object" "$pins" 3 2
like "and its bucket is free" "$said" "^joined index 2 of 3"
stop "$pid" "$leaver" "$tcp"

# ---- joining later ----
# later COUNT: starts one that waits; what follows changes the group, until lastly: what it says then is in $said
later() {
	member "$object" "$pins" "$1" 1 wait=2
	is "an instance that is bound waits while others are ready" "$said" "bound, others serve"
}
lastly() {
	await 15 grep -qv bound "$tmp/member$members" || diag "member $members: says no more"
	said=$(tail -n 1 "$tmp/member$members")
}
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

# ---- resizing ----
member "$object" "$pins" 3 0
first=$pid
later 3
is "a group is resized" "$("$reuseportctl" --pin-path "$pins" resize 2)" "$pins: 2 buckets, 3 before"
lastly
like "an instance that waited meanwhile takes the size it finds" "$said" "^joined index 1 of"
like "a bucket in use is not cut off" "$("$reuseportctl" --pin-path "$pins" resize 1 2>&1)" \
	"^reuseportctl: cannot shrink the group $pins to 1 buckets: a bucket beyond is in use by member pid $pid at index 1"
stop "$pid"
later 2
"$reuseportctl" --pin-path "$pins" resize 1 >/dev/null
lastly
like "or finds that its index is beyond" "$said" "has 1 buckets since this instance started: reuseport_hashbucket_index 1 is beyond"
for n in 2 3 4 5 6 7 8 9; do
	"$reuseportctl" --pin-path "$pins" resize $n >"$tmp/resize$n" 2>&1 &
	echo $! >>"$tmp/resizes"
done
while read -r p; do wait "$p" || diag "a resize fails"; done <"$tmp/resizes"
is "eight at the same time: each finds what another one left" \
	"$(cat "$tmp"/resize? | grep -o '[0-9]* before' | sort -u | wc -l)" 8
stop "$first"
for n in 0 129 x '' 3x -1; do
	said=$("$reuseportctl" --pin-path "$pins" resize "$n" 2>&1) && status=0 || status=$?
	is "resize '$n' is not understood" "$status $(printf '%s\n' "$said" | wc -l)" "2 1"
done
like "no instance live" "$("$reuseportctl" --pin-path "$pins" resize 3 2>&1)" "no instance is live in the group $pins: .* start the instances"
like "no group" "$("$reuseportctl" --pin-path "$bpffs/nowhere" resize 3 2>&1)" "no group at $bpffs/nowhere"
like "resize: a path that is not on a bpffs" "$("$reuseportctl" --pin-path /tmp resize 3 2>&1)" "no instance is live"
member "$object" "$pins" 3 1 protocol=tcp
tcp=$pid

# ---- leftovers ----
rehearsed_and_refused "$object" "$pins" 5 4
like "a live BMP listener alone keeps the group's settings in force" "$said" "is 5 here, but 3 .*listener bmp"
stop "$tcp"
rehearses "of other settings with no instance live" "$object" "$pins" 5 4 nonce=99 failover=false
member "$object" "$pins" 5 4 nonce=99 failover=false
is "with no instance live, another count, nonce and policy replace leftovers" "$said" \
	"joined index 4 of 5 nonce 99 failover off live 4:member:$pid"
stop "$pid"

# 8 at the same instant
n=8
pids='' i=0
while [ $i -lt "$n" ]; do
	"$tools/member" "$object" "$pins" "$n" $i >"$tmp/same$i" &
	pids="$pids $!"
	"$tools/member" "$object" "$pins" "$n" $i >"$tmp/rival$i" &
	pids="$pids $!"
	i=$((i + 1))
done
everyone_said() { [ "$(cat "$tmp"/same? "$tmp"/rival? | wc -l)" -eq $((2 * n)) ]; }
ok "$((2 * n)) at the same instant, two for each of $n buckets: all come to an end" await 15 everyone_said
is "one of each two wins, with one nonce for all" \
	"$(cat "$tmp"/same? "$tmp"/rival? | grep -c '^joined') $(cat "$tmp"/same? "$tmp"/rival? | sed -n 's/.*nonce \([0-9]*\) .*/\1/p' | sort -u | wc -l)" "$n 1"
is "the others are told which instance has it" "$(cat "$tmp"/same? "$tmp"/rival? | grep -c 'is in use .* by member pid')" "$n"
others=$(cat "$tmp"/same? "$tmp"/rival? | grep -vE '^joined|is in use .* by member pid' || true)
[ -z "$others" ] || diag "$others"
# shellcheck disable=SC2086
stop $pids

# killed while it holds the lock, before it joined
"$tools/member" "$object" "$pins" 2 0 hold=60 >"$tmp/holder" &
holder=$!
lock_held() { ! flock -n "$pins" true; }
await 5 lock_held
refused "$object" "$pins" 2 1
like "a lock that is not given back is reported, not waited for forever" "$said" "another process holds the lock on $pins"
stop "$holder"
member "$object" "$pins" 2 1
like "killed between locking and joining, it blocks no other" "$said" "^joined index 1 of 2"
stop "$pid"

# ---- objects ----
member "$(variant old 's,SEC("sk_reuseport"),SEC("sk_reuseport/selector"),')" "$bpffs/old" 2 0
like "an object with the old section name is taken" "$said" "^joined index 0 of 2"
stop "$pid"
foreign_object=$(foreign_object)
member "$foreign_object" "$bpffs/foreign" 2 0
like "one without our own maps is taken, and what it lacks is named" "$said" \
	"^joined index 0 of 2 .*failover off lacks policy, overrides, owners, counters"
foreign=$pid
rehearsed_and_refused "$foreign_object" "$bpffs/foreign" 2 0
like "in use, by a process that left no name" "$said" "in use in $bpffs/foreign by a process that left no name at index 0"
refused "$foreign_object" "$bpffs/foreign" 2 1 port=2200
like "at another port, which is free" "$said" "listener nfacctd of the group $bpffs/foreign is live .*, but not at this address"
rehearsed_and_refused "$foreign_object" "$bpffs/foreign" 2 1 failover=true
like "failover asked of an object that cannot is refused" "$said" "has no map 'policy' and cannot honour reuseport_failover"
rehearsed_and_refused "$object" "$bpffs/foreign" 2 1
like "ours beside a live one without our maps" "$said" \
	"map 'policy' is not pinned in $bpffs/foreign, although instances are live .*: they use another object"
stop "$foreign"
member "$object" "$bpffs/mixed" 2 0
rehearsed_and_refused "$foreign_object" "$bpffs/mixed" 2 1
like "one without our maps beside a live one of ours" "$said" "foreign.o has no map 'policy', which the live instances use"
rm "$bpffs/mixed/nonce"
rehearsed_and_refused "$object" "$bpffs/mixed" 2 1
like "a pin that was removed" "$said" "map 'nonce' is not pinned in $bpffs/mixed, although instances are live"

# ---- addresses ----
refused "$object" "$bpffs/typo" 2 1
like "another pin path for a port that a live group has" "$said" \
	"the address of listener nfacctd is in use by sockets that are not in the group $bpffs/typo"
stop "$pid"
member "$object" "$bpffs/mixed" 2 0
refused "$object" "$bpffs/mixed" 2 1 port=2200
like "another port for a listener that is live" "$said" \
	"listener nfacctd is to be at :: port 2200 here, but is live at :: port 2100 in the group $bpffs/mixed \(member pid $pid at index 0"
stop "$pid"
member "$object" "$bpffs/mixed" 2 0 protocol=tcp
refused "$object" "$bpffs/mixed" 2 1 protocol=tcp port=2200
like "the same for TCP" "$said" "listener bmp is to be at :: port 2200 here, but is live at :: port 2100 in the group"
refused "$object" "$bpffs/typo" 2 1 protocol=tcp
like "a TCP port that a group at another path has" "$said" "the address of listener bmp is in use by sockets that are not in the group"
stop "$pid"

rehearsed_and_refused "$(variant noselector 's/_selector(/_other(/')" "$pins" 2 0
like "no _selector" "$said" "noselector.o has no program '_selector': set reuseport_bpf_prog"
rehearsed_and_refused "$(variant nosize 's/(size)/(volume)/; s/&size,/\&volume,/')" "$pins" 2 0
like "an object without the map of the size" "$said" "nosize.o has no map 'size': it cannot honour reuseport_hashbucket_count"
rehearsed_and_refused "$(variant noudp 's/udp_balancing_targets/udp_targets/g')" "$pins" 2 0
like "no socket array for the transport" "$said" "noudp.o has no map 'udp_balancing_targets' for the sockets of listener nfacctd"
rehearsed_and_refused "$(variant nononce 's/(nonce)/(salt)/; s/&nonce,/\&salt,/')" "$pins" 2 0 nonce=5
like "a nonce asked of an object without" "$said" "has no map 'nonce' and cannot honour reuseport_nonce"
rehearsed_and_refused "$(variant small '/BPF_MAP_TYPE_REUSEPORT_SOCKARRAY/,/max_entries/s/RP_MAX_BUCKETS/64/')" "$pins" 2 0
like "a map of another size" "$said" "map 'udp_balancing_targets' of .*small.o has another type or size"
rehearsed_and_refused "$(variant hash 's/BPF_MAP_TYPE_ARRAY);  /BPF_MAP_TYPE_HASH);  /')" "$pins" 2 0
like "a map of another type" "$said" "map 'size' of .*hash.o has another type or size \(type 1,"
rehearsed_and_refused "$(variant loop 's/count(key, outcome);/for (;;) count(key, outcome);/')" "$pins" 2 0
like "an object that the verifier refuses" "$said" "the kernel refuses .*loop.o"
rehearsed_and_refused "$(variant beyond 's/n\[outcome\]++/n[outcome + 4000]++/')" "$pins" 2 0
like "not to be taken for a lack of privilege" "$said" "the kernel refuses .*beyond.o \(.*: use the reuseport.o that belongs"

# ---- pins ----
mkdir "$bpffs/taken"
bpftool map create "$bpffs/taken/size" type hash key 4 value 4 entries 1 name foreign
rehearsed_and_refused "$object" "$bpffs/taken" 2 0
like "something else is pinned there" "$said" "something else than map 'size' is pinned at $bpffs/taken/size: remove it"
is "and it is left alone" "$(bpftool -j map show pinned "$bpffs/taken/size" | jq -r .name)" foreign

mkdir "$bpffs/stale" "$bpffs/stale/nfacctd"
bpftool map create "$bpffs/stale/nfacctd/counters" type percpu_array key 4 value 8 entries 4 name counters
rehearses "beside a leftover of another version" "$object" "$bpffs/stale" 2 0
member "$object" "$bpffs/stale" 2 0
like "a leftover of another version is replaced, with no instance live" "$said" "^joined index 0 of 2"
rm "$bpffs/stale/nfacctd/counters"
bpftool map create "$bpffs/stale/nfacctd/counters" type percpu_array key 4 value 8 entries 4 name counters
rehearsed_and_refused "$object" "$bpffs/stale" 2 1
like "but not while one is" "$said" "the live instances \(member pid $pid at .*\) use another version of map 'counters'"
stop "$pid"

# ---- pin paths ----
rehearsed_and_refused "$object" relative 2 0
like "a pin path that is not absolute" "$said" "reuseport_pin_path 'relative' is not a directory's absolute path"
rehearsed_and_refused "$object" "$tmp/here" 2 0
like "one that is not on a bpffs" "$said" "reuseport_pin_path $tmp/here is not on a bpffs: mount one"
rehearsed_and_refused "$object" "$bpffs/no/group" 2 0
like "one below a directory that is not there" "$said" "cannot make reuseport_pin_path $bpffs/no/group: .*No such file"
rehearsed_and_refused "$object" "$bpffs/a.b" 2 0
like "a path with a dot in a name" "$said" "cannot make directory $bpffs/a.b: bpffs takes no name with a dot in it"
rehearsed_and_refused "$object" "$pins/size" 2 0
like "one that is a file" "$said" "cannot open the group's directory $pins/size \(Not a directory\)"

# a user that has CAP_BPF and must not write what belongs to root
chmod 755 "$tmp" "$bpffs"
cp "$tools/member" "$object" "$tmp/"
tools=$tmp object=$tmp/reuseport.o
as_user() {
	setpriv --clear-groups --inh-caps -all,+bpf --ambient-caps -all,+bpf --reuid 65534 --regid 65534 "$@"
}
# the same user without any capability
as_plain_user() {
	setpriv --clear-groups --inh-caps -all --bounding-set -all --reuid 65534 --regid 65534 "$@"
}
# refused_by RUNNER ARGUMENT...: a member that RUNNER starts must be refused, and its rehearsal in the same words; $said
refused_by() {
	runner=$1
	shift
	before=$(files)
	rehearsed=$($runner "$tools/member" "$@" rehearse=true || true)
	is "a rehearsal changes no file" "$(files)" "$before"
	said=$($runner "$tools/member" "$@" || true)
	is "and is refused in the same words" "$rehearsed" "$said"
}
refused_user() {
	refused_by as_user "$@"
}
refused_user "$object" "$bpffs/mine" 2 0
like "a pin path in a directory of another user" "$said" "cannot make directory $bpffs/mine \(Permission denied\): the directory above it must"
refused_user "$object" "$pins" 2 0
like "a group of another user" "$said" "cannot open the group's directory $pins \(Permission denied\): all instances"
mkdir -m 755 "$bpffs/readable"
refused_user "$object" "$bpffs/readable" 2 0
like "one that may be read, but not written" "$said" "cannot make directory $bpffs/readable/nfacctd \(Permission denied\)"
mkdir -m 755 "$bpffs/readable/nfacctd"
refused_user "$object" "$bpffs/readable" 2 0
like "nor may its listener's" "$said" "cannot pin map 'size' at $bpffs/readable/size \(Permission denied\)"
chown 65534 "$bpffs/readable" "$bpffs/readable/nfacctd"
before=$(files)
is "its owner may rehearse" "$(as_user "$tools/member" "$object" "$bpffs/readable" 2 0 rehearse=true)" rehearsed
is "and changes no file" "$(files)" "$before"

# a user without CAP_BPF, for whom the program was preloaded
cp "$reuseportctl" "$tmp/"
mkdir -m 700 "$bpffs/preloaded"
chown 65534 "$bpffs/preloaded"
counters=$bpffs/preloaded/nfacctd/counters
ok "preload, as the user with CAP_BPF" quietly as_user "$tmp/reuseportctl" -p "$bpffs/preloaded" --prog "$object" preload nfacctd
if as_plain_user bpftool map show pinned "$counters" 2>&1 | grep -q 'not permitted'; then
	refused_by as_plain_user "$object" "$bpffs/preloaded" 2 0
	like "before Linux 5.19 the preloaded program cannot be opened" "$said" "^cannot open .*: no privilege for BPF: run as root, or with CAP_BPF"
else
	is "without CAP_BPF: may rehearse" "$(as_plain_user "$tools/member" "$object" "$bpffs/preloaded" 2 0 rehearse=true)" rehearsed
	rm "$counters"
	bpftool map create "$counters" type percpu_array key 4 value 8 entries 4 name counters
	chown 65534 "$counters"
	refused_by as_plain_user "$object" "$bpffs/preloaded" 2 0
	like "a leftover of another version beside the preloaded program" "$said" \
		"^cannot open $counters \(No such file or directory\): run 'reuseportctl preload' again"
fi

done_testing
