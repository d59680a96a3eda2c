# What there is to do here; `make test` and `make demo` work on a bare Debian 12 with a Rust toolchain.

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
# Rounds and seconds a figure, cases by pattern: make bench ROUNDS=7 SECS=2 ONLY='rr|tx'
ROUNDS ?= 5
SECS ?= 1.5
ONLY ?=
# A test that hangs despite the ends of its own waits is ended after this many seconds.
TIME_LIMIT ?= 1200

# Fault runs, how many at a time, and how often each: make faults SEEDS=300; SEEDS=17..18 TIMES=20 is one that failed.
SEEDS ?= 100
JOBS ?= 2
TIMES ?= 1

.PHONY: build test suites faults calls demo bench install clean

build:
	$(CARGO) build --release

test:
	scripts/needs test
	timeout --foreground -k 10 $(TIME_LIMIT) scripts/test

# Other programs' own test suites as far as they are about sockets, whole: an hour.
suites:
	scripts/needs test
	scripts/sources target/sources libuv1 redis memcached haproxy curl openssl nodejs
	$(CARGO) build --quiet
	SUITES=whole $(CARGO) test --quiet --test e2e -- suites:: cpython::

faults:
	scripts/needs test
	$(CARGO) build --quiet
	FAULT_SEEDS=$(SEEDS) FAULT_JOBS=$(JOBS) FAULT_TIMES=$(TIMES) RUST_BACKTRACE=0 $(CARGO) test --quiet --test faults -- --nocapture

# Random histories of calls, on the kernel and on the library: make calls SEEDS=1000; SEEDS=17..18 is one that differs.
calls: JOBS = 8
calls:
	scripts/needs test
	$(CARGO) build --quiet
	CALL_SEEDS=$(SEEDS) CALL_JOBS=$(JOBS) RUST_BACKTRACE=0 $(CARGO) test --quiet --test e2e -- random_calls --nocapture

demo:
	scripts/needs demo
	$(CARGO) build --release --quiet
	scripts/demo target/release/libsidestack.so

bench:
	scripts/needs bench
	$(CARGO) build --release --quiet
	benches/compare --lib target/release/libsidestack.so --rounds $(ROUNDS) --secs $(SECS) --only '$(ONLY)'

install: build
	scripts/install '$(DESTDIR)' '$(PREFIX)'

clean:
	$(CARGO) clean
