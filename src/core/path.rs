//! The rules of a znode's path, as `PathUtils` has them, over UTF-16 units.

/// Whether `path` is a legal path of a znode.
///
/// Refused: empty, relative, a trailing slash (but for the root), empty, `.` and `..` elements,
/// the characters U+0000 to U+001F, U+007F to U+009F, U+D800 to U+F8FF and U+FFF0 to U+FFFF, and
/// with the surrogates every character above U+FFFF.
pub fn valid(path: &str) -> bool {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return false;
    }
    if bytes.len() == 1 {
        return true;
    }
    if bytes.last() == Some(&b'/') {
        return false;
    }
    let plain = bytes.iter().all(|b| (0x20..0x7f).contains(b));
    if !plain && !path.chars().all(allowed) {
        return false;
    }
    path[1..]
        .split('/')
        .all(|name| !name.is_empty() && name != "." && name != "..")
}

fn allowed(c: char) -> bool {
    !matches!(u32::from(c),
        0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..=0xffff | 0x1_0000..)
}

/// Splits a path at its last slash into parent and name. The parent of a top-level node is `""`.
pub fn split(path: &str) -> Option<(&str, &str)> {
    path.rfind('/').map(|at| (&path[..at], &path[at + 1..]))
}

/// Nodes that delete never touches.
pub fn special(path: &str) -> bool {
    matches!(
        path,
        "" | "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config"
    )
}

/// The paths above `path`, nearest first, ending with `/`. Nothing for the root.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    core::iter::from_fn(move || {
        if rest.len() <= 1 {
            return None;
        }
        let at = rest.rfind('/')?;
        rest = &rest[..at];
        Some(if at == 0 { "/" } else { rest })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn java_rules() {
        for good in ["/", "/a", "/a/b", "/x..y", "/a b:c", "/...", "/\u{e9}"] {
            assert!(valid(good), "{good:?}");
        }
        for bad in [
            "",
            "a",
            "a/b",
            "/a/",
            "//",
            "/a//b",
            "/.",
            "/a/..",
            "/a/./b",
            "/\0",
            "/a\u{1f}",
            "/\u{7f}",
            "/\u{85}",
            "/\u{e000}",
            "/\u{fffd}",
            "/\u{1f600}",
        ] {
            assert!(!valid(bad), "{bad:?}");
        }
    }

    #[test]
    fn ancestors_end_with_the_root() {
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(ancestors("/").count(), 0);
        assert_eq!(ancestors("").count(), 0);
    }
}
