//! Against what Java 3.9.5 printed (`fixtures/four_letter`): each text is taken apart into the
//! plain values and must come out again, byte by byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use super::*;
use crate::date::Zone;

/// Roles in an ensemble that was recorded.
const ROLES: &[&str] = &["leader", "follower", "observer", "read_only"];

fn fixture(word: &str, case: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../../fixtures/four_letter/{word}/{case}.txt"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `key=value` and `key: value` lines.
fn fields(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once('=').or_else(|| line.split_once(": ")))
        .collect()
}

fn hex(text: &str) -> i64 {
    u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap() as i64
}

fn peer(text: &str) -> SocketAddr {
    text.strip_prefix('/').unwrap().parse().unwrap()
}

/// ` /ip:port[ops](queued=..,..)`.
fn connection(line: &str) -> ConnectionInfo {
    let (address, rest) = line.strip_prefix(' ').unwrap().split_once('[').unwrap();
    let (ops, rest) = rest.split_once("](").unwrap();
    let values: BTreeMap<&str, &str> = rest
        .strip_suffix(')')
        .unwrap()
        .split(',')
        .map(|field| field.split_once('=').unwrap())
        .collect();
    let number = |name: &str| values[name].parse::<i64>().unwrap();
    ConnectionInfo {
        peer: peer(address),
        interest_ops: u32::from_str_radix(ops, 16).unwrap(),
        queued: number("queued"),
        received: number("recved") as u64,
        sent: number("sent") as u64,
        session: values.get("sid").map(|sid| SessionInfo {
            id: hex(sid),
            last_op: match values["lop"] {
                "NA" => LAST_OP_NONE,
                "GETD" => last_op_name(zk_wire::OpCode::GetData),
                "PING" => last_op_name(zk_wire::OpCode::Ping),
                other => panic!("lop={other}"),
            },
            established_ms: number("est"),
            timeout_ms: number("to") as i32,
            last_cxid: values.get("lcxid").map_or(-1, |cxid| hex(cxid)),
            last_zxid: hex(values["lzxid"]),
            last_response_ms: number("lresp"),
            last_latency_ms: number("llat"),
            min_latency_ms: number("minlat"),
            avg_latency_ms: number("avglat"),
            max_latency_ms: number("maxlat"),
        }),
    }
}

fn server_stats(text: &str) -> ServerStats {
    let fields = fields(text);
    let number = |name: &str| fields[name].parse::<i64>().unwrap();
    let [min, mean, max] = fields["Latency min/avg/max"]
        .split('/')
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let total = (mean.parse::<f64>().unwrap() * 10_000.0).round() as i64;
    ServerStats {
        version: fields["Zookeeper version"].into(),
        latency: Latency {
            min: min.parse().unwrap(),
            max: max.parse().unwrap(),
            total,
            count: if total == 0 { 0 } else { 10_000 },
        },
        received: number("Received") as u64,
        sent: number("Sent") as u64,
        connections: number("Connections") as usize,
        outstanding: number("Outstanding"),
        zxid: hex(fields["Zxid"]),
        mode: match fields["Mode"] {
            "standalone" => ServerMode::Standalone,
            "leader" => ServerMode::Leader,
            "follower" => ServerMode::Follower,
            "observer" => ServerMode::Observer,
            "read-only" => ServerMode::ReadOnly,
            other => panic!("{other}"),
        },
        node_count: number("Node count") as u64,
        proposal_sizes: fields.get("Proposal sizes last/min/max").map(|sizes| {
            let sizes: Vec<i32> = sizes.split('/').map(|size| size.parse().unwrap()).collect();
            sizes.try_into().unwrap()
        }),
    }
}

#[test]
fn fixed_texts() {
    assert_eq!(ruok(), fixture("ruok", "standalone"));
    assert_eq!(isro(ServerMode::Standalone), fixture("isro", "standalone"));
    for (mode, case) in [
        (ServerMode::Leader, "leader"),
        (ServerMode::Follower, "follower"),
        (ServerMode::Observer, "observer"),
        (ServerMode::ReadOnly, "read_only"),
    ] {
        assert_eq!(isro(mode), fixture("isro", case));
    }
    assert_eq!(
        trace_mask(DEFAULT_TRACE_MASK),
        fixture("gtmk", "standalone")
    );
    assert_eq!(trace_mask(306), fixture("stmk", "standalone"));
    assert_eq!(crst(), fixture("crst", "standalone"));
    assert_eq!(srst(), fixture("srst", "standalone"));
    for word in [
        FourLetterWord::Ruok,
        FourLetterWord::Stmk,
        FourLetterWord::Wchp,
    ] {
        assert_eq!(refusal(word), fixture(word.name(), "refused"));
    }
    assert_eq!(
        refusal(FourLetterWord::TelnetClose),
        fixture("telnet_close", "refused")
    );
}

#[test]
fn srvr_and_stat() {
    for case in ["empty", "filled", "after_srst"].iter().chain(ROLES) {
        let text = fixture("srvr", case);
        assert_eq!(srvr(&server_stats(&text)), text);
    }
    for case in ["empty", "filled"].iter().chain(ROLES) {
        let text = fixture("stat", case);
        let connections: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with(' '))
            .map(connection)
            .collect();
        assert!(!connections.is_empty());
        assert_eq!(stat(&server_stats(&text), &connections), text);
    }
}

#[test]
fn cons_in_every_state() {
    for case in ["empty", "filled", "after_crst", "after_ping"]
        .iter()
        .chain(ROLES)
    {
        let text = fixture("cons", case);
        let connections: Vec<_> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(connection)
            .collect();
        assert_eq!(cons(&connections), text, "{case}");
    }
}

#[test]
fn conf_in_every_role() {
    for case in ["filled"].iter().chain(ROLES) {
        let text = fixture("conf", case);
        let (text_fields, membership) = match text.split_once("membership: \n") {
            Some((fields, membership)) => (fields, Some(membership.to_owned())),
            None => (text.as_str(), None),
        };
        assert_eq!(
            membership.is_some(),
            !["filled", "read_only"].contains(case)
        );
        let fields = fields(text_fields);
        let number = |name: &str| fields[name].parse::<i64>().unwrap();
        let quorum = fields.contains_key("initLimit").then(|| QuorumConf {
            init_limit: number("initLimit") as i32,
            sync_limit: number("syncLimit") as i32,
            election_ports: vec![number("electionPort") as u16],
            quorum_ports: vec![number("quorumPort") as u16],
            observer: fields["peerType"] == "1",
            membership,
        });
        assert_eq!(quorum.is_some(), *case != "filled");
        let info = ConfInfo {
            client_port: number("clientPort") as i32,
            secure_client_port: number("secureClientPort") as i32,
            data_dir: fields["dataDir"].into(),
            data_dir_size: number("dataDirSize") as u64,
            data_log_dir: fields["dataLogDir"].into(),
            data_log_size: number("dataLogSize") as u64,
            tick_time_ms: number("tickTime") as u32,
            max_client_cnxns: number("maxClientCnxns") as i32,
            min_session_timeout_ms: number("minSessionTimeout") as i32,
            max_session_timeout_ms: number("maxSessionTimeout") as i32,
            client_port_listen_backlog: number("clientPortListenBacklog") as i32,
            server_id: number("serverId"),
            quorum,
        };
        assert_eq!(conf(&info), text, "{case}");
        if let Some(mut quorum) = info.quorum.clone() {
            quorum.election_ports = vec![3888, 3889];
            let info = ConfInfo {
                quorum: Some(quorum),
                ..info
            };
            assert!(conf(&info).contains("\nelectionPort=3888|3889\n"));
        }
    }
}

/// `N expire at <date>:` sets and their tab-indented elements.
fn expiring<T>(lines: &[&str], element: impl Fn(&str) -> T) -> ExpiringSets<T> {
    let mut sets = ExpiringSets::new();
    for line in lines {
        if let Some(item) = line.strip_prefix('\t') {
            sets.last_mut().unwrap().1.push(element(item));
        } else if let Some((_, date)) = line.split_once(" expire at ") {
            let date = date.strip_suffix(':').unwrap().replace(" UTC ", " ");
            let date = jiff::civil::DateTime::strptime("%a %b %d %H:%M:%S %Y", date).unwrap();
            let time = date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
            sets.push((time.as_millisecond(), Vec::new()));
        }
    }
    sets
}

/// The sets under a head such as `Local Session Sets (..`, if it is there.
fn sets_under(lines: &[&str], head: &str) -> Option<ExpiringSets<i64>> {
    let head = format!("{head} Sets (");
    let at = lines.iter().position(|line| line.starts_with(&head))?;
    let rest = &lines[at + 1..];
    let is_set = |line: &&str| line.starts_with('\t') || line.contains(" expire at ");
    let end = rest.iter().take_while(|line| is_set(line)).count();
    Some(expiring(&rest[..end], hex))
}

fn dumped_sessions(lines: &[&str]) -> DumpSessions {
    let local = sets_under(lines, "Local Session");
    let global = sets_under(lines, "Session").or_else(|| sets_under(lines, "Global Session"));
    if let Some(global) = global {
        return DumpSessions::Tracked { local, global };
    }
    let listed = |line: &&str| {
        let (id, timeout) = line.split_once('\t')?;
        let timeout = timeout.strip_suffix("ms")?.parse().unwrap();
        (!id.is_empty()).then(|| (hex(id), timeout))
    };
    DumpSessions::Learned {
        local,
        global: lines.iter().filter_map(listed).collect(),
    }
}

#[test]
fn dump_in_every_role() {
    let local = ["leader_local", "follower_local", "observer_local"];
    for case in ["empty", "filled"].iter().chain(ROLES).chain(&local) {
        let text = fixture("dump", case);
        let lines: Vec<&str> = text.lines().collect();
        let at = |head: &str| lines.iter().position(|line| *line == head).unwrap();
        let (ephemerals_at, connections_at) =
            (at("ephemeral nodes dump:"), at("Connections dump:"));
        let mut ephemerals = Ephemerals::new();
        for line in &lines[ephemerals_at + 2..connections_at] {
            match line.strip_prefix('\t') {
                Some(path) => ephemerals.last_mut().unwrap().1.push(path.into()),
                None => ephemerals.push((hex(line.strip_suffix(':').unwrap()), Vec::new())),
            }
        }
        let info = DumpInfo {
            sessions: dumped_sessions(&lines[..ephemerals_at]),
            ephemerals,
            connections: expiring(&lines[connections_at..], |item| {
                let item = item.strip_prefix("ip: ").unwrap();
                let (address, id) = item.split_once(" sessionId: ").unwrap();
                (peer(address), hex(id))
            }),
        };
        assert_eq!(dump(&info, &Zone::utc()), text, "{case}");
        let (DumpSessions::Tracked { local, .. } | DumpSessions::Learned { local, .. }) =
            &info.sessions;
        assert_eq!(local.is_some(), case.ends_with("_local"), "{case}");
        let tracked = matches!(info.sessions, DumpSessions::Tracked { .. });
        assert_eq!(
            tracked,
            ["empty", "filled", "leader", "leader_local"].contains(case)
        );
    }
}

#[test]
fn watches_and_digests() {
    for case in ["empty", "filled"] {
        let text = fixture("wchs", case);
        let numbers: Vec<usize> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|it| it.parse().ok())
            .collect();
        let [connections, paths, total] = numbers.try_into().unwrap();
        assert_eq!(
            wchs(WatchSummary {
                connections,
                paths,
                total
            }),
            text
        );

        let text = fixture("wchc", case);
        let mut sessions: Vec<(i64, Vec<&str>)> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.strip_prefix('\t') {
                Some(path) => sessions.last_mut().unwrap().1.push(path),
                None => sessions.push((hex(line), Vec::new())),
            }
        }
        assert_eq!(wchc(sessions), text);

        let text = fixture("wchp", case);
        let mut paths: Vec<(&str, Vec<i64>)> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.strip_prefix('\t') {
                Some(id) => paths.last_mut().unwrap().1.push(hex(id)),
                None => paths.push((line, Vec::new())),
            }
        }
        assert_eq!(wchp(paths), text);

        let text = fixture("hash", case);
        let entries: Vec<(i64, u64)> = text
            .lines()
            .map(|line| {
                let (zxid, digest) = line.split_once(": ").unwrap();
                (
                    i64::from_str_radix(zxid, 16).unwrap(),
                    digest.parse().unwrap(),
                )
            })
            .collect();
        assert_eq!(entries.is_empty(), case == "empty");
        assert_eq!(hash(entries), text);
    }
    assert_eq!(hash([(128, u64::MAX)]), "80: -1\n");
    let text = fixture("dirs", "standalone");
    let fields = fields(&text);
    let size = |name: &str| fields[name].parse().unwrap();
    assert_eq!(dirs(size("datadir_size"), size("logdir_size")), text);
}

#[test]
fn envi_has_javas_names_in_javas_order() {
    let names = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split('=').next().unwrap().into())
            .collect()
    };
    let version = version_text("0.1.0", "2026-02-11 20:18 UTC");
    assert_eq!(
        version,
        "3.9.5-zabkeeper-0.1.0, built on 2026-02-11 20:18 UTC"
    );
    let text = Environment::collect(&version).text();
    assert_eq!(names(&text), names(&fixture("envi", "filled")));
    assert!(text.starts_with(&format!("Environment:\nzookeeper.version={version}\n")));
    assert!(text.lines().all(|line| !line.ends_with('=')), "{text}");
}

#[test]
fn words_while_not_serving() {
    for &word in FourLetterWord::ALL {
        // `envi`, `stmk` and the close sequence were not asked.
        if let Some(text) = not_serving(word) {
            assert_eq!(text, fixture(word.name(), "looking"));
        }
    }
    assert_eq!(ruok(), fixture("ruok", "looking"));
    assert_eq!(trace_mask(306), fixture("gtmk", "looking"));
    for &word in FourLetterWord::ALL {
        let text = not_serving(word);
        match word.name() {
            "ruok" | "envi" | "gtmk" | "stmk" | "telnet close" => assert_eq!(text, None),
            "isro" => assert_eq!(text, Some("null")),
            "hash" => {
                let text = text.unwrap();
                assert_eq!(
                    text,
                    "This ZooKeeper instance is not currently serving requests"
                );
            }
            _ => assert_eq!(text, Some(NOT_SERVING)),
        }
    }
}

#[test]
fn whitelist_follows_java() {
    let words = |list: Option<&str>, read_only: bool| -> Vec<&str> {
        Whitelist::new(list, read_only)
            .words()
            .map(FourLetterWord::name)
            .collect()
    };
    assert_eq!(words(None, false), ["srvr"]);
    assert_eq!(words(None, true), ["isro", "srvr"]);
    assert_eq!(words(Some(""), false), ["srvr"]);
    assert_eq!(
        words(Some(" stat,\truok ,nope,,Mntr"), false),
        ["ruok", "srvr", "stat"]
    );
    assert_eq!(
        words(Some("stat, * ,nope"), false).len(),
        FourLetterWord::ALL.len()
    );
    assert_eq!(words(Some("**"), false), ["srvr"]);
}

#[test]
fn addresses_print_as_java_prints_them() {
    for (address, text) in [
        ("127.0.0.1:2181", "/127.0.0.1:2181"),
        ("[::1]:2181", "/[0:0:0:0:0:0:0:1]:2181"),
        ("[fe80::ab:c]:1", "/[fe80:0:0:0:0:0:ab:c]:1"),
        ("[::ffff:10.0.0.1]:5", "/10.0.0.1:5"),
    ] {
        assert_eq!(java_address(address.parse().unwrap()), text);
    }
}
