#!/bin/sh
# Runs tests of curl's own suite, which starts servers here, and prints a line for each: its number, a tab, how it
# ended.
#
# curl.sh SOURCES CURL ADDRESS HOST TEST...     CURL: starts curl, at ADDRESS, with the arguments it is given;
# HOST: the address of this side
set -eu
sources=$1 curl=$2 address=$3 host=$4
shift 4
mkdir -p suite/src suite/lib
cp -r "$sources/tests" suite
cp -r "$sources/build/tests/." suite/tests
cp "$sources/build/lib/curl_config.h" suite/lib
ln -s "$curl" suite/src/curl
cd suite/tests
sed -i "s/127\.0\.0\.1/$host/g" ftpserver.pl http2-server.pl sshserver.pl ./*.py
sed -i "s/^my \$HOSTIP=.*/my \$HOSTIP=\"$host\";/; s/^my \$CLIENTIP=.*/my \$CLIENTIP=\"$address\";/" runtests.pl
sed -i "s/\[127\.0\.0\.1\]/[$host]/" data/test*

srcdir=. perl -I. runtests.pl -n -a -vc /usr/bin/curl "$@" >said 2>&1 || true
awk '
	/^test [0-9]+\.\.\./ { number = substr($2, 1, 4) }
	/OK \(/ && number { print number "\tok"; number = "" }
	/FAILED|failed/ && number { print number "\tfailed"; number = "" }
' said
grep -a -B 2 -A 20 'FAILED' said | tail -n 60 >&2 || true
