# Waiting for a condition.
# shellcheck shell=sh

# wait_for SECONDS COMMAND...: runs the command until it succeeds; fails if it does not succeed in time. SLOWER, in the
# environment, multiplies the time where the machine is emulated. It asks ten times a second, and after two seconds five times.
wait_for() {
	local tenths step=1 asked=0
	tenths=$(($1 * 10 * ${SLOWER:-1}))
	shift
	while ! "$@"; do
		[ "$tenths" -gt 0 ] || return 1
		asked=$((asked + 1))
		[ "$asked" -le 20 ] || step=2
		tenths=$((tenths - step))
		sleep 0.$step
	done
}
