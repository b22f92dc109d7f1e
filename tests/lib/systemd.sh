# A systemd of its own in a sandbox, which runs the project's units: a user manager, as root, with a control group of its own.
#
# A unit NAME@INDEX is nfacctd@INDEX as installed, up to its User=, with the config $tmp/NAME.conf; it writes $tmp/NAME-INDEX.log.
# Users, capabilities and sandboxing of the units are what scripts/ci/check-systemd is for.
# shellcheck shell=sh disable=SC2034,SC2154
: "${root:=$(cd "${0%/*}/.." && pwd)}"
. "$root/tests/lib/traffic.sh"

export XDG_RUNTIME_DIR=/run/reuseport
# where systemd is, if it has no link in /usr/bin
PATH=$PATH:/usr/lib/systemd:/lib/systemd

# start_systemd: $systemd is its process
start_systemd() {
	mount -t tmpfs tmpfs /run
	mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR" "$tmp/cgroup" "$tmp/units" "$tmp/sbin"
	ln -s "$nfacctd" "$tmp/sbin/nfacctd"
	ln -s "$reuseportctl" "$tmp/sbin/reuseportctl"
	mount -t cgroup2 cgroup2 "$tmp/cgroup" || skip_all "no second version of control groups"
	cgroup=$tmp/cgroup/reuseport-$(cat /proc/sys/kernel/random/uuid)
	mkdir "$cgroup" || skip_all "no control group can be made"
	trap stop_systemd EXIT
	# shellcheck disable=SC2016 # the inner shell's
	SYSTEMD_UNIT_PATH=$tmp/units:/usr/lib/systemd/user SYSTEMD_LOG_LEVEL=notice \
		unshare --mount sh -c 'echo $$ >"$1/cgroup.procs" && exec unshare --cgroup --mount sh -c "
			mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec systemd --user --unit=basic.target"' sh "$cgroup" >"$tmp/systemd.log" 2>&1 &
	systemd=$!
	await 20 systemctl --user --quiet is-active basic.target || die "systemd does not start: $(cat "$tmp/systemd.log")"
}

# stop_systemd: ends it, and what is left of what it has started
stop_systemd() {
	local dir
	kill -KILL "$systemd" 2>/dev/null || true
	find "$cgroup" -name cgroup.kill -exec sh -c 'echo 1 >"$1"' sh {} \; 2>/dev/null || true
	for dir in 1 2 3 4 5 6 7 8 9 10; do
		find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null || true
		[ -d "$cgroup" ] || break
		sleep 0.1
	done
}

# unit NAME [LINE...]: makes the units NAME@INDEX; LINEs are added to their section [Service]
unit() {
	local name="$1"
	shift
	{
		sed "s|@pkglibdir@/scripts|$root/scripts|; s|@sbindir@|$tmp/sbin|g; s|/etc/pmacct/nfacctd.conf|$tmp/$name.conf|; /^StateDirectory/d
			s|/run/pmacct/nfacctd-|$XDG_RUNTIME_DIR/pmacct/$name-|; s|pmacct/nfacctd-|pmacct/$name-|; /^User=/,\$d" "$root/systemd/nfacctd@.service.in"
		printf '%s\n' "StandardOutput=append:$tmp/$name-%i.log" "StandardError=append:$tmp/$name-%i.log" "$@"
	} >"$tmp/units/$name@.service"
	systemctl --user daemon-reload
}

# of UNIT PROPERTY: prints its value
of() {
	systemctl --user show --value --property "$2" "$1"
}

main_of() {
	of "$1" MainPID
}

# up NAME@INDEX: starts it, until it reads
up() {
	local log="$tmp/${1%@*}-${1#*@}.log"
	: >"$log"
	ok "$1 starts" quietly systemctl --user start "$1"
}

# restarted UNIT PID: whether systemd has started another process in the place of that one, which reads
restarted() {
	[ "$(main_of "$1")" != "$2" ] && [ "$(of "$1" ActiveState)" = active ]
}
