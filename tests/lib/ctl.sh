# reuseportctl on the groups of a sandbox, and what it prints.
# shellcheck shell=sh disable=SC2034,SC2154
: "${root:=$(cd "${0%/*}/.." && pwd)}"
. "$root/tests/lib/daemons.sh"

ctl() {
	"$reuseportctl" "$@" 2>&1
}

# run ARGUMENT...: what it prints is in $out, its exit status in $status
run() {
	out=$(ctl "$@") && status=0 || status=$?
}

# says NAME STATUS REGEX ARGUMENT...: it prints one line that matches, and exits with that status
says() {
	local name="$1" wanted="$2" regex="$3"
	shift 3
	run "$@"
	like "$name" "$status, $(printf '%s\n' "$out" | wc -l) line: $out" "^$wanted, 1 line: (reuseportctl: )?$regex"
}

# listens ARGUMENT...: starts it in the background and waits until it listens; its pid is in $pid, its output in $tmp/listen
listens() {
	# else the line of an earlier one is taken for its own
	: >"$tmp/listen"
	"$reuseportctl" "$@" >"$tmp/listen" 2>&1 &
	pid=$!
	await 10 grep -q 'Ctrl-C ends it' "$tmp/listen" || die "listen does not start: $(cat "$tmp/listen")"
}

ends() {
	kill "$1"
	wait "$1" || die "listen ends with $?"
}

# live_at BUCKET...: whether these buckets are live, and no others
live_at() {
	[ "$(ctl --json status | jq -r '[.listeners[0].buckets[] | select(.live).bucket] | join(" ")')" = "$*" ]
}

# received LISTENER: what each of its buckets received
received() {
	ctl --json --listener "$1" status | jq -r '[.listeners[0].buckets[].received] | join(" ")'
}

# sum_received LISTENER: all of them together
sum_received() {
	received "$1" | tr ' ' '+' | jq -nR 'input | split("+") | map(tonumber) | add'
}

# where_says: of the exporters in $tmp/arrived, lines "exporter bucket" as there
where_says() {
	cut -d' ' -f1 "$tmp/arrived" | ctl --listener listen_udp where - | awk 'NR > 1 {print $1, $2}' | sort
}

overrides() {
	ctl override list | tr '\n' ';'
}

# proposed WORD...: what bash proposes for the last of them, a line each
proposed() {
	bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); PATH=${0%/*}:$PATH; _reuseportctl; printf "%s\n" "${COMPREPLY[@]}"' \
		"$reuseportctl" "$root/reuseportctl/reuseportctl.bash" reuseportctl "$@"
}

# ---- listen and connect. $pid listens on, until it is replaced ----
