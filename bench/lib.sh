# What the benchmark's sections share; sourced first. A section prints samples on stdout, and what it is at on stderr.
# shellcheck shell=sh disable=SC2034
. "${0%/*}/../tests/lib.sh"

# How often everything is measured, in turn
rounds=${ROUNDS:-5}

# sample TABLE ROW METRIC ROUND VALUE: bench/report makes tables of them
sample() {
	printf '%s\t%s\t%s\t%s\t%s\n' "$@"
}

# thrown_out WORDS: a run that is not counted, because something was lost that should not be; too many end the section
thrown_out() {
	echo "$prog: THROWN OUT, and run again: $*" >&2
	thrown=$((${thrown:-0} + 1))
	[ "$thrown" -le "$rounds" ] || die "$thrown runs were thrown out: this machine is too busy to measure here"
}

# What pmacct's documents advise for high rates: the core wakes its plugin for many flows at once
buffers="plugin_buffer_size[p]: 10240\nplugin_pipe_size[p]: 10240000"

# plain_config NAME PORT [LINE...]: as config, without our keys
plain_config() {
	plain=$1 port=$2
	shift 2
	config "$plain" "$port" 1 "$@"
	sed -i '/^reuseport_/d' "$tmp/$plain.conf"
}

# start_plain NAME INDEX: an instance of that; waits until it reads
start_plain() {
	# or what a former one said may be read
	: >"$tmp/$1-$2.log"
	"$nfacctd" -f "$tmp/$1.conf" -o "$tmp/$1-$2.csv" >"$tmp/$1-$2.log" 2>&1 &
	echo $! >"$tmp/$1-$2.pid"
	wait_for 20 reads "$1" "$2" || die "$1 $2 does not start: $(cat "$tmp/$1-$2.log")"
}

# start_tee NAME PORT FIRST COUNT: an nfacctd that forwards what comes to PORT to COUNT others, at the ports FIRST and up, by
# exporter, under the exporter's own address, with buffers as in pmacct's QUICKSTART. hash-agent, which is meant for that, is
# broken up to the development branch.
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
	"$nfacctd" -f "$tmp/$1.conf" >"$tmp/$1-0.log" 2>&1 &
	echo $! >"$tmp/$1-0.pid"
	wait_for 20 grep -q 'waiting for NetFlow/IPFIX data' "$tmp/$1-0.log" || die "$1 does not start: $(cat "$tmp/$1-0.log")"
}
