//! Redis's suite against servers on the test side, and its suites of Sentinel and of clusters against instances there,
//! which talk to each other as processes of one host do.

use super::{ends_alike, over_the_wire, sources, whole};

const OF_REDIS: &str = "unit/auth unit/protocol unit/quit unit/acl-v2 unit/pubsub unit/pubsubshard unit/info \
    unit/info-command unit/querybuf integration/redis-benchmark integration/logging";
/// What is left in `make suites`; without what only computes, and what draws lots for its tests (integration/psync2,
/// -reg).
const ALL_OF_REDIS: &str = "unit/acl unit/keyspace unit/multi unit/latency-monitor unit/expire unit/other unit/aofrw \
    unit/slowlog unit/scripting unit/functions unit/maxmemory unit/introspection unit/introspection-2 unit/limits \
    unit/obuf-limits unit/lazyfree unit/wait unit/pause unit/tracking unit/shutdown unit/client-eviction unit/networking \
    unit/violations unit/replybufsize unit/pendingquerybuf unit/oom-score-adj unit/dump unit/cluster-scripting \
    unit/cluster unit/cluster/misc unit/cluster/links integration/shutdown integration/aof integration/aof-multi-part \
    integration/rdb integration/redis-cli integration/dismiss-mem";
const REPLICATION_OF_REDIS: &str = "integration/block-repl integration/replication-2 integration/replication-3 \
    integration/replication-4 integration/replication-psync integration/replication-buffer \
    integration/psync2-pingoff integration/psync2-master-restart integration/failover integration/replication";

fn those_of_redis(units: &str, least: usize) {
    if sources("redis").is_none() {
        return;
    }
    ends_alike(least, &[], |lab, ours| {
        over_the_wire(lab, ours, "redis.sh", "redis", "redis-server", units)
    });
}

#[test]
fn those_of_redis_about_clients() {
    let units = match whole() {
        true => format!("{OF_REDIS} {ALL_OF_REDIS}"),
        false => OF_REDIS.to_owned(),
    };
    those_of_redis(&units, 80);
}

#[test]
fn those_of_redis_about_replication() {
    if whole() {
        those_of_redis(REPLICATION_OF_REDIS, 170);
    }
}

/// Without `08-hostname-conf`, which asks what `localhost` is.
const OF_SENTINEL: &str = "00-base 01-conf-update 02-slaves-reconf 03-runtime-reconf 05-manual 06-ckquorum \
    07-down-conditions 09-acl-support 10-replica-priority 11-port-0 12-master-reboot 13-info-command";
/// Without what moves slots for minutes, and what kills instances in turn.
const OF_CLUSTERS: &str = "00-base 01-faildet 02-failover 05-slave-selection 06-slave-stop-cond 07-replica-migration \
    08-update-msg 09-pubsub 11-manual-takeover 13-no-failover-option 15-cluster-slots 16-transactions-on-replica \
    17-diskless-load-swapdb 18-info 19-cluster-nodes-slots 20-half-migrated-slot 22-replica-in-sync \
    23-multiple-slot-operations 24-links 26-pubsubshard 27-endpoints 28-cluster-shards 29-slot-migration-response";

fn those_of_redis_instances(kind: &str, units: &str, least: usize) {
    if sources("redis").is_none() || !whole() {
        return;
    }
    let tests = format!("{kind} {units}");
    ends_alike(least, &[], |lab, ours| {
        over_the_wire(
            lab,
            ours,
            "redis_instances.sh",
            "redis",
            "redis-server",
            &tests,
        )
    });
}

#[test]
fn those_of_redis_about_sentinel() {
    those_of_redis_instances("sentinel", OF_SENTINEL, 50);
}

#[test]
fn those_of_redis_about_clusters() {
    those_of_redis_instances("cluster", OF_CLUSTERS, 80);
}
