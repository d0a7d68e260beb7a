//! Paths: parents, and what makes one legal.

/// The parent of a path with a slash: the text before the last one, the root's written `/`.
pub fn parent(path: &str) -> Option<&str> {
    let at = path.rfind('/')?;
    Some(if at == 0 { "/" } else { &path[..at] })
}

/// Whether a path is legal in full, over UTF-16 units.
pub fn valid(path: &str) -> bool {
    let units: Vec<u16> = path.encode_utf16().collect();
    if units.first() != Some(&u16::from(b'/')) {
        return false;
    }
    if units.len() == 1 {
        return true;
    }
    if units.last() == Some(&u16::from(b'/')) {
        return false;
    }
    let bad = |unit: u16| {
        (..=0x1f).contains(&unit)
            || (0x7f..=0x9f).contains(&unit)
            || (0xd800..=0xf8ff).contains(&unit)
            || (0xfff0..).contains(&unit)
    };
    if units.iter().any(|unit| bad(*unit)) {
        return false;
    }
    path.split('/')
        .skip(1)
        .all(|name| !matches!(name, "" | "." | ".."))
}
