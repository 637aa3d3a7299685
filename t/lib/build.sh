#!/bin/bash
#
# build.sh - from a bare checkout on a bare Debian to a build. ./check and ./demo source it, in the
# top directory. Whatever is left in $scratch goes when the script ends.

set -u -o pipefail

# Not what the caller's shell happens to have set for other makes and other tests.
unset MAKEFLAGS MAKELEVEL CDPATH
export LC_ALL=C.UTF-8

jobs=$(nproc)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/graceful-${0##*/}.XXXXXX") || exit 1

build_packages=(autoconf automake gcc libc6-dev libtool make perl pkg-config
	libbsd-dev libcmocka-dev libcurl4-openssl-dev libev-dev libjansson-dev libmd-dev zlib1g-dev)

say()
{
	printf '\n== %s\n' "$*"
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Shows the comment at the head of the script.
usage()
{
	sed -n '2,/^$/s/^#\( \|$\)//p' "${0##*/}"
}

trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- what must be installed

missing_packages()
{
	local package

	for package in $(printf '%s\n' "$@" | sort -u); do
		[[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *' installed' ]] ||
			echo "$package"
	done
}

apt_install()
{
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" \
		>"$scratch/apt.log" 2>&1 </dev/null
}

# install_missing PACKAGE...: these, and what the build needs. The package lists are fetched only if
# the first try shows that they are missing or too old.
install_missing()
{
	local missing

	command -v dpkg-query >/dev/null || return 0 # not Debian: configure names what is missing
	mapfile -t missing < <(missing_packages "${build_packages[@]}" "$@")
	((${#missing[@]} > 0)) || return 0
	say "installing from Debian: ${missing[*]}"
	((EUID == 0)) || die "needs root for that. Run: apt-get install ${missing[*]}"
	apt_install "${missing[@]}" && return 0
	apt-get update -q >"$scratch/update.log" 2>&1 </dev/null ||
		{ cat "$scratch/update.log"; die "apt-get update failed"; }
	apt_install "${missing[@]}" ||
		{ cat "$scratch/apt.log"; die "apt-get could not install ${missing[*]}"; }
}

# --- building

# configure DIRECTORY [ARGUMENT...]: out of tree, again only if the arguments are other ones.
configure()
{
	local dir=$1
	shift
	if [[ ! -e configure || configure.ac -nt configure || m4/graceful.m4 -nt configure ]]; then
		say "autoreconf"
		autoreconf -i >"$scratch/log" 2>&1 || { cat "$scratch/log"; die "autoreconf failed"; }
	fi
	mkdir -p "$dir"
	if [[ ! -e $dir/Makefile || "$*" != "$(cat "$dir/.configured" 2>/dev/null)" ]]; then
		say "configure in $dir/ $*"
		(cd "$dir" && ../configure --quiet "$@") >"$scratch/log" 2>&1 ||
			{ tail -n 20 "$scratch/log"; die "configure failed, see $dir/config.log"; }
		echo "$*" >"$dir/.configured"
	fi
}

# quiet_make DIRECTORY ARGUMENT...
quiet_make()
{
	make -C "$1" -s --no-print-directory -j"$jobs" V=0 "${@:2}"
}
