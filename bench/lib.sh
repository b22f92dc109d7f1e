# What the sections of the benchmark share; each sources this file first. A section prints samples on stdout, messages on stderr.
# shellcheck shell=sh disable=SC2034
. "${0%/*}/../tests/lib/traffic.sh"

# How many times everything is measured
rounds=${ROUNDS:-5}

# Unpatched pmacct of the same release, built with the same flags
unpatched=$root/build/unpatched-${RELEASE:-$base}/src

# sample TABLE ROW METRIC ROUND VALUE: prints a sample; bench/report.pl makes tables of them
sample() {
	printf '%s\t%s\t%s\t%s\t%s\n' "$@"
}

# discard_run REASON: reports a run that does not count, since something was lost that should not be, or a rate was not kept. The
# section fails after more of them than there are rounds.
discard_run() {
	echo "$prog: run discarded, will be repeated: $*" >&2
	discarded=$((${discarded:-0} + 1))
	[ "$discarded" -le "$rounds" ] || die "$discarded runs were discarded: this machine is too busy for measurements"
}

# For high rates: plugin_buffer_size as in pmacct's QUICKSTART (1.7.8), so that the core wakes its plugin once for many flows, and ten
# times its plugin_pipe_size
buffers="plugin_buffer_size[p]: 10240\nplugin_pipe_size[p]: 10240000"

# plain_config NAME PORT [LINE...]: as config, without the keys that begin with reuseport_
plain_config() {
	plain=$1 port=$2
	shift 2
	config "$plain" "$port" 1 "$@"
	sed -i '/^reuseport_/d' "$tmp/$plain.conf"
}

# start_plain NAME INDEX: starts an instance of unpatched pmacct with that config, and waits until it reads
start_plain() {
	# else a line of an earlier instance may be taken for one of this
	: >"$tmp/$1-$2.log"
	"$unpatched/nfacctd" -f "$tmp/$1.conf" -o "$tmp/$1-$2.csv" >"$tmp/$1-$2.log" 2>&1 &
	echo $! >"$tmp/$1-$2.pid"
	wait_for 20 reads "$1" "$2" || die "$1 $2 does not start: $(cat "$tmp/$1-$2.log")"
}

# choose_rate RATE: prints it, or, if the exporters cannot send so many a second on this machine, four fifths of what they can, in
# thousands
choose_rate() {
	local since ms can
	plain_config probe 2999
	start_plain probe 0
	since=$(date +%s%N)
	"$tools/exporter" netflow5 4 2999 exporters=200 ports=5 datagrams=100 rate=1000000 >/dev/null
	ms=$(ms_since "$since")
	stopped INT "$(pid_of probe 0)" || die "the daemon does not stop"
	rm "$tmp"/probe*
	can=$(awk -v ms="$ms" 'BEGIN {print int(80000 / ms) * 1000}')
	[ "$can" -lt "$1" ] && echo "$can" || echo "$1"
}

# start_tee NAME PORT FIRST COUNT: starts an unpatched nfacctd that forwards datagrams from PORT to COUNT others, on ports FIRST and
# up, with the exporter's source address. It selects by a checksum of that address; pmacct also has hash-agent for this, but up to the
# development branch Tee_hash_agent_balance() (tee_plugin.c) takes the address AND the count for an index, and does not know IPv6.
start_tee() {
	cat >"$tmp/$1.conf" <<-EOF
		nfacctd_port: $2
		nfacctd_pipe_size: 4000000
		plugins: tee[t]
		plugin_buffer_size[t]: 10240
		plugin_pipe_size[t]: 10240000
		tee_receivers[t]: $tmp/$1.list
		tee_transparent[t]: true
	EOF
	receivers=$(seq "$3" $(($3 + $4 - 1)) | sed 's/^/127.0.0.1:/' | paste -sd,)
	echo "id=1 ip=$receivers balance-alg=hash-crc32" >"$tmp/$1.list"
	"$unpatched/nfacctd" -f "$tmp/$1.conf" >"$tmp/$1-0.log" 2>&1 &
	echo $! >"$tmp/$1-0.pid"
	wait_for 20 grep -q 'waiting for NetFlow/IPFIX data' "$tmp/$1-0.log" || die "$1 does not start: $(cat "$tmp/$1-0.log")"
}
