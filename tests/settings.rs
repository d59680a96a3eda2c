//! The variables, the configuration file, and the system's limits.

#[expect(dead_code, reason = "only the configuration is tested here")]
#[path = "../src/control/mod.rs"]
mod control;
#[expect(dead_code, reason = "control needs all of it")]
#[path = "../src/sys/mod.rs"]
mod sys;

use std::net::Ipv4Addr;
use std::panic;

use control::limits::{Buffers, Limits, PortRange};
use control::log::Level;
use control::routes::{Cidr, Egress, own_routes};
use control::settings::{Address, Congestion, Loaded, Loopback, Settings, SettingsError};

fn load(environment: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
    Settings::load(environment.iter().copied(), "curl")
}

/// Settings of the program `curl` with this configuration file.
fn configured(environment: &[(&str, &str)], file: &str) -> Result<Loaded, SettingsError> {
    let mut all = vec![("SIDESTACK_CONFIG", "/etc/sidestack.toml")];
    all.extend(environment);
    Settings::load_with(all, "curl", |path| {
        assert_eq!(path, "/etc/sidestack.toml");
        Ok(file.to_owned())
    })
}

fn error(environment: &[(&str, &str)]) -> String {
    load(environment).expect_err("an error").to_string()
}

fn cidr(text: &str) -> Cidr {
    let (address, prefix_len) = text.split_once('/').expect("prefix");
    Cidr {
        address: address.parse().expect("address"),
        prefix_len: prefix_len.parse().expect("length"),
    }
}

#[test]
fn nothing_set_is_the_default() {
    let loaded = load(&[("PATH", "/bin"), ("SIDESTACK_PCAP", "")]).expect("settings");
    assert_eq!(loaded, Loaded::default());
    let settings = loaded.settings;
    assert_eq!(settings.address, Address::Host);
    assert_eq!(settings.congestion, Congestion::Cubic);
    assert_eq!((settings.log, settings.required), (Level::Warn, false));
}

#[test]
fn every_variable_is_understood() {
    let loaded = load(&[
        ("SIDESTACK_INTERFACE", "eth0"),
        ("SIDESTACK_ADDRESS", "10.0.0.5/24, 10.0.1.5/16"),
        ("SIDESTACK_GATEWAY", "10.0.0.1"),
        ("SIDESTACK_LOOPBACK", "stack"),
        ("SIDESTACK_CONGESTION", "reno"),
        ("SIDESTACK_PCAP", "/tmp/a.pcapng"),
        ("SIDESTACK_IMPAIR", "loss=1%"),
        ("SIDESTACK_LOG", "trace"),
        ("SIDESTACK_LOG_FILE", "/tmp/log"),
        ("SIDESTACK_REQUIRED", "1"),
    ])
    .expect("settings");
    assert_eq!(loaded.warnings, [""; 0]);
    let expected = Settings {
        interface: Some("eth0".to_owned()),
        address: Address::Own(vec![cidr("10.0.0.5/24"), cidr("10.0.1.5/16")]),
        gateway: Some(Ipv4Addr::new(10, 0, 0, 1)),
        loopback: Loopback::Stack,
        congestion: Congestion::Reno,
        pcap: Some("/tmp/a.pcapng".to_owned()),
        impair: Some("loss=1%".to_owned()),
        log: Level::Trace,
        log_file: Some("/tmp/log".to_owned()),
        required: true,
    };
    assert_eq!(loaded.settings, expected);
}

#[test]
fn errors_name_the_value_and_what_was_expected() {
    let cases = [
        (
            "LOOPBACK",
            "x",
            "unknown value \"x\" for SIDESTACK_LOOPBACK; expected kernel or stack",
        ),
        (
            "CONGESTION",
            "bbr",
            "SIDESTACK_CONGESTION=bbr cannot be used: BBR is not supported yet",
        ),
        (
            "ADDRESS",
            "dhcp",
            "SIDESTACK_ADDRESS=dhcp cannot be used: DHCP is not supported yet",
        ),
        (
            "ADDRESS",
            "10.0.0.5",
            "unknown value \"10.0.0.5\" for SIDESTACK_ADDRESS; \
             expected host, or IPv4 addresses with prefix such as 10.0.0.5/24",
        ),
        (
            "ADDRESS",
            "fd00::5/64",
            "SIDESTACK_ADDRESS=fd00::5/64 cannot be used: IPv6 is not supported yet",
        ),
        (
            "INTERFACE",
            "eth0,eth1",
            "SIDESTACK_INTERFACE=eth0,eth1 cannot be used: several interfaces are not \
             supported yet",
        ),
        (
            "REQUIRED",
            "yes",
            "unknown value \"yes\" for SIDESTACK_REQUIRED; expected 0 or 1",
        ),
        (
            "GATEWAY",
            "x",
            "unknown value \"x\" for SIDESTACK_GATEWAY; expected an IPv4 address",
        ),
    ];
    for (name, value, sentence) in cases {
        assert_eq!(error(&[(&format!("SIDESTACK_{name}"), value)]), sentence);
    }
    for value in [
        "10.0.0.5/33",
        "10.0.0.5/0",
        "127.0.0.1/8",
        "224.0.0.1/4",
        "/",
        "1.2.3.4/24,",
    ] {
        assert!(
            error(&[("SIDESTACK_ADDRESS", value)]).starts_with("unknown value"),
            "{value}"
        );
    }
}

#[test]
fn an_error_says_whether_the_stack_was_required() {
    let wrong = ("SIDESTACK_LOG", "loud");
    assert!(!load(&[wrong]).expect_err("an error").required);
    assert!(
        load(&[wrong, ("SIDESTACK_REQUIRED", "1")])
            .expect_err("an error")
            .required
    );
    assert!(
        load(&[("SIDESTACK_REQUIRED", "yes")])
            .expect_err("an error")
            .required
    );
    let by_file = configured(&[wrong], "required = true").expect_err("an error");
    assert!(by_file.required);
}

#[test]
fn unknown_names_are_worth_a_warning() {
    let loaded = load(&[("SIDESTACK_INTERFCE", "eth0"), ("SIDESTACK", "1")]).expect("settings");
    let warning = "unknown variable SIDESTACK_INTERFCE; it is ignored";
    assert_eq!(loaded.warnings, [warning]);
    let loaded = load(&[("SIDESTACK_GATEWAY", "10.0.0.1")]).expect("settings");
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn values_that_are_not_text_are_refused() {
    let variable: (&[u8], &[u8]) = (b"SIDESTACK_LOG", b"\xff");
    let error = Settings::load([variable], "curl").expect_err("an error");
    assert_eq!(error.to_string(), "the value of SIDESTACK_LOG is not UTF-8");
    let other: (&[u8], &[u8]) = (b"\xfe", b"\xff");
    assert!(Settings::load([other], "curl").is_ok());
}

const FILE: &str = r#"
interface = "eth0"
congestion = "reno"
address = ["10.0.0.5/24", "10.0.0.6/24"]

[[program]]
name = "curl"
congestion = "cubic"
log = "info"

[[program]]
name = "wget"
interface = "eth1"
"#;

#[test]
fn the_file_yields_to_its_rules_and_both_to_the_environment() {
    let settings = configured(&[], FILE).expect("settings").settings;
    assert_eq!(settings.interface.as_deref(), Some("eth0"));
    assert_eq!(settings.congestion, Congestion::Cubic);
    assert_eq!(settings.log, Level::Info);
    let both = vec![cidr("10.0.0.5/24"), cidr("10.0.0.6/24")];
    assert_eq!(settings.address, Address::Own(both));
    let environment = [("SIDESTACK_CONGESTION", "reno"), ("SIDESTACK_LOG", "off")];
    let settings = configured(&environment, FILE).expect("settings").settings;
    assert_eq!(
        (settings.congestion, settings.log),
        (Congestion::Reno, Level::Off)
    );
}

#[test]
fn errors_in_the_file_name_the_line() {
    let cases = [
        ("a = [", "/etc/sidestack.toml, line 1: "),
        (
            "\nlog = 1.5",
            "/etc/sidestack.toml, line 2: log must be a string, not float",
        ),
        (
            "[[program]]\nlog = \"off\"",
            "/etc/sidestack.toml, line 1: this program has no name",
        ),
        (
            "program = 1",
            "/etc/sidestack.toml, line 1: expected [[program]] sections",
        ),
        (
            "program = [1]",
            "/etc/sidestack.toml, line 1: expected a [[program]] section",
        ),
        (
            "\n\nlog = \"x\"",
            "unknown value \"x\" for log (/etc/sidestack.toml, line 3); expected off",
        ),
    ];
    for (file, start) in cases {
        let error = configured(&[], file).expect_err(file).to_string();
        assert!(error.starts_with(start), "{error}");
    }
    let deep = format!("a = {}", "[".repeat(100_000));
    assert!(configured(&[], &deep).is_err());
    let loaded = configured(&[], "colour = \"red\"").expect("settings");
    let warning = "/etc/sidestack.toml, line 1: unknown name \"colour\"; it is ignored";
    assert_eq!(loaded.warnings, [warning]);
}

#[test]
fn an_unreadable_file_is_an_error() {
    let error = error(&[("SIDESTACK_CONFIG", "/nonexistent.toml")]);
    let start = "cannot read SIDESTACK_CONFIG=/nonexistent.toml: ";
    assert!(
        error.starts_with(start) && error.len() > start.len(),
        "{error}"
    );
    assert!(load(&[("SIDESTACK_CONFIG", "/proc")]).is_err());
    assert!(load(&[("SIDESTACK_CONFIG", "/dev/zero")]).is_err());
}

#[test]
fn limits_are_read_or_keep_their_defaults() {
    let limits = Limits::from_source(|name| {
        let text = match name {
            "ipv4/tcp_rmem" => "4096\t100000\t200000\n",
            "ipv4/tcp_wmem" => "nonsense",
            "core/somaxconn" => "17\n",
            "core/rmem_max" => "-1",
            "ipv4/tcp_syncookies" => "0\n",
            "ipv4/ip_local_port_range" => "1000\t2000\n",
            "ipv4/ip_local_reserved_ports" => "1100,1200-1300,x\n",
            "ipv4/ip_default_ttl" => "0",
            "ipv4/ipfrag_time" => "15\n",
            _ => return None,
        };
        Some(text.to_owned())
    });
    let range = |first, last| PortRange { first, last };
    let expected = Limits {
        tcp_rmem: Buffers {
            min: 4096,
            default: 100_000,
            max: 200_000,
        },
        somaxconn: 17,
        tcp_syncookies: false,
        ipfrag_time: 15,
        ip_local_port_range: range(1000, 2000),
        ip_local_reserved_ports: vec![range(1100, 1100), range(1200, 1300)],
        ..Limits::default()
    };
    assert_eq!(limits, expected);
    assert!(Limits::read().tcp_rmem.max > 0);
}

#[test]
fn own_addresses_bring_their_routes() {
    let addresses = [cidr("10.0.0.5/24"), cidr("10.9.0.5/16")];
    let routes = own_routes(&addresses, Some(Ipv4Addr::new(10, 9, 0, 1)));
    let shown: Vec<_> = routes
        .iter()
        .map(|route| (route.destination, route.gateway, route.source))
        .collect();
    let source = |index: usize| Some(addresses[index].address);
    let gateway = Some(Ipv4Addr::new(10, 9, 0, 1));
    let expected = [
        (cidr("10.0.0.0/24"), None, source(0)),
        (cidr("10.9.0.0/16"), None, source(1)),
        (cidr("0.0.0.0/0"), gateway, source(1)),
    ];
    assert_eq!(shown, expected);
    assert!(routes.iter().all(|route| route.egress == Egress::Stack));
}

#[test]
fn log_lines_go_to_the_file() {
    let path = std::env::temp_dir().join(format!("sidestack-log-{}", std::process::id()));
    let name = path.to_str().expect("path");
    control::log::configure(Level::Info, Some(name)).expect("log file");
    control::log::warn(format_args!("port {}", 80));
    control::log::debug("not said");
    control::log::info("chosen");
    panic_at_a_line();
    let text = std::fs::read_to_string(&path).expect("log");
    std::fs::remove_file(&path).expect("remove");
    let rest = text.strip_prefix("sidestack: warn: port 80\nsidestack: info: chosen\n");
    let rest = rest.unwrap_or_else(|| panic!("{text}"));
    assert!(rest.starts_with("sidestack: error: a defect, please report it: panicked at "));
    assert!(rest.ends_with("on purpose\n"), "{rest}");
    assert_eq!(rest.lines().count(), 1, "{rest}");
}

/// Panics where it is caught, as the library does.
fn panic_at_a_line() {
    let before = panic::take_hook();
    control::log::take_panics();
    let caught = panic::catch_unwind(|| panic!("on purpose"));
    panic::set_hook(before);
    assert!(caught.is_err());
}
