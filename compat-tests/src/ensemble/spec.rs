//! Who sits where: the members of an ensemble, and the text that names them on the command line.
//!
//! Owns: [`Kind`], [`Seat`]. Does not know: processes, addresses.

use std::fmt;

/// What a member runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Apache ZooKeeper of this version.
    Java(String),
    /// The binary under test.
    Zabkeeper,
}

/// The version that `J` alone means.
pub const JAVA: &str = "3.9.5";

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Java(version) => write!(f, "Java {version}"),
            Kind::Zabkeeper => f.write_str("zabkeeper"),
        }
    }
}

impl Kind {
    /// Reads `Z`, `J` or `J3.8.4`.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Kind, String> {
        match text.split_at_checked(1) {
            Some(("Z", "")) => Ok(Kind::Zabkeeper),
            Some(("J", "")) => Ok(Kind::Java(JAVA.into())),
            Some(("J", version))
                if version.split('.').count() == 3
                    && version.split('.').all(|part| {
                        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
                    }) =>
            {
                Ok(Kind::Java(version.into()))
            }
            _ => Err(format!("{text:?} is neither Z, J nor J with a version")),
        }
    }
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// `myid`, from 1.
    pub id: u8,
    /// What it runs.
    pub kind: Kind,
    /// Whether it is an observer.
    pub observer: bool,
}

/// Reads a list such as `J,J3.8.4,Z,Zo`: a trailing `o` makes an observer; ids count from 1.
///
/// # Errors
/// An unknown kind, or too many.
pub fn parse(text: &str) -> Result<Vec<Seat>, String> {
    let seats: Result<Vec<Seat>, String> = text
        .split(',')
        .zip(1..)
        .map(|(word, id)| {
            let (word, observer) = match word.strip_suffix('o') {
                Some(word) => (word, true),
                None => (word, false),
            };
            Ok(Seat {
                id,
                kind: Kind::parse(word)?,
                observer,
            })
        })
        .collect();
    let seats = seats?;
    if seats.len() > 16 {
        return Err("more than 16 members".into());
    }
    Ok(seats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        let seats = parse("J,J3.8.4,Z,Zo").unwrap();
        assert_eq!(seats.len(), 4);
        assert_eq!(seats[0].kind, Kind::Java("3.9.5".into()));
        assert_eq!(seats[1].kind, Kind::Java("3.8.4".into()));
        assert_eq!(seats[2].kind, Kind::Zabkeeper);
        assert!(seats[3].observer && !seats[2].observer);
        assert_eq!(seats[3].id, 4);
        for bad in ["", "X", "J3", "J3.8", "J3..4", "Jo,", "Z3.9.5"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
