#!/bin/sh
# Runs tests of memcached's own suite against a server at ADDRESS and prints a line for each: its name, a tab, how it
# ended.
#
# memcached.sh SOURCES SERVER ADDRESS TEST...     SERVER: starts memcached with the arguments it is given
set -eu
sources=$1 server=$2 address=$3
shift 3
mkdir suite
cp -r "$sources/t" "$sources/doc" "$sources/timedrun.c" suite
cd suite
cc -w -o timedrun timedrun.c
# The tests talk to unix sockets where they can; they shall talk to the address, from one of this side.
sed -i "s/127\.0\.0\.1/$address/g" t/*.t t/lib/*.pm
sed -i "s/LocalAddr => '$address'/LocalAddr => '0.0.0.0'/" t/lib/*.pm
cat >memcached-debug <<END
#!/bin/sh
[ "\$*" = -h ] && { memcached -h | grep -v unix-socket; exit; }
# An option of the suite's own build.
set -- \$(echo "\$*" | sed 's/-o relaxed_privileges//')
exec $server "\$@"
END
chmod +x memcached-debug

for test in "$@"; do
	outcome=ok
	# (How many checks a test makes that succeeds may depend on time.)
	timeout 240 perl "t/$test.t" >said 2>&1 || outcome="failed, $(grep -c '^ok' said || true) succeeded"
	[ "$outcome" = ok ] || cat said >&2
	printf '%s\t%s\n' "$test" "$outcome"
done
