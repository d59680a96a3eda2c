#!/bin/sh
# Runs tests of Node's own suite, one after the other, and prints a line for each: its name, a tab, how it ended.
#
# node.sh SOURCES SUBJECT...     those of test/parallel whose names begin with a subject
set -eu
sources=$1
shift
NODE_TEST_DIR=$PWD
export NODE_TEST_DIR
said=$PWD/said
cd "$sources/test/parallel"

for subject in "$@"; do
	for test in "test-$subject"-*.js; do
		flags=$(sed -n 's,^// Flags: ,,p' "$test" | head -n 1)
		# shellcheck disable=SC2086
		if timeout -k 2 60 node $flags "$test" >"$said" 2>&1; then
			outcome=ok
		else
			outcome=failed
			head -c 3000 "$said" >&2
		fi
		printf '%s\t%s\n' "${test%.js}" "$outcome"
	done
done
