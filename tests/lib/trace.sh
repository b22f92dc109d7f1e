# bpftrace/*.bt on the instances of a sandbox.
# shellcheck shell=sh disable=SC2034,SC2154
: "${root:=$(cd "${0%/*}/.." && pwd)}"
. "$root/tests/lib/daemons.sh"

# need_tracing: skips the test if this kernel cannot be traced
need_tracing() {
	need bpftrace bpftool
	[ -e /sys/kernel/btf/vmlinux ] || skip_all "this kernel has no BTF"
	mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || skip_all "no tracefs"
}

# trace NAME PROBES SCRIPT [ARGUMENT...]: runs a script, until traced; waits until it has attached so many probes. Its output
# goes to $tmp/NAME.out.
trace() {
	local tracer="$1" probes="$2" script="$3"
	shift 3
	# bpftrace 0.17 does not find it by itself before Linux 5.11
	BPFTRACE_BTF=/sys/kernel/btf/vmlinux bpftrace -B line "$root/bpftrace/$script" "$@" >"$tmp/$tracer.out" 2>"$tmp/$tracer.err" &
	echo $! >"$tmp/$tracer.tracer"
	await 60 attached "$tracer" "$probes" || die "$script does not start: $(cat "$tmp/$tracer.out")"
}

# attached NAME PROBES: whether its script has attached so many
attached() {
	[ "$(bpftool perf show 2>/dev/null | grep -c "^pid $(cat "$tmp/$1.tracer") ")" -ge "$2" ]
}

# traced NAME: ends it; its sums are in its output then
traced() {
	stopped TERM "$(cat "$tmp/$1.tracer")"
}

# host_pid PID: what a process of the sandbox is called outside of it
host_pid() {
	unshare --mount sh -c 'umount /proc && grep -Hs "^NSpid:.*[[:space:]]'"$1"'$" /proc/[0-9]*/status' |
		while IFS=/: read -r _ _ p _; do
			# another sandbox may have the same number
			[ "$(unshare --mount sh -c "umount /proc && readlink /proc/$p/ns/pid")" != "$(readlink /proc/self/ns/pid)" ] || echo "$p"
		done
}

# send PORT: 160 datagrams of 40 exporters, 20 of each family; and waits until they are read
send() {
	local family
	for family in 4 6; do
		"$tools/exporter" netflow5 $family "$1" exporters=20 ports=2 datagrams=2 rate=2000 >/dev/null
	done
	await 20 queues_empty "$1"
}

# connect PORT ROUTERS: so many of each family connect by BMP, until disconnect
connect() {
	local family
	for family in 4 6; do
		"$tools/exporter" bmp $family "$1" exporters="$2" ports=1 >"$tmp/routers$family" &
		echo $! >>"$tmp/routers"
	done
}

disconnect() {
	local p
	while read -r p; do kill "$p" && wait "$p" || true; done <"$tmp/routers"
}

# counted: counts equal lines "exporter bucket", as lines "exporter bucket count"
counted() {
	sort | uniq -c | awk '{print $2, $3, $1}' | sort
}

# orphans: of lines "exporter bucket datagrams" in $tmp/own, those of bucket 1, as they are when bucket 0 has them
orphans() {
	grep ' 1 ' "$tmp/own" | sed 's/ 1 / 0 /'
}
