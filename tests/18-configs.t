#!/bin/sh
# Configs that differ: devices, VRFs, IPv6 alone, ABI numbers and counts that do not fit are refused by name, and marked where they could
# not be refused. What a group was set to outlives a restart of all its instances, and an upgrade.
. "${0%/*}/lib/members.sh"
need_root
need cc clang bpftool jq ip unshare
sandbox

pins=$bpffs/group

# ctl ARGUMENT...
ctl() {
	"$reuseportctl" --pin-path "$pins" "$@" 2>&1
}

# marked NAME REGEX: status has such a line
marked() {
	like "$1" "$(ctl status | grep '^!' || true)" "^! $2"
}

# ---- where a listener is bound. $first is at index 0 ----

# make_device NAME: a VRF, or, where the kernel has none, a device: to a socket they are alike
make_device() {
	ip link add "$1" type vrf table 77 2>/dev/null || ip link add "$1" type dummy 2>/dev/null || ip link add "$1" type bridge
	ip link set "$1" up
}

index_of() {
	ip -o link show "$1" | cut -d: -f1
}

refuse_other_places() {
	make_device red
	member "$object" "$pins" 3 0 device=red
	first=$pid
	refused "no device, beside one that has a device: both are named, and who has it" \
		"listener nfacctd is to be bound to no device here, but is bound to device red \($(index_of red)\) in the group $pins \(member pid $first at index 0 of listener nfacctd\): use the same" \
		"$object" "$pins" 3 1
	refused "another device" "is to be bound to device lo \(1\) here, but is bound to device red" "$object" "$pins" 3 1 device=lo
	joins "the same device" "^joined index 1 of 3" "$object" "$pins" 3 1 device=red
	stop "$pid"
	refused "IPv6 alone, beside one that takes both" \
		"listener nfacctd is to receive IPv6 alone here, but receives IPv4 and IPv6 in the group $pins \(member pid $first at" \
		"$object" "$pins" 3 1 device=red v6only=true
}

replace_a_vrf() {
	local old
	is "all is well: no mark but for the empty buckets" "$(ctl status | grep '^!' | grep -vc 'is empty')" 0
	old=$(index_of red)
	ip link del red
	marked "a VRF that is removed: its socket stays with it, and is marked" \
		"bucket 0 of nfacctd \(pid $first\) is at \[::\]:2100, device that is gone \($old\), and gets nothing: stop all"
	make_device blue
	make_device red
	refused "made again: it has another number, and is another device" \
		"bound to device red \($(index_of red)\) here, but is bound to device red \($old\) in .*: that one was removed and made again, so stop all" \
		"$object" "$pins" 3 1 device=red
	stop "$first"
	joins "when all have stopped, it starts" "^joined index 1 of 3" "$object" "$pins" 3 1 device=red
	stop "$pid"
}

# of_buckets FIELD: its values in the buckets 0 to 2
of_buckets() {
	ctl --json status | jq -r "[.listeners[0].buckets[].$1] | join(\" \")"
}

# all_received COUNT: by all of them together
all_received() {
	[ "$(ctl --json status | jq '[.listeners[0].buckets[].received] | add')" -eq "$1" ]
}

# What cannot be refused, such as an instance of another version
count_what_is_in_another_group() {
	local sent stranger
	member "$object" "$pins" 3 0 device=lo
	first=$pid
	member "$object" "$pins" 3 1 unchecked=true
	stranger=$pid
	marked "two devices in one group" \
		"bucket 1 of nfacctd \(pid $stranger\) is at \[::\]:2100, but bucket 0 at \[::\]:2100, device lo \(1\), and no exporter reaches both"
	sent=$("$tools/exporter" netflow5 4 2100 exporters=60 ports=1 datagrams=1 rate=1000)
	await 5 all_received "$sent"
	is "what is for its bucket goes to the other one" "$sent $(of_buckets received)" "60 60 0 0"
	at_least "and is counted" "$(of_buckets other_group | cut -d' ' -f2)" 5
	is "for that bucket alone" "$(of_buckets other_group | cut -d' ' -f1,3)" "0 0"
	marked "and said" "bucket 1 of nfacctd \(pid $stranger\) did not get [0-9]+ datagrams, since the kernel has its socket in another"
	like "in metrics, too" "$(ctl --prometheus status)" "^reuseport_other_group_total{.*bucket=\"1\"} [1-9]"
	stop "$stranger"
	joins "with the device" "^joined index 1 of 3" "$object" "$pins" 3 1 device=lo
	is "the mark is gone" "$(ctl status | grep -c 'did not get')" 0
	stop "$first" "$pid"
}

# ---- resizing, before the configs follow ----

resize_before_the_configs() {
	member "$object" "$pins" 3 0
	first=$pid
	member "$object" "$pins" 3 1
	refused "another count, when the group was not resized" "reuseport_hashbucket_count is 4 here, but 3" "$object" "$pins" 4 3
	quietly ctl resize 4
	stop "$pid"
	joins "an instance that crashes meanwhile starts with the old count" "^joined index 1 of 3" "$object" "$pins" 3 1
	is "and the group has the new one" "$(ctl --json status | jq .size)" 4
	refused "not with a count that the group never had" "reuseport_hashbucket_count is 5 here, but 4" "$object" "$pins" 5 1
	stop "$first" "$pid"
	joins "nor does it lose it if all crash" "^joined index 1 of 3" "$object" "$pins" 3 1
	is "the group's count" "$(ctl --json status | jq .size)" 4
	quietly ctl resize 2
	refused "an index that the group has no more" "was resized to 2 buckets: reuseport_hashbucket_index 2 is beyond" "$object" "$pins" 3 2
	refused_after_a_day "$object" "$pins" 3 0
	stop "$pid"
}

# refused_after_a_day ARGUMENT...: a member whose CLOCK_BOOTTIME is a day ahead. The wall clock is the same.
refused_after_a_day() {
	if ! unshare --time --fork --boottime 86401 true 2>/dev/null; then
		skip "a day later" "the kernel has no time namespaces"
		return
	fi
	said=$(unshare --time --fork --boottime 86401 "$tools/member" "$@") || true
	like "a day later it is refused" "$said" "reuseport_hashbucket_count is 3 here, but 2 in the running group"
}

# ---- a restart of all at once ----

# settings: what an operator may have set
settings() {
	ctl --json status | jq -c '[.size, .nonce, .failover, .overrides]'
	ctl override list
}

restart_all() {
	local before
	quietly ctl reset
	member "$object" "$pins" 3 0
	first=$pid
	quietly ctl override add 10.0.0.0/24 1
	quietly ctl override add 10.0.1.0/24 2
	quietly ctl failover off
	settings >"$tmp/before"
	stop "$first"
	rehearses "of a restart" "$object" "$pins" 3 1
	member "$object" "$pins" 3 1
	settings >"$tmp/after"
	is "nonce, failover and overrides are there" "$(wc -l <"$tmp/before")" 3
	ok "and the same after a restart of all" diff "$tmp/before" "$tmp/after"
	like "the instance goes by them" "$said" "^joined index 1 of 3 nonce $(head -n 1 "$tmp/before" | jq '.[1]') failover off"
	stop "$pid"
	joins "a key takes the place of what there was" "^joined index 1 of 2 nonce 7 failover on" "$object" "$pins" 2 1 nonce=7 failover=true
	marked "overrides whose bucket is gone" "1 overrides have buckets that the group does not have"
	stop "$pid"
}

# ---- ABI numbers ----

# make_other_version: $theirs has a member, $their_object an object, with the number 99
make_other_version() {
	theirs=$tmp/theirs
	mkdir "$theirs"
	cp "$root"/pmacct/src/reuseport/*.[ch] "$theirs"
	sed -i 's/^#define RP_ABI .*/#define RP_ABI 99/' "$theirs/reuseport_abi.h"
	# shellcheck disable=SC2046 # each file a word
	cc -std=gnu11 -I"$theirs" -I"$root/reuseportctl" -o "$theirs/member" "$root/tests/tools/member.c" "$root/reuseportctl/listener_socket.c" \
		$(grep -L '"pmacct\.h"' "$theirs"/*.c) -lbpf
	cp "$root/bpf/reuseport.bpf.c" "$theirs"
	their_object=$theirs/reuseport.o
	make -s -C "$root" "$their_object"
}

# their_member ARGUMENT...: as member
their_member() {
	local tools="$theirs"
	member "$@"
}

refuse_other_numbers() {
	local number
	number=$(sed -n 's/^#define RP_ABI //p' "$root/pmacct/src/reuseport/reuseport_abi.h")
	member "$object" "$pins" 3 0
	first=$pid
	refused_as_rehearsed "an object of another number" \
		"theirs/reuseport.o has ABI number 99, and this program $number: use the reuseport.o that was installed with it" "$their_object" "$pins" 3 1
	refused_as_rehearsed "one of ours that has none" "old.o has ABI number 0, and this program $number" \
		"$(variant old 's/^} group SEC/} grouped SEC/')" "$pins" 3 1
	like "an instance of another version, in a running group" "$("$theirs/member" "$their_object" "$pins" 3 1 || true)" \
		"^the group $pins has ABI number $number \(member pid $first at index 0 of listener nfacctd\), and this program 99: use programs and a reuseport.o"
	settings >"$tmp/before"
	stop "$first"
}

# upgrade_all: one version stops, the other starts, and back
upgrade_all() {
	local other
	their_member "$their_object" "$pins" 3 2
	other=$pid
	like "all at once: when all have stopped, the other version starts" "$said" "^joined index 2 of 3"
	like "the tool of this one does not read it" "$(ctl status || true)" "^reuseportctl: the group $pins has ABI number 99 \(member pid $pid at"
	like "nor does it write" "$(ctl failover on || true)" "^reuseportctl: the group $pins has ABI number 99 \(member"
	refused_as_rehearsed "nor does an instance join" "the group $pins has ABI number 99 \(member pid $pid at" "$object" "$pins" 3 0
	# what another host does, for whatever it does, needs another pin path only
	joins "host by host: beside it, another group has this version's" "^joined index 0 of 3" "$object" "$bpffs/host" 3 0 port=2200
	stop "$pid" "$other"
	like "what is left of it is said to be" "$(ctl status || true)" "has ABI number 99 \(no instance is live\)"
	member "$object" "$pins" 3 0
	settings >"$tmp/after"
	ok "and back: settings are the same after both upgrades" diff "$tmp/before" "$tmp/after"
	stop "$pid"
	their_member "$their_object" "$pins" 3 2
	stop "$pid"
	like "a tool of either version resets it" "$(ctl reset)" "^$pins: [1-9][0-9]* pins removed"
}

refuse_other_places
replace_a_vrf
count_what_is_in_another_group
resize_before_the_configs
restart_all
make_other_version
refuse_other_numbers
upgrade_all
done_testing
