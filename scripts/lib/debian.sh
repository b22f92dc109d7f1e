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

# debian_sources SUITE: prints a sources.list for it, with the mirrors that apt uses on this host
debian_sources() {
	local key mirror security type
	key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
	mirror=$(list_mirrors Debian | head -n 1)
	security=$(list_mirrors Debian-Security | head -n 1)
	for type in deb deb-src; do
		echo "$type $key ${mirror:-http://deb.debian.org/debian} $1 main"
		[ "$1" = sid ] || echo "$type $key ${security:-http://deb.debian.org/debian-security} $1-security main"
	done
}

# list_mirrors LABEL: prints the addresses of that archive in apt's configuration
list_mirrors() {
	# shellcheck disable=SC2016 # apt's own syntax
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' "Label: $1" | sort -u
}
