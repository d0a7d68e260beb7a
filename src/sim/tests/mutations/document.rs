//! docs/history.md names every rule, and scenarios that are there.

use zk_zab::rules::Rule;

const DOCUMENT: &str = include_str!("../../../../docs/history.md");

/// Where the scenarios of each kind are.
const SCENARIOS: [(&str, &str); 5] = [
    ("election", include_str!("election.rs")),
    ("leader", include_str!("leader.rs")),
    ("learner", include_str!("learner.rs")),
    ("node", include_str!("node.rs")),
    ("simulated", include_str!("simulated.rs")),
];

#[test]
fn every_rule_is_told_of_and_tried() {
    for rule in Rule::ALL {
        assert!(DOCUMENT.contains(&format!("`{rule:?}`")), "{rule:?}");
        let name = format!("Rule::{rule:?}");
        let tried = SCENARIOS.iter().any(|(_, text)| text.contains(&name));
        assert!(tried, "{rule:?} has no scenario");
    }
}

#[test]
fn every_scenario_is_there() {
    let mut found = 0;
    for word in DOCUMENT.split('`') {
        let Some((kind, name)) = word.split_once("::") else {
            continue;
        };
        let scenarios = SCENARIOS.iter().find(|(it, _)| *it == kind);
        if let Some((_, text)) = scenarios {
            assert!(text.contains(&format!("fn {name}()")), "{word}");
            found += 1;
        }
    }
    assert!(found >= Rule::ALL.len(), "{found} scenarios");
}
