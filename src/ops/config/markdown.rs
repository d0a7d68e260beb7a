//! The table as documentation.

use core::fmt::Write as _;

use super::EMBEDDED_CFG;
use super::table::{Class, INERT_ALIASES, KEYS, Key, Parser, State, When};

const INTRO: &str = "\
# Configuration

Generated from the table in `src/ops/config/table.rs`; `UPDATE_EXPECT=1 cargo test -p zk-ops`
rewrites it.

`zabkeeper serve [-Dname=value].. [zoo.cfg]` reads a ZooKeeper configuration file unchanged.
Also `zabkeeper serve <port> <datadir> [tick] [maxcnxns]`, with the limit of connections per address
off. The file is in Java's properties format, ISO-8859-1: no comments behind a value, `key=value`,
`key: value` or `key value`, the last of equal keys wins.

Java's system properties are given as `-Dname=value`, on the command line or in the environment
variables SERVER_JVMFLAGS and JVMFLAGS, split into words as a shell would; the command line wins
over JVMFLAGS, JVMFLAGS over SERVER_JVMFLAGS, and a line of zoo.cfg over all three. Other JVM flags
are ignored with a debug line. An unknown key `x` of zoo.cfg is kept as the system property
`zookeeper.x`.

A refused start exits with 2, or with 1 where Java fails only while it builds the server, and names
file, line and key.

How a value is read:

|as|means|
|-|-|
|text, list, class|any text; a list is separated by commas|
|flag|`true` or `false` in any case; anything else refuses|
|number|decimal; anything else refuses|
|lenient flag|`true` in any case; anything else is false|
|lenient number|decimal, `0x` hexadecimal or `0` octal; anything else leaves the default, with a warning|
|lenient decimal|decimal; anything else leaves the default, with a warning|
|real|a real number; anything else refuses|
|lenient real|a real number; anything else leaves the default|
|`word`|only this text, in this case, counts|

What is done with a key: **honoured**; **later**, read and checked, the part that acts on it is not
built (one line at start names those that are set); **no effect**, accepted, and why it cannot
matter; **refused**, because to run without it would be unsafe.
";

/// `docs/configuration.md`.
pub fn markdown() -> String {
    let mut out = String::from(INTRO);
    let sections = [
        (
            Class::Static,
            "Keys of zoo.cfg",
            "These cannot be given as system properties.",
        ),
        (
            Class::Passed,
            "Keys of zoo.cfg and system properties",
            "In zoo.cfg by this name, or as `-Dzookeeper.<name>`.",
        ),
        (
            Class::Bare,
            "System properties only",
            "As `-D<name>`; in zoo.cfg they are inert, as in Java, with a warning.",
        ),
        (
            Class::Own,
            "Keys of this server",
            "In zoo.cfg by this name, or as `-D<name>`.",
        ),
    ];
    for (class, title, intro) in sections {
        let _ = write!(out, "\n## {title}\n\n{intro}\n\n");
        out.push_str("|key|default|read as|what is done|meaning|\n|-|-|-|-|-|\n");
        for key in KEYS.iter().filter(|key| key.class == class) {
            row(&mut out, key);
        }
    }
    out.push_str("\n## Names that Java documents and does not read\n\n");
    out.push_str("|inert|works|\n|-|-|\n");
    for (alias, name) in INERT_ALIASES {
        let _ = writeln!(out, "|{alias}|{name}|");
    }
    let _ = write!(out, "\n## Without a file\n\n```\n{EMBEDDED_CFG}```\n");
    out
}

fn row(out: &mut String, key: &Key) {
    let default = match (key.default, key.unit) {
        ("", _) => String::new(),
        (default, "") => default.into(),
        (default, unit) => format!("{default} {unit}"),
    };
    let parser = match key.parser {
        Parser::Text => "text",
        Parser::List => "list",
        Parser::Flag => "flag",
        Parser::Int | Parser::Long => "number",
        Parser::PropertyFlag => "lenient flag",
        Parser::PropertyInt | Parser::PropertyLong => "lenient number",
        Parser::NumberOrDefault => "lenient decimal",
        Parser::PropertyDouble => "real",
        Parser::DoubleOrDefault => "lenient real",
        Parser::Word(word) => &format!("`{word}`"),
        Parser::ClassName => "class",
        Parser::Members => "members",
    };
    let state = match key.state {
        State::Honoured => "honoured".into(),
        State::Later(part) => format!("later: {part}"),
        State::NoEffect(why) => format!("no effect: {why}"),
        State::Refused(When::Set, why) => format!("refused: {why}"),
        State::Refused(When::True, why) => format!("refused when true: {why}"),
    };
    let name = key.name.replace('*', "\\*");
    let _ = writeln!(out, "|{name}|{default}|{parser}|{state}|{}|", key.meaning);
}
