#!/bin/sh
# Runs units of Redis's own suite of clusters, or of Sentinel's, against instances at ADDRESS and prints a line for each
# test: its unit and name, a tab, how it ended.
#
# redis_instances.sh SOURCES SERVER ADDRESS cluster|sentinel UNIT...     SERVER: starts redis-server with the arguments
# it is given
set -eu
sources=$1 server=$2 address=$3 kind=$4
shift 4
mkdir -p suite/src
cp -r "$sources/tests" "$sources/utils" suite
cd suite
for tool in cli benchmark check-aof check-rdb; do
	ln -s "/usr/bin/redis-$tool" "src/redis-$tool"
done
printf '#!/bin/sh\nexec %s "$@" --protected-mode no\n' "$server" >src/redis-server
printf '#!/bin/sh\nexec %s "$@" --sentinel\n' "$server" >src/redis-sentinel
chmod +x src/redis-server src/redis-sentinel
find tests -name '*.tcl' -o -name '*.conf' | xargs sed -i "s/127\.0\.0\.1/$address/g"

units=
for unit in "$@"; do
	units="$units --single $unit"
done
# shellcheck disable=SC2086
tclsh "tests/$kind/run.tcl" $units >said 2>&1 || failed=1
escape=$(printf '\033')
sed "s/$escape\[[0-9;]*m//g" said >plain
# "12:34:56> what is tested: OK", with dots between, where it takes its time. Which instance becomes the new master is
# not said.
awk '
	/^Testing unit: / { unit = $3 }
	/^[0-9:]+> .*: / {
		name = $0
		sub(/^[0-9:]*> /, "", name)
		how = name ~ /OK$/ ? "ok" : "failed"
		sub(/[0-9.]+:[0-9]+/, "", name)
		sub(/: .*/, "", name)
		name = unit ": " name
		printf "%s (%d)\t%s\n", name, ++times[name], how
	}
' plain
[ -z "${failed-}" ] || grep -A 10 FAILED plain >&2
