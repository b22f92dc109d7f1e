#!/bin/sh
# The worked example of docs/deployment.md: four nfacctd with BMP write to one table of a real PostgreSQL, by the files of
# examples/ and scripts/instances. What 200 exporters sent is what the table has, exporter by exporter, each from one
# instance and with the AS of a route from the exporter's own BMP session; also when an instance restarts meanwhile.
. "${0%/*}/lib/traffic.sh"
need_traffic
need ss setpriv psql
"$nfacctd" -V 2>/dev/null | grep -q '^PostgreSQL' || skip_all "nfacctd was built without --enable-pgsql"
server=$(find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | sort -V | tail -n 1)
[ -x "$server" ] || skip_all "no PostgreSQL server in /usr/lib/postgresql"
sandbox
cd "$tmp"

# ---- PostgreSQL: a cluster of its own, with the authentication that Debian sets up ----

export PGHOST="$tmp/postgresql"
unprivileged="setpriv --reuid=postgres --regid=postgres --init-groups"

# as_postgres COMMAND...
as_postgres() {
	$unprivileged "$@"
}

# query SQL: rows, blanks between the columns
query() {
	as_postgres psql -X -q -A -t -F ' ' -v ON_ERROR_STOP=1 -c "$1" pmacct
}

# answers: whether the server does
answers() {
	as_postgres psql -X -q -c '' postgres >psql.log 2>&1
}

# start_server: on a file system of its own, since $tmp is root's
start_server() {
	chmod 711 "$tmp"
	mkdir postgresql
	mount -t tmpfs -o mode=700,uid="$(id -u postgres)",gid="$(id -g postgres)" tmpfs postgresql
	as_postgres "${server%/*}/initdb" --no-sync --locale=C --encoding=UTF8 --auth-local=peer --auth-host=scram-sha-256 \
		-D "$tmp/postgresql/data" >initdb.log 2>&1 || die "initdb: $(cat initdb.log)"
	# -F: no fsync: this data need not survive a power cut
	$unprivileged "$server" -D "$tmp/postgresql/data" -k "$tmp/postgresql" -F >postgresql.log 2>&1 &
	postmaster=$!
	await 30 answers || die "PostgreSQL does not start"
	as_postgres psql -X -q -c "CREATE ROLE pmacct LOGIN PASSWORD 'change-me'" postgres
	as_postgres createdb pmacct
	as_postgres psql -X -q -v ON_ERROR_STOP=1 pmacct <"$root/examples/flows.sql"
}

# ---- four instances ----

instances="0 1 2 3"

# configure: the example, but for its paths, and it writes every 5 seconds rather than every 60. Not every 2: pmacct waits so long
# between its own signal and that to its plugins, and an SQL plugin that gets it while it forks, to write, connects in its handler
# and hangs for good.
configure() {
	sed "s,/run/pmacct,$tmp,; s,@pkglibdir@/reuseport.o,$object,; s/^\(sql_refresh_time.*\): 60/\1: 5/" \
		"$root/examples/nfacctd-postgresql.conf.in" >nfacctd.conf
	"$root/scripts/instances" nfacctd.conf 4 >instances.log || die "$(cat instances.log)"
	sed -i "s,/var/lib/pmacct,$tmp," nfacctd-?.conf
	# every other one with the other way from the core to its plugin, if this build has it
	! "$nfacctd" -V | grep -q '^ZeroMQ' || echo "plugin_pipe_zmq: true" | tee -a nfacctd-0.conf nfacctd-2.conf >/dev/null
}

# begin INDEX: an instance, whose pid file is where pid_of looks for it
begin() {
	: >"nfacctd-$1.log"
	PGAPPNAME=nfacctd-$1 "$nfacctd" -f "nfacctd-$1.conf" >"nfacctd-$1.log" 2>&1 &
}

begin_all() {
	local i
	for i in $instances; do begin "$i"; done
	for i in $instances; do await 20 is_up nfacctd "$i" || die "index $i does not start"; done
}

# ---- exporters with flows and sessions ----

# sessions: lines "exporter instance" for each BMP session
sessions() {
	local i
	for i in $instances; do peers 1790 "$(pid_of nfacctd "$i")" | sed "s/\$/ nfacctd-$i/"; done | sort
}

# sessions_read: whether all are up, and what they have sent has been read
sessions_read() {
	[ "$(sessions | wc -l)" -eq 200 ] && ss -Htn state established sport = :1790 | awk '$1 {exit 1}'
}

# arrived: whether the table has as many flows as were sent
arrived() {
	[ "$(query 'SELECT sum(flows) FROM flows')" = 3000 ]
}

# own_as CONDITION: how many exporters have rows without their AS
own_as() {
	query "SELECT count(DISTINCT peer_ip_src) FROM flows WHERE $1 as_dst <> 64512 + CASE family(peer_ip_src)
		WHEN 4 THEN peer_ip_src - inet '10.0.0.1' ELSE peer_ip_src - inet '2001:db8::1' END"
}

send_and_compare() {
	local family
	start_routers routers bmp_route 1790 100
	ok "200 exporters have their BMP sessions" await 20 sessions_read
	sessions >owners
	for family in 4 6; do
		"$tools/exporter" mixed $family 2100 exporters=100 ports=3 datagrams=5 rate=4000 report="first-$family" >"sent-$family"
	done
	is "flows sent, by IPv4 and IPv6" "$(cat sent-4 sent-6 | paste -sd' ')" "1500 1500"
	ok "all their flows come to be in the table" await 20 arrived
	query "SELECT DISTINCT host(peer_ip_src), instance FROM flows" | sort >written
	ok "each exporter's rows are of one instance, which has its BMP session" diff owners written
	diag "exporters by instance: $(cut -d' ' -f2 written | sort | uniq -c | tr -s ' \n' ' ')"
	is "exporters whose rows lack the AS that they themselves sent by BMP" "$(own_as "")" 0
}

# ---- one restarts ----

# more_rows: whether something has been written since
more_rows() {
	[ "$(query 'SELECT count(*) FROM flows')" -gt "$(cat rows)" ]
}

# restart_one: while all send, and after something has been written once
restart_one() {
	victim=$(cut -d' ' -f2 owners | sort | uniq -c | sort -rn | sed -n '1s/.*-//p')
	query "SELECT count(*) FROM flows" >rows
	start_traffic mixed 2100 period=1000
	ok "flows are written" await 20 more_rows
	ok "index $victim, which has most of them, exits with 0 while all send" stopped INT "$(pid_of nfacctd "$victim")"
	mv "nfacctd-$victim.log" before.log
	begin "$victim"
	ok "index $victim is back" await 20 is_up nfacctd "$victim"
	stop_traffic
}

# ---- all stop, while a table lock makes those wait that insert ----

locked_by="FROM pg_locks WHERE relation = 'flows'::regclass AND mode = 'AccessExclusiveLock' AND granted"

locked() {
	[ "$(query "SELECT count(*) $locked_by")" = 1 ]
}

# writing INDEX: whether a process of its plugin is about to write
writing() {
	pgrep -f 'DB Writer' -P "$(pgrep -d , -P "$(pid_of nfacctd "$1")")" >/dev/null
}

# stay_for SECONDS PID: whether the process does not end in that time
stay_for() {
	! wait_for "$1" gone "$2"
}

# ends PID: whether it does, and with 0
ends() {
	exits_with_0 "$1" || {
		diag "pid $1: $(ps -o pid=,wchan=,args= --ppid "$1")"
		return 1
	}
}

stop_while_locked() {
	local i p
	as_postgres psql -X -q -c "BEGIN; LOCK TABLE flows; SELECT pg_sleep(600)" pmacct >lock.log 2>&1 &
	await 10 locked || die "the table cannot be locked"
	"$tools/exporter" mixed 4 2100 exporters=100 ports=1 datagrams=1 report=last-4 >sent-last
	is "flows sent while the table is locked" "$(cat sent-last)" 100
	for i in $instances; do
		ok "index $i has rows to write" await 20 writing "$i"
	done
	for i in $instances; do pid_of nfacctd "$i"; done >pids
	await 20 queues_empty 2100
	while read -r p; do kill -INT "$p"; done <pids
	ok "an instance does not exit while rows of its wait to be written" stay_for 4 "$(head -n 1 pids)"
	query "SELECT pg_terminate_backend(pid) $locked_by" >/dev/null
	while read -r p; do ok "then it exits with 0" ends "$p"; done <pids
	ok "the instances leave no process behind" not pgrep -a nfacctd
}

# ---- what the table has ----

# received_by_period: what nothing_lost compares with what was sent: here it is in the table
received_by_period() {
	query "SELECT host(peer_ip_src), port_dst, sum(flows), 'any', sum(bytes) FROM flows GROUP BY 1, 2"
}

check_table() {
	local i
	cat first-[46] traffic.[46].report last-4 | awk '{n[$1 " " $2 " " $3] += $4} END {for (e in n) print e, n[e]}' >reports
	sent reports
	nothing_lost flows
	is "as many packets as flows, 100 bytes in each" "$(query "SELECT sum(packets) - sum(flows), sum(bytes) - 100 * sum(flows) FROM flows")" "0 0"
	grep -v " nfacctd-$victim\$" owners >others
	ok "there are exporters of the others" [ -s others ]
	query "SELECT DISTINCT host(peer_ip_src), instance FROM flows" | sort >written
	awk 'NR == FNR {other[$1]; next} $1 in other' others written | diff others - >moved || true
	is "of the others' exporters, rows of another instance" "$(grep -c '^>' moved)" 0
	for i in $instances; do diag "nfacctd-$i wrote $(query "SELECT sum(flows), count(DISTINCT peer_ip_src) FROM flows WHERE instance = 'nfacctd-$i'") (flows, exporters)"; done
}

end_all() {
	stop_routers routers
	kill -INT "$postmaster"
	ok "PostgreSQL ends" await 20 gone "$postmaster"
	ok "neither the instances nor PostgreSQL logged an error" not grep -h -E 'ERROR|WARN' before.log nfacctd-?.log postgresql.log
}

start_server
configure
begin_all
send_and_compare
restart_one
stop_while_locked
check_table
end_all
done_testing
