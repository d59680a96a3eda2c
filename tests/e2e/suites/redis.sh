#!/bin/sh
# Runs units of Redis's own suite against servers at ADDRESS and prints a line for each test: its unit and name, a tab,
# how it ended.
#
# redis.sh SOURCES SERVER ADDRESS UNIT...     SERVER: starts redis-server with the arguments it is given
set -eu
sources=$1 server=$2 address=$3
shift 3
mkdir -p suite/src
cp -r "$sources/tests" suite
cd suite
for tool in cli benchmark check-aof check-rdb; do
	ln -s "/usr/bin/redis-$tool" "src/redis-$tool"
done
ln -s "$server" src/redis-server
find tests -name '*.tcl' -o -name '*.conf' | xargs sed -i "s/127\.0\.0\.1/$address/g"
# Where the suite's processes meet.
sed -i "s/-myaddr $address/-myaddr 127.0.0.1/" tests/test_helper.tcl
printf '\nprotected-mode no\n' >>tests/assets/default.conf

units=
for unit in "$@"; do
	units="$units --single $unit"
done
# shellcheck disable=SC2086
tclsh tests/test_helper.tcl --clients 1 $units >said 2>&1 || failed=1
escape=$(printf '\033')
sed "s/$escape\[[0-9;]*m//g" said >plain
# A unit has several tests of one name.
awk '
	function outcome(pattern, how) {
		name = $0
		sub(/^\[[a-z]*\]: /, "", name)
		sub(pattern, "", name)
		name = unit ": " name
		printf "%s (%d)\t%s\n", name, ++times[name], how
	}
	/^Testing / { unit = $2 }
	/^\[ok\]: / { outcome(" \\([0-9]* ms\\)$", "ok") }
	/^\[err\]: / { outcome(" in tests.*", "failed") }
' plain
[ -z "${failed-}" ] || tail -n 40 plain >&2
