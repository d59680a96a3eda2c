#!/bin/sh
# Runs recipes of OpenSSL's own suite with its clients and servers at ADDRESS, and a proxy between them here, and prints a
# line for each test: its recipe and name, a tab, how it ended.
#
# openssl.sh SOURCES OPENSSL ADDRESS HOST RECIPE...     OPENSSL: starts openssl, at ADDRESS, with the arguments it is
# given; HOST: the address of this side
set -eu
sources=$(realpath "$1") openssl=$2 address=$3 host=$4
shift 4
cp -rs "$sources/build" suite
ln -sf "$openssl" suite/apps/openssl
cp -r "$sources/util/perl" perl
sed -i "s/proxy_addr => .*/proxy_addr => \"$host\",/; s/{server_addr} = .*/{server_addr} = \"$address\";/
	s/IO::Socket::[IN6EPT]*->new(.*@_)/IO::Socket::INET->new(@_)/" perl/TLSProxy/Proxy.pm
SRCTOP=$sources BLDTOP=$PWD/suite PERL=perl EXE_EXT='' HARNESS_VERBOSE=1
export SRCTOP BLDTOP PERL EXE_EXT HARNESS_VERBOSE

for recipe in "$@"; do
	RESULT_D=$PWD/results.$recipe
	export RESULT_D
	mkdir "$RESULT_D"
	outcome=ok
	timeout 300 perl -I perl "$sources/test/recipes/$recipe.t" >said 2>&1 || outcome=failed
	[ "$outcome" = ok ] || tail -n 40 said >&2
	printf '%s\t%s\n' "$recipe" "$outcome"
	# A recipe has several tests of one name.
	awk -v recipe="$recipe" '
		/^ *(not )?ok [0-9]/ {
			how = $1 == "not" ? "failed" : "ok"
			name = $0
			sub(/^ *(not )?ok [0-9]+( - )?/, "", name)
			sub(/ *#.*/, "", name)
			name = recipe ": " name
			printf "%s (%d)\t%s\n", name, ++times[name], how
		}
	' said
done
