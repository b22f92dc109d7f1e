# Members of a group without a daemon (tests/tools/member.c), in a sandbox whose bpffs has the group $pins.
# shellcheck shell=sh disable=SC2034,SC2154
: "${root:=$(cd "${0%/*}/.." && pwd)}"
. "$root/tests/lib/daemons.sh"

members=0

# ---- members ----

# member ARGUMENT...: starts one in the background and waits for its line; $said, $pid, and $out, the file with its output
member() {
	members=$((members + 1))
	out=$tmp/member$members
	"$tools/member" "$@" >"$out" &
	pid=$!
	await 15 test -s "$out" || diag "member $* says nothing"
	said=$(head -n 1 "$out")
}

# joins NAME REGEX ARGUMENT...: a member, and the assertion that its line matches
joins() {
	local name="$1" regex="$2"
	shift 2
	member "$@"
	like "$name" "$said" "$regex"
}

# try ARGUMENT...: starts one that must be refused, with exit status 1 and one line; $said
try() {
	if said=$("$tools/member" "$@"); then
		said="not refused: $said"
	elif [ "$(printf '%s\n' "$said" | wc -l)" -ne 1 ]; then
		said="more than a line: $said"
	fi
}

# refused NAME REGEX ARGUMENT...: the assertion that it is, by a line that matches
refused() {
	local name="$1" regex="$2"
	shift 2
	try "$@"
	like "$name" "$said" "$regex"
}

# refused_as_rehearsed NAME REGEX ARGUMENT...: the same; a rehearsal must say it too, and leave the bpffs as it is
refused_as_rehearsed() {
	local name="$1" regex="$2" before rehearsed after
	shift 2
	before=$(files)
	try "$@" rehearse=true
	rehearsed=$said after=$(files)
	try "$@"
	is "a rehearsal is refused in the same words" "$rehearsed" "$said"
	is "and changes no file" "$after" "$before"
	like "$name" "$said" "$regex"
}

# rehearses NAME ARGUMENT...: the assertions that a rehearsal finds nothing to refuse, and that it changes nothing
rehearses() {
	local name="$1" before
	shift
	before=$(contents)
	is "a rehearsal $name" "$("$tools/member" "$@" rehearse=true)" rehearsed
	is "changes no file, no map and no value" "$(contents)" "$before"
}

# files: what is on the bpffs, with inode numbers, owners and the time of each change
files() {
	find "$bpffs" -printf '%p %i %u %m %T@ %C@\n' | sort
}

# contents: each map on it, with its ID and its values, and the ID of each program
contents() {
	local pin
	files
	find "$bpffs" -type f | sort | while read -r pin; do
		bpftool -j map show pinned "$pin" 2>/dev/null | jq -c '[.id, .name, .type]' &&
			bpftool -j map dump pinned "$pin" || bpftool -j prog show pinned "$pin" | jq .id
	done
}

# wait_for_line FILE REGEX
wait_for_line() {
	await 5 has_line "$1" "$2" || diag "${1##*/}: $(cat "$1")"
}

# later COUNT: starts one that waits; what follows changes the group, until lastly: what it says then is in $said
later() {
	member "$object" "$pins" "$1" 1 wait=2
	is "an instance that is bound waits while others are ready" "$said" "bound, others serve"
}

lastly() {
	await 15 grep -qv bound "$out" || diag "${out##*/}: says no more"
	said=$(tail -n 1 "$out")
}

# resize COUNT [PIN-PATH]
resize() {
	"$reuseportctl" --pin-path "${2:-$pins}" resize "$1" 2>&1
}

stop() {
	kill -KILL "$@" 2>/dev/null || true
	wait "$@" 2>/dev/null || true
}

# as_user COMMAND...: as one that has CAP_BPF
as_user() {
	setpriv --clear-groups --inh-caps -all,+bpf --ambient-caps -all,+bpf --reuid 65534 --regid 65534 "$@"
}

# as_plain_user COMMAND...: as the same user without any capability
as_plain_user() {
	setpriv --clear-groups --inh-caps -all --bounding-set -all --reuid 65534 --regid 65534 "$@"
}

# pin_old_counters PIN: a map of another version of the selector
pin_old_counters() {
	bpftool map create "$1" type percpu_array key 4 value 8 entries 4 name counters
}
