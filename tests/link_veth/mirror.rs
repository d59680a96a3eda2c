use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::control::mirror::{Mirror, MirrorError, News};
use crate::control::routes::{Cidr, Egress, Route};
use crate::netns::Pair;

/// Waits for news, then reads what they are about.
fn refresh(mirror: &mut Mirror) -> News {
    let start = Instant::now();
    let mut news = mirror.receive_news();
    while !news.any() && start.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(5));
        news = mirror.receive_news();
    }
    mirror.refresh(news).expect("refresh");
    news
}

fn route(mirror: &Mirror, destination: &str) -> Option<Route> {
    let (address, prefix_len) = destination.split_once('/').expect("prefix");
    let destination = Cidr {
        address: address.parse().expect("address"),
        prefix_len: prefix_len.parse().expect("length"),
    };
    let routes = &mirror.facts().routes;
    routes
        .iter()
        .find(|route| route.destination == destination)
        .copied()
}

#[test]
fn shows_the_interface_and_its_routes() {
    let pair = Pair::new();
    let left = &pair.left;
    left.ip("link add eth9 type veth peer name eth8");
    left.ip("link set eth8 up");
    left.ip("link set eth9 up");
    left.ip("address add 10.99.0.1/24 dev eth9");
    left.ip("route add default via 10.77.0.2 dev va metric 50 mtu 1400 src 10.77.0.1");
    left.ip("route add default via 10.99.0.9 dev eth9 metric 100");
    left.ip("route add blackhole 10.1.0.0/16");
    left.ip("route add 10.2.0.0/16 nexthop via 10.99.0.8 nexthop via 10.77.0.8");
    left.ip("route add 10.3.0.0/16 via 10.77.0.2 congctl reno");
    let mut mirror = left.run(|| Mirror::open(None)).expect("mirror");

    let facts = mirror.facts();
    assert_eq!(
        (facts.interface.name.as_str(), facts.interface.mtu),
        ("va", 1500)
    );
    assert!(facts.interface.up && facts.interface.running);
    let ours = Ipv4Addr::new(10, 77, 0, 1);
    let only = [Cidr {
        address: ours,
        prefix_len: 24,
    }];
    assert_eq!(facts.addresses, only);

    let default = route(&mirror, "0.0.0.0/0").expect("default route");
    assert_eq!(default.gateway, Some(Ipv4Addr::new(10, 77, 0, 2)));
    assert_eq!((default.mtu, default.metric), (Some(1400), 50));
    assert_eq!(
        (default.source, default.egress),
        (Some(ours), Egress::Stack)
    );
    let egress = |destination| route(&mirror, destination).map(|route| route.egress);
    assert_eq!(egress("10.77.0.0/24"), Some(Egress::Stack));
    assert_eq!(egress("10.99.0.0/24"), Some(Egress::Kernel));
    assert_eq!(egress("10.1.0.0/16"), Some(Egress::Unreachable));
    assert_eq!(egress("10.77.0.1/32"), Some(Egress::Local));
    assert_eq!(egress("127.0.0.0/8"), Some(Egress::Local));
    assert_eq!(egress("10.3.0.0/16"), Some(Egress::Stack));
    let multipath = route(&mirror, "10.2.0.0/16").expect("multipath route");
    assert_eq!(multipath.gateway, Some(Ipv4Addr::new(10, 77, 0, 8)));

    let neighbors = mirror.neighbors().expect("neighbors");
    let peer = (Ipv4Addr::new(10, 77, 0, 2), [2, 0, 0, 0, 0, 2]);
    assert_eq!(neighbors, [peer]);
}

#[test]
fn hears_of_changes() {
    let pair = Pair::new();
    let mut mirror = pair.left.run(|| Mirror::open(Some("va"))).expect("mirror");
    assert!(!mirror.receive_news().any());

    pair.left.ip("address add 10.78.0.1/24 dev va");
    let news = refresh(&mut mirror);
    assert!(news.addresses && news.routes && !news.link, "{news:?}");
    assert_eq!(mirror.facts().addresses.len(), 2);

    pair.left.ip("link set va mtu 1400");
    assert!(refresh(&mut mirror).link);
    assert_eq!(mirror.facts().interface.mtu, 1400);

    pair.left.ip("route add 10.5.0.0/16 via 10.77.0.2");
    assert!(refresh(&mut mirror).routes);
    assert!(route(&mirror, "10.5.0.0/16").is_some());

    pair.left.ip("link set va down");
    assert!(refresh(&mut mirror).link);
    assert!(!mirror.facts().interface.up);
    assert_eq!(route(&mirror, "10.77.0.0/24"), None);

    pair.left.ip("link del va");
    refresh(&mut mirror);
    assert!(!mirror.facts().interface.up);
}

#[test]
fn reads_everything_again_when_news_are_lost() {
    let pair = Pair::new();
    let mut mirror = pair.left.run(|| Mirror::open(Some("va"))).expect("mirror");
    let batch: String = (0..20_000)
        .map(|n: u32| format!("route add 11.{}.{}.0/24 via 10.77.0.2\n", n / 250, n % 250))
        .collect();
    pair.left.ip_batch(&batch);
    assert_eq!(refresh(&mut mirror), News::ALL);
    assert!(mirror.facts().routes.len() > 20_000);
}

#[test]
fn chooses_the_only_interface_that_is_up() {
    let pair = Pair::new();
    let mirror = pair.right.run(|| Mirror::open(None)).expect("mirror");
    assert_eq!(mirror.facts().interface.name, "vb");

    pair.right.ip("link add eth9 type veth peer name eth8");
    pair.right.ip("link set eth9 up");
    let error = pair
        .right
        .run(|| Mirror::open(None))
        .expect_err("two are up");
    assert!(
        matches!(&error, MirrorError::NoDefault(up) if up.len() == 2),
        "{error}"
    );
}

#[test]
fn says_why_there_is_none() {
    let pair = Pair::new();
    let error = pair
        .left
        .run(|| Mirror::open(Some("eth7")))
        .expect_err("no eth7");
    assert_eq!(error.to_string(), "there is no interface \"eth7\"");
    let lo = pair
        .left
        .run(|| Mirror::open(Some("lo")))
        .expect("loopback");
    let interface = &lo.facts().interface;
    assert!(interface.loopback && interface.index == 1);
    assert_eq!(
        route(&lo, "127.0.0.0/8").map(|route| route.egress),
        Some(Egress::Local)
    );
}

#[test]
fn rules_lead_to_one_table() {
    let pair = Pair::new();
    let left = &pair.left;
    left.ip("link add eth9 type veth peer name eth8");
    left.ip("link set eth9 up");
    left.ip("link set eth8 up");
    left.ip("address add 10.99.0.1/24 dev eth9");
    left.ip("route add default via 10.77.0.2 dev va");
    left.ip("route add 10.50.1.0/24 via 10.77.0.2");
    left.ip("route add 10.60.0.0/16 via 10.77.0.2");
    let mut mirror = left.run(|| Mirror::open(None)).expect("mirror");
    let egress =
        |mirror: &Mirror, destination| route(mirror, destination).map(|route| route.egress);

    // As Tailscale does: some networks before the main table is asked.
    left.ip("route add 10.50.0.0/16 dev eth9 table 52");
    left.ip("route add throw 10.60.0.0/16 table 52");
    left.ip("rule add priority 5210 fwmark 0x80000/0xff0000 lookup main");
    left.ip("rule add priority 5270 lookup 52");
    while egress(&mirror, "10.50.0.0/16").is_none() {
        assert!(refresh(&mut mirror).routes);
    }
    assert_eq!(egress(&mirror, "10.50.0.0/16"), Some(Egress::Kernel));
    assert_eq!(egress(&mirror, "10.50.1.0/24"), None, "never asked for");
    assert_eq!(egress(&mirror, "10.60.0.0/16"), Some(Egress::Stack));
    assert_eq!(egress(&mirror, "0.0.0.0/0"), Some(Egress::Stack));

    // As wg-quick does: everything but what the main table has better than by default.
    left.ip("route add default dev eth9 table 51820");
    left.ip("rule add priority 5300 table main suppress_prefixlength 0");
    left.ip("rule add priority 5301 not fwmark 51820 table 51820");
    while egress(&mirror, "0.0.0.0/0") == Some(Egress::Stack) {
        assert!(refresh(&mut mirror).routes);
    }
    let defaults = |route: &&Route| route.destination.prefix_len == 0;
    assert_eq!(mirror.facts().routes.iter().filter(defaults).count(), 1);
    assert_eq!(egress(&mirror, "0.0.0.0/0"), Some(Egress::Kernel));
    assert_eq!(egress(&mirror, "10.77.0.0/24"), Some(Egress::Stack));

    // For some destinations only, for others' sources, and an end of it all.
    left.ip("route add default dev eth9 table 60");
    left.ip("rule add priority 4000 to 10.61.0.0/16 lookup 60");
    left.ip("rule add priority 4001 to 10.62.0.0/16 prohibit");
    left.ip("rule add priority 4002 from 10.1.2.3 prohibit");
    while egress(&mirror, "10.62.0.0/16").is_none() {
        assert!(refresh(&mut mirror).routes);
    }
    assert_eq!(egress(&mirror, "10.61.0.0/16"), Some(Egress::Kernel));
    assert_eq!(egress(&mirror, "10.62.0.0/16"), Some(Egress::Unreachable));
    assert_eq!(egress(&mirror, "10.77.0.0/24"), Some(Egress::Stack));
}
