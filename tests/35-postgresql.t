#!/bin/sh
# The worked example of docs/deployment.md: four nfacctd with BMP write to one table of a real PostgreSQL, by the files of
# examples/ and scripts/instances. What 200 exporters sent is what the table has, exporter by exporter, each from one
# instance and with the AS of a route from the exporter's own BMP session; also when an instance restarts meanwhile.
. "${0%/*}/lib.sh"
need_daemons
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

# on a file system of its own, since $tmp is root's; initdb's output only if it fails
chmod 711 "$tmp"
mkdir postgresql
mount -t tmpfs -o mode=700,uid="$(id -u postgres)",gid="$(id -g postgres)" tmpfs postgresql
as_postgres "${server%/*}/initdb" --no-sync --locale=C --encoding=UTF8 --auth-local=peer --auth-host=scram-sha-256 \
	-D "$tmp/postgresql/data" >initdb.log 2>&1 || die "initdb: $(cat initdb.log)"
# -F: no fsync, nobody needs this data after a power cut
$unprivileged "$server" -D "$tmp/postgresql/data" -k "$tmp/postgresql" -F >postgresql.log 2>&1 &
postmaster=$!
wait_for 30 as_postgres psql -X -q -c '' postgres >psql.log 2>&1 || die "PostgreSQL does not start: $(cat postgresql.log psql.log)"

as_postgres psql -X -q -c "CREATE ROLE pmacct LOGIN PASSWORD 'change-me'" postgres
as_postgres createdb pmacct
as_postgres psql -X -q -v ON_ERROR_STOP=1 pmacct <"$root/examples/flows.sql"

# ---- four instances ----

# Paths are this sandbox's, and it writes every 5 seconds rather than every 60. Not every 2: pmacct waits so long between its own
# signal and that to its plugins, and an SQL plugin that gets it while it forks, to write, connects in its handler and hangs for good.
sed "s,/run/pmacct,$tmp,; s,@pkglibdir@/reuseport.o,$object,; s/^\(sql_refresh_time.*\): 60/\1: 5/" \
	"$root/examples/nfacctd-postgresql.conf.in" >nfacctd.conf
"$root/scripts/instances" nfacctd.conf 4 >instances.log || die "$(cat instances.log)"
sed -i "s,/var/lib/pmacct,$tmp," nfacctd-?.conf
instances="0 1 2 3"

# begin INDEX: an instance, whose pid file is where pid_of looks for it
begin() {
	PGAPPNAME=nfacctd-$1 "$nfacctd" -f "nfacctd-$1.conf" >"nfacctd-$1.log" 2>&1 &
}

# sessions: lines "exporter instance" for each BMP session
sessions() {
	for i in $instances; do peers 1790 "$(pid_of nfacctd "$i")" | sed "s/\$/ nfacctd-$i/"; done | sort
}

# sessions_read: whether all are up, and what they have sent has been read
sessions_read() {
	[ "$(sessions | wc -l)" -eq 200 ] && ss -Htn state established sport = :1790 | awk '$1 {exit 1}'
}

# more_rows: whether something has been written since
more_rows() {
	[ "$(query 'SELECT count(*) FROM flows')" -gt "$(cat rows)" ]
}

# arrived: whether the table has as many flows as were sent
arrived() {
	[ "$(query 'SELECT sum(flows) FROM flows')" = $(($(cat sent-4) + $(cat sent-6))) ]
}

for i in $instances; do begin "$i"; done
for i in $instances; do
	wait_for 20 is_up nfacctd "$i" || die "index $i does not start: $(cat "nfacctd-$i.log")"
done

for family in 4 6; do
	"$tools/exporter" bmp_route $family 1790 exporters=100 ports=1 >"sessions-$family" &
	echo $! >>routers
done
ok "200 exporters have their BMP sessions" wait_for 20 sessions_read
sessions >home

for family in 4 6; do
	"$tools/exporter" mixed $family 2100 exporters=100 ports=3 datagrams=5 rate=4000 report="first-$family" >"sent-$family"
done
ok "all their flows come to be in the table" wait_for 20 arrived
query "SELECT DISTINCT host(peer_ip_src), instance FROM flows" | sort >written
ok "each exporter's rows are of one instance, which has its BMP session" diff home written
diag "exporters by instance: $(cut -d' ' -f2 written | sort | uniq -c | tr -s ' \n' ' ')"

# own_as CONDITION: how many exporters have rows without their AS
own_as() {
	query "SELECT count(DISTINCT peer_ip_src) FROM flows WHERE $1 as_dst <> 64512 + CASE family(peer_ip_src)
		WHEN 4 THEN peer_ip_src - inet '10.0.0.1' ELSE peer_ip_src - inet '2001:db8::1' END"
}
is "exporters whose rows lack the AS that they themselves sent by BMP" "$(own_as "")" 0

# ---- one restarts ----

victim=$(cut -d' ' -f2 home | sort | uniq -c | sort -rn | sed -n '1s/.*-//p')
query "SELECT count(*) FROM flows" >rows
traffic mixed 2100 slot=1000
# until it has been written once
wait_for 20 more_rows || diag "nothing is written"
ok "index $victim, which has most of them, exits with 0 while all send" stopped INT "$(pid_of nfacctd "$victim")"
mv "nfacctd-$victim.log" before.log
begin "$victim"
ok "and is back" wait_for 20 is_up nfacctd "$victim"
traffic_ends

# ---- all stop, while a table lock makes those wait that insert ----

# locked: whether somebody has the table to himself
locked() {
	[ "$(query "SELECT count(*) FROM pg_locks WHERE relation = 'flows'::regclass AND mode = 'AccessExclusiveLock' AND granted")" = 1 ]
}

# writing INDEX: whether a process of its plugin is about to write
writing() {
	pgrep -f 'DB Writer' -P "$(pgrep -d , -P "$(pid_of nfacctd "$1")")" >/dev/null
}

as_postgres psql -X -q -c "BEGIN; LOCK TABLE flows; SELECT pg_sleep(60)" pmacct >lock.log 2>&1 &
wait_for 10 locked || die "the table cannot be locked: $(cat lock.log)"
"$tools/exporter" mixed 4 2100 exporters=100 ports=1 datagrams=1 report=last-4 >/dev/null
for i in $instances; do
	wait_for 20 writing "$i" || diag "index $i does not write"
	pid_of nfacctd "$i"
done >pids
wait_for 20 queues_empty 2100 || diag "queue not empty"
while read -r p; do kill -INT "$p"; done <pids
ok "an instance does not exit while rows of its wait to be written" not wait_for 4 gone "$(head -n 1 pids)"
query "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'flows'::regclass AND mode = 'AccessExclusiveLock' AND granted" >/dev/null
# ends PID: whether it does, and with 0
ends() {
	wait_for 30 gone "$1" || {
		diag "pid $1 does not end: $(ps -o pid=,wchan=,args= --ppid "$1")"
		return 1
	}
	wait "$1"
}
while read -r p; do ok "then it exits with 0" ends "$p"; done <pids
ok "and leaves no process behind" not pgrep -a nfacctd

# received_by_slot: what nothing_lost compares with what was sent: here it is in the table
received_by_slot() {
	query "SELECT host(peer_ip_src), port_dst, sum(flows) FROM flows GROUP BY 1, 2"
}
cat first-[46] [46].report last-4 | awk '{n[$1 " " $2 " " $3] += $4} END {for (e in n) print e, n[e]}' >reports
sent reports
nothing_lost flows
is "as many packets as flows, 100 bytes in each" "$(query "SELECT sum(packets) - sum(flows), sum(bytes) - 100 * sum(flows) FROM flows")" "0 0"

grep -v " nfacctd-$victim\$" home >others
query "SELECT DISTINCT host(peer_ip_src), instance FROM flows" | sort >written
awk 'NR == FNR {other[$1]; next} $1 in other' others written | diff others - >moved || true
is "of the others' exporters, rows of another instance" "$(grep -c '^>' moved)" 0
for i in $instances; do diag "nfacctd-$i wrote $(query "SELECT sum(flows), count(DISTINCT peer_ip_src) FROM flows WHERE instance = 'nfacctd-$i'") (flows, exporters)"; done

while read -r p; do kill "$p" && wait "$p" || true; done <routers
kill -INT "$postmaster"
ok "PostgreSQL ends" wait_for 20 gone "$postmaster"
ok "none of them logged an error" not grep -h -E 'ERROR|WARN' before.log nfacctd-?.log postgresql.log
done_testing
