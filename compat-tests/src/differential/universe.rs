//! The values that requests are made of: few good ones, so that sessions collide, and many bad ones.
//!
//! Owns: paths, data, ACLs, versions, credentials, texts of quota nodes.
//!
//! Does not know: which operation gets what.

use fastrand::Rng;

use super::op::{Acl, Acls};
use crate::limits::MAX_REQUEST;
use crate::raw::{Bytes, text};

/// Paths that most requests are about.
const PATHS: &[&str] = &[
    "/a", "/b", "/c", "/a/x", "/a/y", "/b/x", "/b/y", "/a/x/1", "/a/x/2", "/b/x/1", "/q", "/q/x",
    "/q/y", "/q/x/1", "/e1", "/a/e1", "/b/e2",
];
/// Prefixes of sequential nodes; the last two are legal only with a suffix.
const SEQUENTIAL: &[&str] = &["/a/s-", "/b/s-", "/s-", "/a/x/s-", "/q/s-", "/a/", "/"];
/// Paths of the server's own corner.
const SYSTEM: &[&str] = &[
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/config",
    "/zookeeper/x",
    "/",
];
/// Prefixes that get quotas; only the first two when quotas are enforced, so that a pipelined burst
/// can keep clear of them (Java checks them against what is applied at the moment).
pub const QUOTAS: &[&str] = &["/q", "/q/x", "/a", "/b/x"];

/// The credentials known by name: `user:password` and the id that follows from it.
pub const USERS: &[(&str, &str)] = &[
    ("u1:p1", "u1:fpT/y03U+EjItKZOSLGvjnJlyng="),
    ("u2:p2", "u2:o9NxcCGDPOlcV7JVhmKHOf5ctVE="),
];

/// Paths that some check refuses, or that no client library would send.
fn bad_paths() -> Vec<Bytes> {
    let mut all: Vec<Bytes> = [
        "",
        "a",
        "a/b",
        "//",
        "/a/",
        "/a//x",
        "/.",
        "/..",
        "/a/.",
        "/a/./x",
        "/a/../b",
        "/nx/",
        "/nx/y",
        "/a\0b",
        "\0",
        "/\u{1}",
        "/a\u{1f}",
        "/\u{7f}",
        "/\u{9f}",
        "/\u{a0}",
        "/\u{d7ff}",
        "/\u{e000}",
        "/\u{f8ff}",
        "/\u{f900}",
        "/\u{ffef}",
        "/\u{fff0}",
        "/\u{fffe}",
        "/\u{fffd}",
        "/\u{1f600}",
        "/a/\u{10ffff}",
        " ",
        "/ ",
        "/a b",
        "/x..y",
        "/...",
        "/a:b",
        "/a/x/",
        "/é",
        "/€uro",
    ]
    .iter()
    .map(|p| text(p))
    .collect();
    all.push(None);
    let raw: &[&[u8]] = &[
        b"/\xff",
        b"/\xfe\xff",
        b"/a\xc0\xaf",
        b"/\xed\xa0\xbd\xed\xb8\x80",
        b"/\xed\xa0\xbd",
        b"/\xe2\x82",
        b"/\xf0\x9f\x98",
        b"/\xf4\x90\x80\x80",
        b"/\xc3",
        b"/\xe2\x28\xa1",
        b"\x80",
    ];
    all.extend(raw.iter().map(|b| Some(b.to_vec())));
    all.push(Some([b"/".as_slice(), &[b'l'; 3000]].concat()));
    all.push(Some(
        [b"/a/".as_slice(), &[b'd'; 400], b"/", &[b'e'; 400]].concat(),
    ));
    all.push(Some(b"/d".repeat(200)));
    all
}

/// Chooses values.
#[derive(Debug)]
pub struct Universe {
    bad_paths: Vec<Bytes>,
    /// Paths that creates have answered, sequential ones above all.
    known: Vec<Vec<u8>>,
    enforce_quota: bool,
    /// Whether quota limits may be nonsense: Java then fails by an exception.
    bad_limits: bool,
}

/// Limits that Java reads, though nobody writes them.
const ODD_LIMITS: &[&str] = &[
    "",
    "",
    ",;",
    "countHardLimit==5",
    "countHardLimit=+3;;bytes=9=x,",
    "=1,byteHardLimit=9",
    "countHardLimit=9223372036854775807",
];
/// Limits at which Java fails.
const BAD_LIMITS: &[&str] = &[
    "count=nonsense",
    ",countHardLimit=1",
    "countHardLimit=",
    "countHardLimit==",
    "countHardLimit=1;=",
    "countHardLimit= 1",
    "countHardLimit=9223372036854775808",
    "countHardLimit",
];

/// Most paths remembered.
const MAX_KNOWN: usize = 80;

/// Picks one of a list.
pub fn pick<'a, T>(rng: &mut Rng, all: &'a [T]) -> &'a T {
    &all[rng.usize(..all.len())]
}

/// Picks one word of a list.
pub fn word(rng: &mut Rng, all: &[&'static str]) -> &'static str {
    all[rng.usize(..all.len())]
}

/// True `percent` times of a hundred.
pub fn chance(rng: &mut Rng, percent: f64) -> bool {
    rng.f64() * 100.0 < percent
}

impl Universe {
    /// An empty memory.
    pub fn new(enforce_quota: bool, bad_limits: bool) -> Self {
        Self {
            bad_paths: bad_paths(),
            known: Vec::new(),
            enforce_quota,
            bad_limits,
        }
    }

    /// Remembers a path that exists, or did.
    pub fn learn(&mut self, rng: &mut Rng, path: &[u8]) {
        if self.known.iter().any(|p| p == path) {
            return;
        }
        if self.known.len() < MAX_KNOWN {
            self.known.push(path.to_vec());
        } else {
            let at = rng.usize(..MAX_KNOWN);
            self.known[at] = path.to_vec();
        }
    }

    /// A path that may well exist.
    pub fn good_path(&self, rng: &mut Rng) -> Bytes {
        if !self.known.is_empty() && chance(rng, 35.0) {
            return Some(pick(rng, &self.known).clone());
        }
        text(word(rng, PATHS))
    }

    /// Any path, mostly good.
    pub fn path(&self, rng: &mut Rng) -> Bytes {
        match rng.u32(..100) {
            0..=87 => self.good_path(rng),
            88..=91 => text(word(rng, SYSTEM)),
            92 | 93 => text(&quota_node(rng, self.enforce_quota)),
            _ => pick(rng, &self.bad_paths).clone(),
        }
    }

    /// A path to create with these flags.
    pub fn new_path(&self, rng: &mut Rng, flags: i32) -> Bytes {
        let sequential = matches!(flags, 2 | 3 | 6);
        if sequential && chance(rng, 85.0) {
            return text(word(rng, SEQUENTIAL));
        }
        if chance(rng, 80.0) {
            text(word(rng, PATHS))
        } else {
            self.path(rng)
        }
    }

    /// Node data.
    pub fn data(&self, rng: &mut Rng) -> Bytes {
        match rng.u32(..1000) {
            0..=99 => None,
            100..=199 => Some(vec![]),
            200..=989 => Some(bytes(rng, 1..24)),
            990..=997 => Some(bytes(rng, 24..2000)),
            _ => Some(bytes(rng, 20_000..60_000)),
        }
    }

    /// Data that makes a setData request of exactly the largest frame, less `spare` bytes.
    pub fn largest_data(path: &Bytes, spare: usize) -> Bytes {
        let around = 8 + 4 + path.as_ref().map_or(0, Vec::len) + 4 + 4;
        Some(vec![b'z'; MAX_REQUEST - around - spare])
    }

    /// An expected version.
    pub fn version(&self, rng: &mut Rng) -> i32 {
        match rng.u32(..100) {
            0..=59 => -1,
            60..=93 => rng.i32(0..4),
            94..=96 => rng.i32(4..60),
            97 => -2,
            98 => i32::MAX,
            _ => i32::MIN,
        }
    }

    /// An ACL, mostly open.
    pub fn acl(&self, rng: &mut Rng) -> Acls {
        if chance(rng, 70.0) {
            return Some(vec![entry(31, "world", "anyone")]);
        }
        if chance(rng, 6.0) {
            return None;
        }
        let n = *pick(rng, &[0, 1, 1, 1, 1, 2, 2, 2, 3, 4]);
        let mut entries: Vec<Acl> = (0..n).map(|_| acl_entry(rng)).collect();
        if n > 0 && chance(rng, 15.0) {
            let twice = pick(rng, &entries).clone();
            entries.push(twice);
        }
        Some(entries)
    }

    /// An auth packet's scheme and token, and whether every server takes it.
    pub fn credentials(&self, rng: &mut Rng, surely_good: bool) -> (Bytes, Bytes) {
        if surely_good || chance(rng, 80.0) {
            let token = match rng.u32(..10) {
                0..=3 => USERS[0].0,
                4..=6 => USERS[1].0,
                7 => "nocolon",
                8 => "a:b:c",
                _ => crate::servers::SUPER_AUTH,
            };
            return (text("digest"), text(token));
        }
        match rng.u32(..14) {
            0 | 1 => (text("ip"), text("")),
            2 => (text("ip"), text("10.1.2.3")),
            3 => (text("digest"), text("")),
            4 => (text("digest"), Some(vec![0xff, b':', 0xfe])),
            5 => (text("digest"), None),
            6 => (text("world"), text("anyone")),
            7 => (text("nosuch"), text("x")),
            8 => (None, text("x")),
            9 => (text("auth"), text("")),
            10 => (text("super"), text("x")),
            11 => (text("sasl"), text("x")),
            12 => (text("digest"), text("\u{fffd}:x")),
            _ => (text(""), None),
        }
    }

    /// A node below /zookeeper/quota, with text for it.
    pub fn quota(&self, rng: &mut Rng) -> (Bytes, Bytes) {
        let path = quota_node(rng, self.enforce_quota);
        let data = if path.ends_with("zookeeper_limits") {
            let n = |rng: &mut Rng| *pick(rng, &[-1i64, 0, 1, 2, 3, 4, 6, 20, 100]);
            match rng.u32(..20) {
                0..=6 => format!("count={},bytes={}", n(rng), n(rng)),
                7..=12 => {
                    format!(
                        "count={},bytes={}=;byteHardLimit={};countHardLimit={}",
                        n(rng),
                        n(rng),
                        n(rng),
                        n(rng)
                    )
                }
                13..=15 => format!("count=-1,bytes=-1=;countHardLimit={}", n(rng)),
                16..=17 => format!("count=-1,bytes=-1=;byteHardLimit={}", n(rng)),
                18 if self.bad_limits => word(rng, BAD_LIMITS).into(),
                _ => word(rng, ODD_LIMITS).into(),
            }
        } else if path.ends_with("zookeeper_stats") {
            format!("count={},bytes={}", rng.i32(0..9), rng.i32(0..99))
        } else {
            String::new()
        };
        (text(&path), text(&data))
    }

    /// Whether a burst of Java's may not write here: quota checks look at applied usage only.
    pub fn is_quota_sensitive(&self, path: &Bytes) -> bool {
        let Some(path) = path.as_deref() else {
            return false;
        };
        self.enforce_quota && (path.starts_with(b"/q") || path.starts_with(b"/zookeeper"))
    }
}

fn quota_node(rng: &mut Rng, enforce: bool) -> String {
    let prefix = word(rng, if enforce { &QUOTAS[..2] } else { QUOTAS });
    let leaf = word(
        rng,
        &[
            "",
            "",
            "/zookeeper_limits",
            "/zookeeper_limits",
            "/zookeeper_limits",
            "/zookeeper_stats",
            "/zookeeper_stats",
        ],
    );
    format!("/zookeeper/quota{prefix}{leaf}")
}

fn bytes(rng: &mut Rng, len: std::ops::Range<usize>) -> Vec<u8> {
    let n = rng.usize(len);
    (0..n).map(|_| rng.u8(b' '..=b'~')).collect()
}

fn entry(perms: i32, scheme: &str, id: &str) -> Acl {
    Acl {
        perms,
        scheme: text(scheme),
        id: text(id),
    }
}

fn acl_entry(rng: &mut Rng) -> Acl {
    let perms = *pick(
        rng,
        &[31, 31, 31, 31, 1, 2, 4, 8, 16, 3, 15, 0, 17, 24, -1, 64],
    );
    let user = pick(rng, USERS).1;
    match rng.u32(..40) {
        0..=7 => entry(perms, "world", "anyone"),
        8..=17 => entry(perms, "digest", user),
        18..=22 => entry(perms, "auth", ""),
        23 => entry(perms, "auth", "ignored"),
        24 => Acl {
            perms,
            scheme: text("auth"),
            id: None,
        },
        25 | 26 => entry(
            perms,
            "ip",
            word(
                rng,
                &["127.0.0.1", "127.0.0.0/8", "127.0.0.1/32", "0.0.0.0/0"],
            ),
        ),
        27 => entry(
            perms,
            "ip",
            word(rng, &["10.0.0.1", "10.0.0.0/8", "::1", "fe80::/10"]),
        ),
        28 => entry(
            perms,
            "ip",
            word(
                rng,
                &[
                    "",
                    "1.2.3",
                    "1.2.3.4/33",
                    "1.2.3.4/-1",
                    "1.2.3.4/",
                    "1.2.3.4/8/9",
                    "x",
                    "256.1.1.1",
                ],
            ),
        ),
        29 => entry(perms, "world", word(rng, &["", "someone", "anyone "])),
        30 | 31 => entry(
            perms,
            "digest",
            word(
                rng,
                &["u1", "u1:", ":x", "", "a:b:c", "u3:cleartext", "a:b::"],
            ),
        ),
        32 => entry(
            perms,
            word(rng, &["super", "sasl", "x509", "ensemble", "nosuch", ""]),
            "x",
        ),
        33 => Acl {
            perms,
            scheme: None,
            id: text("x"),
        },
        34 => Acl {
            perms,
            scheme: text("digest"),
            id: None,
        },
        35 => Acl {
            perms,
            scheme: text("world"),
            id: None,
        },
        36 => entry(perms, "digest", "\u{1f600}:x"),
        _ => entry(31, "world", "anyone"),
    }
}
