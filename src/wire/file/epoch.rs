//! `acceptedEpoch` and `currentEpoch`: a decimal number in ASCII, no newline.

use alloc::string::{String, ToString};
use core::fmt;

/// The content of an epoch file.
pub fn render(epoch: i64) -> String {
    epoch.to_string()
}

/// An epoch file does not hold a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochError;

impl fmt::Display for EpochError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the first line is not a decimal number")
    }
}

impl core::error::Error for EpochError {}

/// Reads an epoch file. As in Java the first line counts, and nothing in it is trimmed.
///
/// # Errors
/// [`EpochError`].
pub fn parse(content: &[u8]) -> Result<i64, EpochError> {
    let line = content
        .split(|b| matches!(b, b'\n' | b'\r'))
        .next()
        .unwrap_or_default();
    core::str::from_utf8(line)
        .ok()
        .and_then(|line| line.parse().ok())
        .ok_or(EpochError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_is_an_epoch() {
        assert_eq!(render(12), "12");
        for (content, epoch) in [("0", 0), ("12", 12), ("+3", 3), ("7\n", 7), ("7\r\nx", 7)] {
            assert_eq!(parse(content.as_bytes()), Ok(epoch), "{content:?}");
        }
        for content in [
            "",
            "\n1",
            " 1",
            "1 ",
            "x",
            "0x1",
            "9223372036854775808",
            "\u{e9}",
        ] {
            assert_eq!(parse(content.as_bytes()), Err(EpochError), "{content:?}");
        }
        assert_eq!(parse(&[0xff]), Err(EpochError));
    }
}
