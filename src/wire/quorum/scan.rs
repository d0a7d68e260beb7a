//! Where a list ends that arrives piece by piece.
//!
//! Owns: finding the end of a list of entries that each are some bytes and two fields with a
//! length. Does not know: what they mean.
//!
//! Invariants: a byte is looked at once, however many pieces it takes until the list is whole;
//! nothing is allocated.

/// What is known of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// All of it is there; this is where it ends.
    End(usize),
    /// There must be this many bytes of input before there is more to say.
    Need(usize),
    /// A field has a length below -1 or above the limit, or makes the list longer than its own.
    Bad {
        /// Where that length is.
        at: usize,
        /// The length.
        length: i32,
    },
}

/// Fields with a length in an entry.
const FIELDS: u8 = 2;

/// How far a list was looked at. Offsets are from the front of the input, which has to begin
/// with the same bytes each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListScan {
    /// Where the list's first entry begins.
    start: usize,
    /// Where what was not looked at begins; may be behind what is there.
    at: usize,
    /// Entries that are not known to their end.
    entries: usize,
    /// Fields left of the first of these.
    fields: u8,
    /// Bytes in front of the fields of an entry.
    fixed: usize,
}

impl ListScan {
    /// A list of this many entries from `start` on, each with `fixed` bytes in front of its two
    /// fields. As in Java a negative count is none.
    pub(crate) fn new(start: usize, count: i32, fixed: usize) -> Self {
        ListScan {
            start,
            at: start,
            entries: usize::try_from(count).unwrap_or(0),
            fields: FIELDS,
            fixed,
        }
    }

    /// Goes on to the end of the list. A field may have `max_field` bytes, the list `max_list`.
    pub(crate) fn next(&mut self, input: &[u8], max_field: usize, max_list: usize) -> Scanned {
        while self.entries > 0 {
            let at = match self.fields {
                FIELDS => self.at + self.fixed,
                _ => self.at,
            };
            let Some(prefix) = input.get(at..).and_then(<[u8]>::first_chunk::<4>) else {
                return Scanned::Need(at + 4);
            };
            let length = i32::from_be_bytes(*prefix);
            let bytes = match usize::try_from(length) {
                Ok(bytes) if bytes <= max_field => bytes,
                Err(_) if length == -1 => 0,
                _ => return Scanned::Bad { at, length },
            };
            self.at = at + 4 + bytes;
            if self.at - self.start > max_list {
                return Scanned::Bad { at, length };
            }
            self.fields -= 1;
            if self.fields == 0 {
                self.fields = FIELDS;
                self.entries -= 1;
            }
        }
        if self.at > input.len() {
            return Scanned::Need(self.at);
        }
        Scanned::End(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two bytes, a field of one byte, a null field; twice.
    const LIST: [u8; 24] = [
        9, 9, 0, 0, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff, 8, 8, 0, 0, 0, 0, 0, 0, 0, 2, b'b', b'c', 7,
    ];

    #[test]
    fn the_end_is_found_in_any_pieces() {
        let mut scan = ListScan::new(0, 2, 2);
        assert_eq!(scan.next(&LIST, 2, 100), Scanned::End(23));
        let mut scan = ListScan::new(0, 2, 2);
        for end in 0..23 {
            let Scanned::Need(need) = scan.next(&LIST[..end], 2, 100) else {
                panic!("whole at {end}");
            };
            assert!(need > end && need <= 23, "{end} {need}");
        }
        assert_eq!(scan.next(&LIST, 2, 100), Scanned::End(23));
    }

    #[test]
    fn lengths_are_bounded() {
        let bad = |at, length| Scanned::Bad { at, length };
        assert_eq!(ListScan::new(0, 2, 2).next(&LIST, 1, 100), bad(17, 2));
        assert_eq!(ListScan::new(0, 2, 2).next(&LIST, 2, 22), bad(17, 2));
        assert_eq!(ListScan::new(0, 2, 2).next(&LIST, 2, 23), Scanned::End(23));
        let below = [0xff, 0xff, 0xff, 0xfe];
        assert_eq!(ListScan::new(0, 1, 0).next(&below, 9, 100), bad(0, -2));
    }

    #[test]
    fn a_count_costs_nothing() {
        let mut scan = ListScan::new(4, i32::MAX, 0);
        assert_eq!(scan.next(&[0; 12], 9, 100), Scanned::Need(16));
        for count in [0, -1, i32::MIN] {
            assert_eq!(
                ListScan::new(4, count, 0).next(&[0; 9], 9, 9),
                Scanned::End(4)
            );
        }
    }
}
