//! A cursor over bytes that came from elsewhere.

use alloc::vec::Vec;

use crate::{Buf, Decode, Error, List, MAX_LENGTH, Str, decode_text};

/// A cursor over an input that nobody vouches for. After an error its position is unspecified;
/// the input is to be given up.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Offset just behind the input, so that `end - rest.len()` is the position.
    end: usize,
    max_field: usize,
}

impl<'a> Reader<'a> {
    /// Reads `input`; a string or buffer may be as long as the input is.
    pub fn new(input: &'a [u8]) -> Self {
        Self::with_limit(input, MAX_LENGTH)
    }

    /// Reads `input`; a string or buffer longer than `max_field` bytes is an
    /// [`Error::Length`]. In Java this limit is `jute.maxbuffer` plus
    /// `zookeeper.jute.maxbuffer.extrasize`.
    pub fn with_limit(input: &'a [u8], max_field: usize) -> Self {
        Reader {
            rest: input,
            end: input.len(),
            max_field: max_field.min(MAX_LENGTH),
        }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Offset of the next byte.
    pub fn position(&self) -> usize {
        self.end - self.rest.len()
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Error::Eof`] when there are fewer.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Error> {
        match self.rest.split_at_checked(count) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(self.eof(count)),
        }
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Error::Eof`] when there are fewer.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(*head)
            }
            None => Err(self.eof(N)),
        }
    }

    /// A buffer field.
    ///
    /// # Errors
    /// [`Error::Length`] for a length below -1 or above the limit, [`Error::Eof`].
    pub fn buffer(&mut self) -> Result<Buf<'a>, Error> {
        let at = self.position();
        let length = i32::from_be_bytes(self.array()?);
        if length == -1 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(count) if count <= self.max_field => self.bytes(count).map(Some),
            _ => Err(Error::Length { at, length }),
        }
    }

    /// A string field. Malformed UTF-8 becomes U+FFFD exactly as in Java.
    ///
    /// # Errors
    /// As [`buffer`](Self::buffer).
    pub fn string(&mut self) -> Result<Str<'a>, Error> {
        Ok(self.buffer()?.map(decode_text))
    }

    /// A vector field. Never reserves more than the bytes at hand can hold.
    ///
    /// # Errors
    /// Those of the elements; [`Error::Eof`] at once when the count cannot fit the input.
    pub fn list<T: Decode<'a>>(&mut self) -> Result<List<T>, Error> {
        const {
            assert!(
                T::MIN > 0,
                "an element without bytes would make a count unbounded"
            )
        };
        let count = i32::from_be_bytes(self.array()?);
        if count == -1 {
            return Ok(None);
        }
        let count = usize::try_from(count).unwrap_or(0);
        if count > self.remaining() / T::MIN {
            return Err(self.eof(count.saturating_mul(T::MIN)));
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(T::decode(self)?);
        }
        Ok(Some(items))
    }

    /// A buffer field as a reader of its own, with the same limit; its positions go on counting
    /// from the start of the outermost input. `None` for a null buffer.
    ///
    /// # Errors
    /// As [`buffer`](Self::buffer).
    pub fn nested(&mut self) -> Result<Option<Reader<'a>>, Error> {
        let inner = self.buffer()?;
        let end = self.position();
        Ok(inner.map(|rest| Reader {
            rest,
            end,
            max_field: self.max_field,
        }))
    }

    fn eof(&self, want: usize) -> Error {
        Error::Eof {
            at: self.position(),
            need: want - self.rest.len().min(want),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::Cow;
    use alloc::vec;

    use super::*;

    #[test]
    fn null_and_empty_differ() {
        let mut r = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(r.buffer(), Ok(None));
        assert_eq!(r.buffer(), Ok(Some(&[][..])));
        let mut r = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(r.string(), Ok(None));
        assert_eq!(r.string(), Ok(Some(Cow::Borrowed(""))));
        let mut r = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(r.list::<i32>(), Ok(None));
        assert_eq!(r.list::<i32>(), Ok(Some(vec![])));
    }

    /// Java reads a count below -1 as no elements, but refuses such a length.
    #[test]
    fn below_null() {
        let bytes = [0xff, 0xff, 0xff, 0xfe, 1];
        let mut r = Reader::new(&bytes);
        assert_eq!(r.list::<i32>(), Ok(Some(vec![])));
        assert_eq!(r.remaining(), 1);
        assert_eq!(
            Reader::new(&bytes).buffer(),
            Err(Error::Length { at: 0, length: -2 })
        );
    }

    #[test]
    fn a_limit_holds_for_strings_and_buffers_but_not_for_vectors() {
        let bytes = [0, 0, 0, 3, 1, 2, 3];
        assert_eq!(
            Reader::with_limit(&bytes, 3).buffer(),
            Ok(Some(&[1, 2, 3][..]))
        );
        let over = Err(Error::Length { at: 0, length: 3 });
        assert_eq!(Reader::with_limit(&bytes, 2).buffer(), over);
        assert_eq!(Reader::with_limit(&bytes, 2).string().map(|_| None), over);
        assert_eq!(
            Reader::with_limit(&bytes, 2).list::<u8>(),
            Ok(Some(vec![1, 2, 3]))
        );
    }

    /// The limit is looked at before the bytes are: what is too long is not asked for.
    #[test]
    fn a_length_is_no_promise() {
        let bytes = [0x7f, 0xff, 0xff, 0xff, 1, 2];
        let need = 0x7fff_ffff - 2;
        assert_eq!(
            Reader::new(&bytes).buffer(),
            Err(Error::Eof { at: 4, need })
        );
        assert_eq!(
            Reader::with_limit(&bytes, 100).buffer(),
            Err(Error::Length {
                at: 0,
                length: i32::MAX
            })
        );
        assert_eq!(
            Reader::new(&bytes).list::<u8>(),
            Err(Error::Eof { at: 4, need })
        );
    }

    #[test]
    fn positions_count_from_the_start() {
        let bytes = [7, 0, 0, 0, 2, 8, 9, 10];
        let mut r = Reader::new(&bytes);
        assert_eq!(r.array(), Ok([7]));
        let mut inner = r.nested().unwrap().unwrap();
        assert_eq!((r.position(), r.rest()), (7, &[10][..]));
        assert_eq!(inner.position(), 5);
        assert_eq!(inner.bytes(1), Ok(&[8][..]));
        assert_eq!(inner.array::<4>(), Err(Error::Eof { at: 6, need: 3 }));
    }
}
