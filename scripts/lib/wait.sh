# Waiting for a condition.
# shellcheck shell=sh

# wait_for SECONDS COMMAND...: runs the command until it succeeds; fails if it does not succeed in time. SLOWER, in the
# environment, multiplies the time where the machine is emulated.
wait_for() {
	local tenths
	tenths=$(($1 * 10 * ${SLOWER:-1}))
	shift
	while ! "$@"; do
		[ "$tenths" -gt 0 ] || return 1
		tenths=$((tenths - 1))
		sleep 0.1
	done
}
