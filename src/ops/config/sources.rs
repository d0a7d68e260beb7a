//! What the command line and the environment say: `-D` properties and positional arguments.
//!
//! Owns: the grammar of `-Dname=value`, the splitting of SERVER_JVMFLAGS and JVMFLAGS, and which
//! of them wins. Does not know any key.

use std::collections::BTreeMap;

use super::{Level, Note};

/// Everything besides files that decides the configuration.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// What followed each `-D` on the command line, in order: `name=value` or `name`.
    pub defines: Vec<String>,
    /// Positional arguments: none, a configuration file, or `port datadir [tick] [maxcnxns]`.
    pub arguments: Vec<String>,
    /// The environment variable SERVER_JVMFLAGS.
    pub server_jvmflags: Option<String>,
    /// The environment variable JVMFLAGS.
    pub jvmflags: Option<String>,
}

impl Sources {
    /// The given command line with the environment of this process.
    pub fn from_env(defines: Vec<String>, arguments: Vec<String>) -> Sources {
        let var = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Sources {
            defines,
            arguments,
            server_jvmflags: var("SERVER_JVMFLAGS"),
            jvmflags: var("JVMFLAGS"),
        }
    }

    /// System properties with the source of each. zkServer.sh puts SERVER_JVMFLAGS before JVMFLAGS
    /// and a JVM lets the last one win; the command line, which Java has no equal of, wins over
    /// both. Other JVM flags give a debug line.
    pub(crate) fn properties(&self, notes: &mut Vec<Note>) -> BTreeMap<String, (String, Place)> {
        let mut properties = BTreeMap::new();
        for (variable, flags) in [
            ("SERVER_JVMFLAGS", &self.server_jvmflags),
            ("JVMFLAGS", &self.jvmflags),
        ] {
            let Some(flags) = flags else { continue };
            for flag in split_flags(flags) {
                match flag.strip_prefix("-D") {
                    Some(define) if !define.is_empty() => {
                        let (name, value) = split_define(define);
                        properties
                            .insert(name.into(), (value.into(), Place::Environment(variable)));
                    }
                    _ => notes.push(Note::new(
                        Level::Debug,
                        format!("{variable}: the JVM flag {flag} is ignored"),
                    )),
                }
            }
        }
        for define in &self.defines {
            let (name, value) = split_define(define);
            properties.insert(name.into(), (value.into(), Place::CommandLine));
        }
        properties
    }
}

/// Where a setting stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A line of the configuration file, from 1.
    Line(usize),
    /// `-D` on the command line, or a positional argument.
    CommandLine,
    /// `-D` in an environment variable.
    Environment(&'static str),
}

/// `name=value`; without `=` the value is empty, as the JVM has it.
fn split_define(define: &str) -> (&str, &str) {
    define.split_once('=').unwrap_or((define, ""))
}

/// Splits a flags variable into words as a shell would: blanks separate, single and double quotes
/// group, a backslash outside single quotes takes the next character as it is. An unclosed quote
/// is an ordinary character. (zkServer.sh leaves quotes in such a variable alone, so Java cannot
/// take a value with a blank there; this is the more forgiving reading.)
pub(crate) fn split_flags(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' | '"' if closing_quote(rest, c).is_some() => {
                let end = closing_quote(rest, c).unwrap_or(0);
                let quoted = &rest[..end];
                rest = &rest[end + 1..];
                let word = word.get_or_insert_default();
                if c == '\'' {
                    word.push_str(quoted);
                } else {
                    let mut chars = quoted.chars();
                    while let Some(c) = chars.next() {
                        let next = chars.clone().next();
                        if c == '\\' && matches!(next, Some('"' | '\\' | '$' | '`')) {
                            word.extend(chars.next());
                        } else {
                            word.push(c);
                        }
                    }
                }
            }
            '\\' => {
                let word = word.get_or_insert_default();
                match rest.chars().next() {
                    Some(next) => {
                        word.push(next);
                        rest = &rest[next.len_utf8()..];
                    }
                    None => word.push('\\'),
                }
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Byte offset of the quote that closes one just opened.
fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote == '"' {
            escaped = true;
        } else if c == quote {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_split_as_a_shell_would() {
        for (text, words) in [
            ("", &[][..]),
            ("  -Xmx1g\t-Da=b ", &["-Xmx1g", "-Da=b"]),
            ("-Da='b c' -Dd=\"e f\"", &["-Da=b c", "-Dd=e f"]),
            ("-Da=b\\ c", &["-Da=b c"]),
            ("-Da=\"x\\\"y\"", &["-Da=x\"y"]),
            ("-Da=\"x\\ny\"", &["-Da=x\\ny"]),
            ("-Da=it's -Db=1", &["-Da=it's", "-Db=1"]),
            ("-Da=\"open -Db=1", &["-Da=\"open", "-Db=1"]),
            ("-Da=''", &["-Da="]),
            ("''", &[""]),
            ("-Da=b\\", &["-Da=b\\"]),
        ] {
            assert_eq!(split_flags(text), words, "{text:?}");
        }
    }

    #[test]
    fn later_sources_win_and_other_flags_are_noted() {
        let sources = Sources {
            defines: vec!["a=line".into(), "empty".into(), "d=x=y".into()],
            server_jvmflags: Some("-Da=server -Db=server -Dc=server -Xmx512m".into()),
            jvmflags: Some("-Db=jvm -D -XX:+UseG1GC".into()),
            ..Sources::default()
        };
        let mut notes = Vec::new();
        let properties = sources.properties(&mut notes);
        let get = |name: &str| {
            let (value, place) = &properties[name];
            (value.as_str(), *place)
        };
        assert_eq!(get("a"), ("line", Place::CommandLine));
        assert_eq!(get("b"), ("jvm", Place::Environment("JVMFLAGS")));
        assert_eq!(get("c"), ("server", Place::Environment("SERVER_JVMFLAGS")));
        assert_eq!(get("d"), ("x=y", Place::CommandLine));
        assert_eq!(get("empty"), ("", Place::CommandLine));
        assert_eq!(notes.len(), 3);
        assert!(notes.iter().all(|note| note.level == Level::Debug));
    }
}
