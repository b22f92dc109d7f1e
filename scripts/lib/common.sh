# What every script uses: error messages, --help, a temporary directory. Sourced first, with $root set to the project's root.
# 'make install' installs this library and no other.
# shellcheck shell=sh disable=SC2154

prog=${0##*/}

# die WORDS: prints the error message and exits with status 1
die() {
	echo "$prog: $*" >&2
	exit 1
}

# help: prints the header comment of the script and exits
help() {
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
	exit 0
}

# usage_error WORDS: rejects a command line and exits with status 2
usage_error() {
	echo "$prog: $*; see '$prog --help'" >&2
	exit 2
}

# value_of CONFIG KEY: what a config of pmacct has; of two lines with one key pmacct uses the later
value_of() {
	# shellcheck disable=SC2016 # an awk program
	awk -F: -v key="$2" '{gsub(/[ \t\r]/, "")} tolower($1) == key {value = $2} END {print value}' "$1"
}

# make_tmp: creates the directory $tmp, which is removed when the script exits
make_tmp() {
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' HUP INT TERM
}
