//! Configurations of ensembles: from dynamic files, and from peers in NEWLEADER and notifications.
#![no_main]

use jute_fuzz::bounded_by;
use libfuzzer_sys::fuzz_target;
use zk_wire::quorum::config::QuorumConfig;

/// A line of a few bytes is an entry of a file, a member in a map, its address and its host.
const FACTOR: usize = 512;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for multi_address in [false, true] {
        let parse = |text: &str| QuorumConfig::parse(text, multi_address);
        let Ok(config) = bounded_by(FACTOR, data.len(), || parse(text)) else {
            continue;
        };
        assert_eq!(
            config.voters().count() + config.observers().count(),
            config.members.len()
        );
        // Whether it is enough is said, whatever it is.
        for standalone in [false, true] {
            let _ = config.check_voters(standalone);
        }
        // Java reads the version -1, writes its sixteen digits, and cannot read these; it writes no
        // group that nobody is in, and no escape again that stood in a host.
        let is_host = |host: &str| {
            host.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".:-_".contains(&b))
        };
        let addresses = config.members.values().flat_map(|member| &member.addresses);
        let clients = config
            .members
            .values()
            .filter_map(|member| member.client.as_ref());
        if config.version < 0
            || config.groups.values().any(|members| members.is_empty())
            || !addresses.map(|it| it.host.as_str()).all(is_host)
            || !clients.map(|it| it.host.as_str()).all(is_host)
        {
            continue;
        }
        // What it is for others it is again.
        for written in [config.text(), config.next_file_text()] {
            let again = parse(&written).expect("its own text");
            assert!(again.same_members(&config), "{written}");
            assert_eq!(again.version, config.version);
            assert_eq!(again.text(), config.text());
        }
        let again = parse(&config.file_text()).expect("its own file");
        assert!(again.same_members(&config));
    }
});
