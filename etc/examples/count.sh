#!/bin/sh
# count.sh [SECONDS] - a job in shell, nothing linked: counts ticks, keeps the count over stops and
# crashes. By hand: GRACEFUL_STATE=/tmp/count.state ./count.sh, and Ctrl-C.
#
# A shell cannot trap a signal that was ignored when it started, as SIGINT is after "./count.sh &"
# in a script. graceful starts jobs with every signal at its default.
set -eu

state=${GRACEFUL_STATE:?names the file that keeps the count}
pause=${1:-1}
stop=
checkpoint=

trap 'stop=1' INT TERM
trap 'checkpoint=1' USR1

# All or nothing: written beside it, synced, renamed.
dump() {
	echo "$ticks" >"$state.tmp"
	sync "$state.tmp"
	mv -f "$state.tmp" "$state"
}

# Best effort: nobody may be listening, and the tool may not be installed.
tell() {
	if [ -n "${NOTIFY_SOCKET:-}" ] && command -v systemd-notify >/dev/null; then
		systemd-notify "$@" || :
	fi
}

# A trap runs only when the command in the foreground ends; but `wait` returns at once for it. Any
# signal ends the pause; then the sleep that is left over is ended, too. One that comes right before
# `wait` is seen after it: so pauses should be short.
pause() {
	sleep "$pause" &
	sleeper=$!
	wait "$sleeper" || kill "$sleeper" 2>/dev/null || :
}

ticks=0
if [ -e "$state" ]; then
	ticks=
	read -r ticks <"$state" || : # what it read says the rest, also when that is nothing
	case $ticks in
	'' | *[!0-9]*)
		echo "$state: not a count, and not overwritten: remove it to start from 0" >&2
		exit 1
		;;
	esac
elif [ "${GRACEFUL_RESTORED:-none}" != none ]; then
	echo "$state: is said to be there, and is not" >&2
	exit 1
fi

tell --ready "--status=resumed at $ticks ticks"
while [ -z "$stop" ]; do
	pause
	[ -z "$stop" ] || break
	ticks=$((ticks + 1))
	if [ -n "$checkpoint" ] || [ $((ticks % 10)) -eq 0 ]; then
		checkpoint=
		dump
		tell "--status=$ticks ticks"
	fi
done
dump
echo "stopped at $ticks ticks"
