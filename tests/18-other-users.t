#!/bin/sh
# What other users, and other programs, can do to those who look at a group or change it: nothing that they name is run, followed or printed as
# it is; a directory that is theirs is refused; and the clock may be stepped.
. "${0%/*}/lib/members.sh"
. "${0%/*}/lib/ctl.sh"
need_root
need bash bpftool jq mount perl
[ -x "$reuseportctl" ] && [ -f "$object" ] && [ -x "$tools/member" ] || skip_all "not built: run make bpf and make check-tools"
sandbox
pins=$bpffs/group

# ---- directories ----

# refused_directory NAME REGEX PIN-PATH: by daemons and tool
refused_directory() {
	refused_as_rehearsed "$1" "^$2" "$object" "$3" 2 0
	like "$1: by reuseportctl, too" "$("$reuseportctl" -p "$3" reset 2>&1)" "^reuseportctl: $2"
}

# refuse_directories_of_others: those in which another user could replace what is ours
refuse_directories_of_others() {
	local above="$bpffs/above"
	mkdir -p "$above/ours"
	chmod 700 "$above/ours"
	chmod 777 "$above"
	refused_directory "a directory above the pin path that others may write to" "$above has mode 0777, so that other users could change what is in it: 'chmod go-w $above'" "$above/ours"
	chmod 1777 "$above"
	is "with the sticky bit they cannot: not refused" "$("$tools/member" "$object" "$above/ours" 2 0 rehearse=true)" rehearsed
	is "it was the bpffs, mounted without a mode, that is so" "$(stat -c %a "$bpffs")" 1777
	chmod 755 "$above"
	chmod 1770 "$above/ours"
	refused_directory "a pin path that others may write to" "$above/ours has mode 1770" "$above/ours"
	chmod 700 "$above/ours"
	chown 65534 "$above/ours"
	refused "a pin path of another user: by root's daemon" "^$above/ours belongs to user id 65534, who could change what is in it: .* to root or to user id 0" "$object" "$above/ours" 2 0
	is "but root changes it by reuseportctl" "$("$reuseportctl" -p "$above/ours" reset 2>&1)" "$above/ours: 0 pins removed"
	chown 65533 "$above"
	refused_directory "a directory above it of another user" "$above(/ours)? belongs to user id" "$above/ours"
	rm -r "$above"
}

# ---- names: the group listens at $pins, as the listener listen_udp ----

# print_hostile_names: a listener whose name has escape sequences, quotes and bytes that are no text
print_hostile_names() {
	local name format
	name=$(printf 'x\033[31m"\n\\\377y')
	mkdir "$pins/$name"
	bpftool map pin pinned "$pins/listen_udp/udp_balancing_targets" "$pins/$name/udp_balancing_targets"
	bpftool map pin pinned "$pins/listen_udp/owners" "$pins/$name/owners"
	for format in '' --json --prometheus; do
		# shellcheck disable=SC2086 # an option, or none
		ctl -p "$pins" $format status >"$tmp/names" || true
		ok "status $format: a hostile name is there, escaped" grep -qF 'x1b[31m' "$tmp/names"
		is "status $format: no byte but printable ASCII" "$(tr -d ' -~\n' <"$tmp/names" | od -An -c)" ""
	done
	is "JSON: its name" "$(ctl -p "$pins" --json status | jq -r '.listeners[].name' | grep x)" 'x\x1b[31m"\x0a\x5c\xffy'
	is "metrics: each line is one" "$(ctl -p "$pins" --prometheus status | grep -vcE '^(#|[a-z_]+\{.*\} [-+.e0-9]+$)')" 0
	ok "where: escaped" sh -c "'$reuseportctl' -p '$pins' where 127.0.0.1 | grep -qF 'x\\x1b[31m'"
	says "an error line: escaped" 1 "no listener y\?\. in $pins" -p "$pins" --listener "$(printf 'y\n.')" status
	rm -r "${pins:?}/$name"
}

# complete_beside_hostile_names: names on the disk are data: a user who may make a directory in a pin path must not have root run a
# command
complete_beside_hostile_names() {
	local name typed
	mkdir -p "$bpffs/hostile/nfacctd" "$bpffs/hostile/bmp"
	# shellcheck disable=SC2016 # as they are
	for name in '$(touch ran)' '$(id>pwned)' '`touch ran`' '$((1+1))' '*' 'a b' '${HOME}' 'nfacctd;touch ran' '-x'; do mkdir "$bpffs/hostile/$name"; done
	is "directories with hostile names are there" "$(find "$bpffs/hostile" -mindepth 1 -maxdepth 1 | wc -l)" 11
	mkdir "$tmp/empty"
	is "completion of --listener proposes listeners alone" "$(cd "$tmp/empty" && proposed -p "$bpffs/hostile" -l '' | sort | tr '\n' ' ')" "bmp nfacctd "
	is "by the beginning of their names" "$(cd "$tmp/empty" && proposed -p "$bpffs/hostile" --listener n)" "nfacctd"
	# shellcheck disable=SC2016
	for typed in '$(touch ran)' '`touch ran`' '*'; do
		is "completion proposes nothing for --listener $typed" "$(cd "$tmp/empty" && proposed -p "$bpffs/hostile" -l "$typed")" ""
		(cd "$tmp/empty" && proposed -p "$bpffs/$typed" -l '' && proposed -p "$bpffs/$typed" override delete '') >"$tmp/typed"
		is "nor a listener or a prefix for the pin path $typed" "$(grep -v '^--' "$tmp/typed" | tr -d '\n')" ""
	done
	(cd "$tmp/empty" && proposed -p "$bpffs/hostile/" && proposed --load "$bpffs/hostile/") >"$tmp/typed"
	is "completion of paths proposes them as they are" "$(grep -cF "$bpffs/hostile/\$(touch ran)" "$tmp/typed")" 2
	is "no name was run as a command, or expanded" "$(find "$tmp/empty" -mindepth 1)" ""
}

# ---- reset ----

# tempt_reset: in the dead group, what is not to be followed: a link to a directory, one to a file, and what is mounted there
tempt_reset() {
	mkdir "$tmp/linked" "$tmp/mounted" "$pins/mounted"
	touch "$tmp/linked/owners" "$tmp/linked/counters" "$tmp/mounted/owners" "$tmp/file"
	ln -s "$tmp/linked" "$pins/nfacctd"
	ln -sf "$tmp/file" "$pins/listen_udp/_selector"
	mount --bind "$tmp/mounted" "$pins/mounted"
	chmod 700 "$tmp/linked"
}

resist_temptation() {
	is "and nothing that is linked or mounted there" "$(cd "$tmp" && echo linked/* mounted/* file)" "linked/counters linked/owners mounted/owners file"
	umount "$pins/mounted"
	rmdir "$pins/mounted"
	rm "$pins/nfacctd"
	says "a directory that is not on a bpffs is not reset" 1 "reuseport_pin_path $tmp/linked is not on a bpffs" -p "$tmp/linked" reset
	is "and keeps what is in it" "$(cd "$tmp/linked" && echo *)" "counters owners"
}

reset_what_is_ours() {
	ends "$pid"
	tempt_reset
	says "reset" 0 "$pins: [0-9]+ pins removed" -p "$pins" reset
	is "leaves what is not ours, and nothing else" "$(cd "$pins" && find . -xdev -mindepth 1 | sort | tr '\n' ' ')" "./mounted ./nfacctd "
	resist_temptation
}

# ---- the clock ----

# of a process, by these words: its wall clock is an hour ahead of ours
stepped="env LD_PRELOAD=$tools/wall_clock.so WALL_CLOCK_STEP=3600"

# since FILTER [WORDS]: what reuseportctl, run by these words, says of bucket 0: .time, .since
since() {
	# shellcheck disable=SC2086 # words
	${2:-} "$reuseportctl" -p "$pins" --json --listener nfacctd status | jq "{time, since: .listeners[0].buckets[0].since} | $1"
}

# step_the_clock: forward by an hour, while an instance drains
step_the_clock() {
	local leaver first
	member "$object" "$pins" 3 2
	leaver=$pid
	kill -TERM "$leaver"
	wait_for_line "$out" left
	members=$((members + 1)) out=$tmp/member$members
	# shellcheck disable=SC2086 # words
	$stepped "$tools/member" "$object" "$pins" 3 0 >"$out" &
	first=$!
	await 15 test -s "$out" || true
	like "the wall clock is stepped: an instance that drains is one of the group nevertheless" "$(head -n 1 "$out")" "^joined index 0 of 3"
	is "the mock steps the tool's clock" "$(since '.time > now + 3000' "$stepped")" true
	is "status, before the step: since when it runs" "$(since '.time - .since | . > -2 and . < 600')" true
	is "status, after the step: the same" "$(since '.time - .since | . > -2 and . < 600' "$stepped")" true
	stop "$leaver" "$first"
}

refuse_directories_of_others
listens -p "$pins" --prog "$object" --count 3 --udp listen 5000
print_hostile_names
complete_beside_hostile_names
reset_what_is_ours
step_the_clock
done_testing
