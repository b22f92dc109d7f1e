#!/bin/sh
# 'make install': which file is where; each knows its prefix, and nothing of where it was built or staged; 'make uninstall' removes
# them and nothing else. The units are well-formed, and what is installed works: an upgrade by the units' own command, with the
# example config.
# shellcheck disable=SC2086 # words: $instance, $staged, $elsewhere
. "${0%/*}/lib/daemons.sh"
need_daemons
need systemd-analyze perl readelf mandoc
sandbox

prefix=$tmp/prefix
examples=$prefix/share/doc/pmacct-reuseport/examples
run=$prefix/lib/pmacct/scripts/run-instance
instance="$prefix/sbin/nfacctd $examples/nfacctd.conf"
staged="DESTDIR=$tmp/stage prefix=/opt/pmacct"
elsewhere="DESTDIR=$tmp/else prefix=/e/usr sbindir=/e/sbin libdir=/e/lib64 mandir=/e/man docdir=/e/doc systemdsystemunitdir=/e/units"

# make_or_die GOAL VARIABLE...
make_or_die() {
	make -s -C "$root" "$@" >"$tmp/log" 2>&1 || die "make $1 fails: $(cat "$tmp/log")"
}

# logged COMMAND...: for ok: writes its output to $tmp/log
logged() {
	"$@" >"$tmp/log" 2>&1
}

# ---- staged: each directory by default, and each another one ----

# files_and_modes: what is to be below $tmp/stage, except the bpftrace scripts
files_and_modes() {
	cat <<-END
		644 /opt/pmacct/lib/pmacct/reuseport.o
		755 /opt/pmacct/lib/pmacct/scripts/instances
		644 /opt/pmacct/lib/pmacct/scripts/lib/common.sh
		755 /opt/pmacct/lib/pmacct/scripts/run-instance
		755 /opt/pmacct/lib/pmacct/scripts/scale
		644 /opt/pmacct/lib/systemd/system/nfacctd@.service
		644 /opt/pmacct/lib/systemd/system/pmacct-reuseport.target
		644 /opt/pmacct/lib/systemd/system/pmbmpd@.service
		644 /opt/pmacct/lib/systemd/system/reuseport-metrics.service
		644 /opt/pmacct/lib/systemd/system/reuseport-metrics.timer
		644 /opt/pmacct/lib/sysusers.d/pmacct-reuseport.conf
		644 /opt/pmacct/lib/tmpfiles.d/pmacct-reuseport.conf
		755 /opt/pmacct/sbin/reuseportctl
		644 /opt/pmacct/share/bash-completion/completions/reuseportctl
		644 /opt/pmacct/share/doc/pmacct-reuseport/examples/flows.sql
		644 /opt/pmacct/share/doc/pmacct-reuseport/examples/grafana-dashboard.json
		644 /opt/pmacct/share/doc/pmacct-reuseport/examples/nfacctd-postgresql.conf
		644 /opt/pmacct/share/doc/pmacct-reuseport/examples/nfacctd.conf
		644 /opt/pmacct/share/doc/pmacct-reuseport/examples/pmbmpd.conf
		644 /opt/pmacct/share/doc/pmacct-reuseport/examples/prometheus-alerts.yml
		644 /opt/pmacct/share/man/man8/reuseportctl.8
	END
}

check_files() {
	make_or_die install $staged
	is "files and modes" "$(find "$tmp/stage" -type f ! -name '*.bt' -printf '%m /%P\n' | sort -k 2)" "$(files_and_modes)"
	is "bpftrace scripts" "$(cd "$tmp/stage/opt/pmacct/lib/pmacct" && find . -name '*.bt' -perm 755 | sort)" "$(cd "$root/bpftrace" && find . -name '*.bt' | sort)"
	is "files that name the tree they were built in, where they were staged, or another prefix" \
		"$(grep -rlF -e "$root" -e "$tmp" -e /usr/local "$tmp/stage")" ""
	is "files in which a place for a path, or the version, is left" "$(grep -rlE '@([a-z]+dir|version)@' "$tmp/stage")" ""
}

check_blank() {
	make_or_die install "DESTDIR=$tmp/with blank" prefix=/opt/pmacct
	ok "the same where DESTDIR has a blank" diff -r "$tmp/stage" "$tmp/with blank"
	make_or_die uninstall "DESTDIR=$tmp/with blank" prefix=/opt/pmacct
	is "uninstall leaves nothing there" "$(find "$tmp/with blank" -type f)" ""
}

check_version() {
	local version installed="$tmp/stage/opt/pmacct"
	version=$(sed -n 's/^#define REUSEPORT_VERSION "\(.*\)"$/\1/p' "$root/pmacct/src/reuseport/reuseport_version.h")
	like "the version" "$version" '^[0-9]+\.[0-9]+\.[0-9]+$'
	is "the tool's version" "$("$installed/sbin/reuseportctl" --version)" "reuseportctl $version"
	like "the object's version, beside its licence" "$(readelf -p license "$installed/lib/pmacct/reuseport.o" | tr -s ' \n' ' ')" "\] GPL .*\] pmacct-reuseport $version "
	like "the manual page's version" "$(mandoc "$installed/share/man/man8/reuseportctl.8" | tail -n 1)" "^pmacct-reuseport $version "
}

check_examples() {
	local conf
	for conf in "$tmp"/stage/opt/pmacct/share/doc/pmacct-reuseport/examples/*.conf; do
		is "${conf##*/}: paths that are not absolute" "$(sed '/^!/d; s/^[^:]*: *//' "$conf" | grep '/' | grep -v '^/')" ""
		ok "${conf##*/}: the object is where it says" \
			[ -f "$tmp/stage$(sed -n 's/^reuseport_bpf_prog: //p' "$conf")" ]
	done
}

# files_elsewhere: what is to be in the other directories, except the bpftrace scripts
files_elsewhere() {
	cat <<-END
		e/doc/examples/flows.sql
		e/doc/examples/grafana-dashboard.json
		e/doc/examples/nfacctd-postgresql.conf
		e/doc/examples/nfacctd.conf
		e/doc/examples/pmbmpd.conf
		e/doc/examples/prometheus-alerts.yml
		e/lib64/pmacct/reuseport.o
		e/lib64/pmacct/scripts/instances
		e/lib64/pmacct/scripts/lib/common.sh
		e/lib64/pmacct/scripts/run-instance
		e/lib64/pmacct/scripts/scale
		e/man/man8/reuseportctl.8
		e/sbin/reuseportctl
		e/units/nfacctd@.service
		e/units/pmacct-reuseport.target
		e/units/pmbmpd@.service
		e/units/reuseport-metrics.service
		e/units/reuseport-metrics.timer
	END
}

install_elsewhere() {
	make_or_die install $elsewhere
	is "the directories are those that make was given" \
		"$(cd "$tmp/else" && find e/sbin e/lib64 e/man e/doc e/units -type f ! -name '*.bt' | sort)" "$(files_elsewhere)"
	like "a unit runs what is in them" "$(cat "$tmp/else/e/units/nfacctd@.service")" \
		"^ExecStart=/e/lib64/pmacct/scripts/run-instance /e/sbin/nfacctd "
	like "an example names the object there" "$(cat "$tmp/else/e/doc/examples/nfacctd.conf")" "^reuseport_bpf_prog: /e/lib64/pmacct/reuseport.o$"
}

uninstall() {
	echo "another package's" >"$tmp/else/e/lib64/pmacct/other"
	make_or_die uninstall $elsewhere
	is "uninstall leaves what it did not install" "$(find "$tmp/else" -type f)" "$tmp/else/e/lib64/pmacct/other"
	make_or_die uninstall $staged
	is "uninstall leaves no directory of its own" "$(find "$tmp/stage" -path '*pmacct/*pmacct*')" ""
}

refuse_other_prefix() {
	like "PREFIX is refused, not ignored" "$(make -s -C "$root" install DESTDIR="$tmp/none" PREFIX=/opt 2>&1 || true)" "PREFIX is called prefix here.*: make install prefix=/opt"
}

# ---- installed where it is to stay ----

# checks UNIT...: 'systemd-analyze verify' of these and of a broken unit; its complaints are in $tmp/log. They may be about
# Debian's own, so that its exit status says nothing.
checks() {
	printf '%s\n' '[Service]' 'ExecStart=/bin/true' 'Broken=yes' >"$tmp/broken.service"
	systemd-analyze verify --man=no "$tmp/broken.service" "$@" >"$tmp/log" 2>&1 || true
	like "systemd-analyze verify has found a unit that is broken" "$(cat "$tmp/log")" "broken.service:3: Unknown key"
}

install_to_stay() {
	make_or_die install prefix="$prefix"
	ln -s "$nfacctd" "$pmbmpd" "$prefix/sbin/"
}

check_units() {
	local daemon
	checks "$prefix"/lib/systemd/system/*.target \
		"$prefix/lib/systemd/system/nfacctd@0.service" "$prefix/lib/systemd/system/pmbmpd@0.service" \
		"$prefix"/lib/systemd/system/reuseport-metrics.*
	is "systemd-analyze verify has no complaint about ours" \
		"$(grep -F -e "$prefix" -e nfacctd -e pmbmpd -e pmacct "$tmp/log" || true)" ""
	for daemon in nfacctd pmbmpd; do sed "/^#/d; s/$daemon/DAEMON/g" "$prefix/lib/systemd/system/$daemon@.service" >"$tmp/$daemon"; done
	ok "the two units differ in nothing but the daemon's name" quietly diff "$tmp/nfacctd" "$tmp/pmbmpd"
}

# ---- what is installed works ----

# make_directories: the example writes to some that belong to root here and are gone with the sandbox
make_directories() {
	local i
	mount -t tmpfs tmpfs /var/lib
	mkdir /var/lib/pmacct
	for i in 0 1 2 3; do mkdir "$tmp/run-$i"; done
	# A config with a password in it may have this mode
	chmod 440 "$examples/nfacctd.conf"
}

# receive_notification: what systemd would receive from a unit of Type=notify, and whether the log of index 0 says then that its
# listener has joined, goes to $tmp/notified; $notified is the process
receive_notification() {
	perl -MSocket -e '
		socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
		bind($s, pack_sockaddr_un("$ARGV[0]/notify")) or die "bind: $!";
		my $message = "";
		until ($message =~ /^READY/) {
			recv($s, $message, 128, 0) // die "notify: $!";
			print "$message\n" =~ s/\n(?=.)/ /gr =~ s/-\d+/-COOKIE/r if $message !~ /^(READY|EXTEND|WATCHDOG)/;
		}
		open(my $log, "<", "$ARGV[0]/live-0.log") or die "log: $!";
		print "$message ", scalar(grep { /listener nfacctd joined/ } <$log>), "\n";
	' "$tmp" >"$tmp/notified" &
	notified=$!
	await 10 test -S "$tmp/notify" || die "no socket to be notified by"
}

start_instances() {
	local i
	for i in 0 1 2 3; do
		NOTIFY_SOCKET=$([ $i -gt 0 ] || echo "$tmp/notify") "$run" --dir "$tmp/run-$i" $instance $i >"$tmp/live-$i.log" 2>&1 &
		echo $! >"$tmp/live-$i.pid"
	done
	for i in 0 1 2 3; do
		ok "index $i of the example joins" await 20 is_up live $i
		like "index $i of the example joins with BMP" "$(cat "$tmp/live-$i.log")" "listener bmp joined /sys/fs/bpf/pmacct as index $i of 4"
		is "index $i of the example has its pidfile" "$(cat "$tmp/run-$i/pid")" "$(pid_of live $i)"
	done
}

notify_systemd() {
	wait "$notified" || diag "no notification came"
	is "index 0 has systemd keep its socket when it has joined" "$(sed '$d' "$tmp/notified")" "FDSTORE=1 FDPOLL=0 FDNAME=nfacctd-COOKIE"
	is "index 0 notifies systemd when it reads" "$(tail -n 1 "$tmp/notified")" "READY=1 1"
}

refuse_an_index_beyond() {
	ok "there is no index 4" not logged "$run" --dir "$tmp/run-0" $instance 4
	like "run-instance says that there is no index 4" "$(cat "$tmp/log")" 'there is no instance 4: .*reuseport_hashbucket_count: 4, so it is 0 to 3'
}

# upgrade: index 1; the process is $new then
upgrade() {
	local old
	old=$(pid_of live 1)
	ok "an upgrade: takeover succeeds" logged "$run" --dir "$tmp/run-1" --takeover "$old" $instance 1
	ok "the old process has ended" gone "$old"
	ok "the old process ended by itself, with 0" exits_with_0 "$old"
	new=$(cat "$tmp/run-1/pid")
	like "the new one, which the pidfile names, joined" "$(cat "$tmp/log")" 'listener nfacctd joined'
	is "the parent of the new process is process 1" "$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$new/status")" 1
}

refuse_to_upgrade() {
	chmod 640 "$examples/nfacctd.conf"
	sed -i 's/^nfacctd_port: .*/nfacctd_port: 2101/' "$examples/nfacctd.conf"
	ok "with a config that the group refuses, it fails" not logged "$run" --dir "$tmp/run-1" --takeover "$new" $instance 1
	like "a takeover that fails says which process runs on" "$(cat "$tmp/log")" "the new process, [0-9]+, has ended: see what it said; $new runs on"
	ok "after a takeover that fails the old process runs on" not gone "$new"
}

stop_instances() {
	local i
	for i in 0 2 3; do ok "index $i stops, with 0" stopped TERM "$(pid_of live $i)"; done
	kill -TERM "$new"
	ok "the one that took over stops" await 20 gone "$new"
}

check_files
check_blank
check_version
check_examples
install_elsewhere
uninstall
refuse_other_prefix
install_to_stay
check_units
make_directories
receive_notification
start_instances
notify_systemd
refuse_an_index_beyond
upgrade
refuse_to_upgrade
stop_instances
done_testing
