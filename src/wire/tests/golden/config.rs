//! The membership and the files of a reconfiguration.

use std::collections::BTreeSet;

use jute::{Buf, Decode, List, Reader};
use zk_wire::file::dynamic;
use zk_wire::quorum::config::{Member, QuorumConfig};

use crate::cases::{Case, cases};

/// Java takes this line for a member without an address and fails later.
const WITHOUT_ADDRESS: &str = "quorum/config/line_bar";

fn read(name: &str, text: &[u8]) -> Option<QuorumConfig> {
    let multi = name.contains("/multi_");
    let config = QuorumConfig::parse(std::str::from_utf8(text).unwrap(), multi).ok()?;
    config.check_voters(false).ok()?;
    Some(config)
}

#[test]
fn configurations_are_read_and_printed_as_java_does() {
    let mut refused = 0;
    for Case { name, bin, txt } in cases("quorum", "config") {
        let config = read(&name, &bin);
        if name == WITHOUT_ADDRESS {
            assert_eq!(config, None, "{name}");
            continue;
        }
        refused += usize::from(config.is_none());
        let text = config.as_ref().map_or("refused".into(), QuorumConfig::text);
        assert_eq!(text, txt, "{name}");
        // What is printed is read as the same, but for what the text cannot say.
        let readable = |config: &QuorumConfig| {
            let empty_group = config.groups.values().any(BTreeSet::is_empty);
            config.version >= 0 && !empty_group && !txt.contains('\\')
        };
        if let Some(config) = config.filter(readable) {
            let again = read(&name, txt.as_bytes()).expect(&name);
            assert!(again.same_members(&config), "{name}");
            assert_eq!(again.text(), txt, "{name}");
        }
    }
    assert!(refused > 30);
}

#[test]
fn a_text_cut_short_is_read_or_refused() {
    for Case { name, bin, .. } in cases("quorum", "config") {
        let text = String::from_utf8(bin).unwrap();
        for (cut, _) in text.char_indices() {
            if let Some(config) = read(&name, &text.as_bytes()[..cut]) {
                assert!(
                    config
                        .text()
                        .ends_with(&format!("version={:x}", config.version))
                );
            }
        }
    }
}

#[test]
fn dynamic_files_are_written_as_java_does() {
    for Case { name, bin, txt } in cases("quorum", "config_file") {
        let config = read(&name, &bin).unwrap();
        assert_eq!(config.file_text(), txt, "{name}");
    }
    for Case { name, bin, txt } in cases("quorum", "config_next") {
        let config = read(&name, &bin).unwrap();
        assert_eq!(config.next_file_text(), txt, "{name}");
    }
}

#[test]
fn servers_and_groups_come_in_the_order_of_javas_tables() {
    for Case { name, bin, txt } in cases("quorum", "config_many") {
        let texts: List<Buf<'_>> = List::decode(&mut Reader::new(&bin)).unwrap();
        let texts = texts.unwrap();
        let expected: Vec<&str> = txt.split("---\n").skip(1).collect();
        assert_eq!(texts.len(), expected.len(), "{name}");
        for (text, expected) in texts.into_iter().zip(expected) {
            let text = text.unwrap();
            let config = read(&name, text).unwrap();
            let input = String::from_utf8_lossy(text);
            assert_eq!(config.text() + "\n", expected, "{name}: {input}");
        }
    }
}

#[test]
fn static_files_are_rewritten_as_java_does() {
    for (record, erase) in [("static", false), ("static_erase", true)] {
        for Case { name, bin, txt } in cases("dynamic", record) {
            let pointer = "/etc/zk/zoo.cfg.dynamic.200000001";
            let written = dynamic::rewrite_static(&bin, pointer, erase).unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), txt, "{name}");
        }
    }
}

#[test]
fn versions_are_found_in_names_as_java_does() {
    for Case { name, bin, txt } in cases("dynamic", "version") {
        let names = String::from_utf8(bin).unwrap();
        assert_eq!(names.lines().count(), txt.lines().count(), "{name}");
        for (file, expected) in names.lines().zip(txt.lines()) {
            let found = dynamic::version(file);
            let found = found.map_or("null".into(), |version| format!("{version:x}"));
            assert_eq!(found, expected, "{name}: {file:?}");
        }
    }
}

#[test]
fn members_are_compared_without_order_and_case() {
    let member = |text: &str| Member::parse(1, text, true).unwrap();
    let same = |a: &str, b: &str| {
        let same = member(a).same(&member(b));
        assert_eq!(same, member(b).same(&member(a)));
        same
    };
    assert!(same("a:1:2|b:3:4", "B:3:4|A:1:2"));
    assert!(same("a:1:2;2181", "a:1:2:participant;0.0.0.0:2181"));
    assert!(same("[::1]:1:2", "[0:0::1]:1:2"));
    assert!(!same("a:1:2", "a:1:2:observer"));
    assert!(!same("a:1:2", "a:1:2;2181"));
    assert!(!same("a:1:2", "a:1:3"));
    assert!(!same("a:1:2", "a:3:2"));
    assert!(!same("a:1:2", "a:1:2|b:1:2"));

    let config = |text: &str| QuorumConfig::parse(text, false).unwrap();
    let one = config("server.1=a:1:2\nserver.2=b:1:2\nversion=1");
    assert!(one.same_members(&config("server.2=b:1:2\nserver.1=a:1:2\nversion=2")));
    for other in [
        "server.1=a:1:2",
        "server.1=a:1:2\nserver.3=b:1:2",
        "server.1=a:1:2\nserver.2=b:1:3",
        "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2",
    ] {
        assert!(!one.same_members(&config(other)), "{other}");
        assert!(!config(other).same_members(&one), "{other}");
    }
}

#[test]
fn an_address_from_the_static_file_is_not_printed() {
    let mut config = QuorumConfig::parse("server.1=a:1:2;2181", false).unwrap();
    assert!(config.text().contains(";0.0.0.0:2181"));
    let before = config.clone();
    config.members.get_mut(&1).unwrap().client_from_static = true;
    assert_eq!(config.text(), "server.1=a:1:2:participant\nversion=0");
    assert!(config.same_members(&before));
}

#[test]
fn voters_decide_between_standalone_and_ensemble() {
    let rows = [
        ("", true, None),
        ("", false, None),
        ("server.1=a:1:2", true, Some(false)),
        ("server.1=a:1:2", false, Some(true)),
        ("server.1=a:1:2\nserver.2=b:1:2", true, Some(true)),
        ("server.1=a:1:2:observer", true, None),
        ("server.1=a:1:2:observer", false, None),
        ("server.1=a:1:2\nserver.2=b:1:2:observer", true, None),
        ("server.1=a:1:2\nserver.2=b:1:2:observer", false, Some(true)),
    ];
    for (text, standalone, expected) in rows {
        let config = QuorumConfig::parse(text, false).unwrap();
        let checked = config.check_voters(standalone);
        if text.is_empty() && standalone {
            assert_eq!(checked, Ok(()));
            assert!(!config.is_ensemble(standalone));
            continue;
        }
        let found = checked.ok().map(|()| config.is_ensemble(standalone));
        assert_eq!(found, expected, "{text:?} {standalone}");
    }
}
