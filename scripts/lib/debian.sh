# Debian's archive: packages of any suite, without changing the host. Needs common.sh and $root.
# shellcheck shell=sh disable=SC2154

# run_apt SUITE COMMAND ARGUMENT...: runs apt-get or apt-cache on one suite of Debian's archive. It has lists and packages of its
# own in build/debian/SUITE and installs nothing; neither the packages of the host nor its sources matter.
run_apt() {
	local state
	state=$root/build/debian/$1
	if [ ! -s "$state/sources.list" ]; then
		mkdir -p "$state/lists/partial" "$state/archives/partial"
		: >"$state/status"
		debian_sources "$1" >"$state/sources.list"
	fi
	shift
	"$@" -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State="$state" \
		-o Dir::State::Status="$state/status" -o Dir::Cache="$state" -o Acquire::Languages=none -o APT::Sandbox::User=root \
		-o Acquire::Check-Valid-Until=false
}

# debian_sources SUITE: prints a sources.list for it, with the mirrors that apt uses on this host; sid's may be days behind
debian_sources() {
	print_sources "$1" "$(list_mirrors Debian | head -n 1)" "$(list_mirrors Debian-Security | head -n 1)"
}

# print_sources SUITE [MIRROR [SECURITY]]: prints a sources.list for it, with these mirrors or Debian's own
print_sources() {
	local key type
	key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
	[ "$1" != sid ] || key="${key%]} check-valid-until=no]"
	for type in deb deb-src; do
		echo "$type $key ${2:-http://deb.debian.org/debian} $1 main"
		[ "$1" = sid ] || echo "$type $key ${3:-http://deb.debian.org/debian-security} $1-security main"
	done
}

# list_mirrors LABEL: prints the addresses of that archive in apt's configuration
list_mirrors() {
	# shellcheck disable=SC2016 # apt's own syntax
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' "Label: $1" | sort -u
}

# print_depends DIRECTORY: prints what the packages there depend on, but for each other
print_depends() {
	local package
	for package in "$1"/*.deb; do dpkg-deb -f "$package" Depends; done | sed 's/pmacct, pmacct-reuseport-abi ([^)]*), //' | paste -sd,
}

# ---- chroots ----

# step COMMAND...: runs what the rest depends on; its output is shown only if it fails. Needs $tmp.
step() {
	"$@" >"$tmp/log" 2>&1 </dev/null || {
		tail -n 15 "$tmp/log" >&2
		die "failed: $*"
	}
}

# make_chroot SUITE NAME [VARIANT]: makes $chroot anew, build/debian/SUITE/NAME, with a variant of Debian's minimal system, buildd or minbase, and
# no more. That is kept in build/debian/SUITE/VARIANT for the next time, and packages that apt has downloaded in build/debian/SUITE/cache.
make_chroot() {
	local clean mirror
	clean=$root/build/debian/$1/${3:-buildd}
	chroot=$root/build/debian/$1/$2
	mkdir -p "$root/build/debian/$1/cache/partial"
	if [ ! -e "$clean/.made" ]; then
		mirror=$(list_mirrors Debian | head -n 1)
		rm -rf "$clean"
		step unshare --mount debootstrap --force-check-gpg --variant="${3:-buildd}" --include=ca-certificates "$1" "$clean" \
			"${mirror:-http://deb.debian.org/debian}"
		touch "$clean/.made"
	fi
	rm -rf "$chroot"
	cp -a "$clean" "$chroot"
	rm "$chroot/.made"
	mkdir "$chroot/project"
	debian_sources "$1" >"$chroot/etc/apt/sources.list"
	cat >"$chroot/etc/apt/apt.conf.d/chroot" <<-'END'
		quiet "1";
		APT { Get::Assume-Yes "true"; Install-Recommends "false"; Sandbox::User "root"; };
		Dpkg::Options { "--force-unsafe-io"; };
	END
	step in_chroot apt-get update
	step in_chroot apt-get dist-upgrade
}

# in_chroot COMMAND...: runs it in $chroot, in namespaces of its own: what it mounts or starts is gone when it ends. The project is at /project
# there; $chroot/built, if that exists, is its build/. With offline=yes there is no network.
in_chroot() {
	# shellcheck disable=SC2016 # the inner shell's
	unshare --mount --pid --fork --kill-child ${offline:+--net} sh -euc '
		chroot=$1 root=$2
		shift 2
		mount --bind "$chroot" "$chroot"
		mount -t proc proc "$chroot/proc"
		mount -t sysfs sysfs "$chroot/sys"
		mount -t tmpfs tmpfs "$chroot/tmp"
		mount --bind "${chroot%/*}/cache" "$chroot/var/cache/apt/archives"
		mount --bind "$root" "$chroot/project"
		[ ! -d "$chroot/built" ] || mount --bind "$chroot/built" "$chroot/project/build"
		exec chroot "$chroot" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
			"$@"' sh "$chroot" "$root" "$@"
}
