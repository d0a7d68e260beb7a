//! The `record!` macro.

/// Declares records whose encoding is their fields, one after the other, in the order written.
/// Gives each `Debug`, `Clone`, `PartialEq`, `Eq`, `Default`, [`Decode`](crate::Decode) and
/// [`Encode`](crate::Encode). The lifetime is optional.
#[macro_export]
macro_rules! record {
    () => {};
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident<$life:lifetime> {
            $($(#[$fmeta:meta])* $fvis:vis $field:ident : $ty:ty),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        $vis struct $name<$life> {
            $($(#[$fmeta])* $fvis $field: $ty,)*
        }
        impl<$life> $crate::Decode<$life> for $name<$life> {
            const MIN: usize = 0 $(+ <$ty as $crate::Decode<$life>>::MIN)*;
            fn decode(r: &mut $crate::Reader<$life>) -> ::core::result::Result<Self, $crate::Error> {
                ::core::result::Result::Ok(Self {
                    $($field: <$ty as $crate::Decode<$life>>::decode(r)?,)*
                })
            }
        }
        $crate::record!(@encode [$name<'_>] $($field)*);
        $crate::record!($($rest)*);
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$fmeta:meta])* $fvis:vis $field:ident : $ty:ty),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        $vis struct $name {
            $($(#[$fmeta])* $fvis $field: $ty,)*
        }
        impl<'input> $crate::Decode<'input> for $name {
            const MIN: usize = 0 $(+ <$ty as $crate::Decode<'input>>::MIN)*;
            fn decode(r: &mut $crate::Reader<'input>) -> ::core::result::Result<Self, $crate::Error> {
                ::core::result::Result::Ok(Self {
                    $($field: <$ty as $crate::Decode<'input>>::decode(r)?,)*
                })
            }
        }
        $crate::record!(@encode [$name] $($field)*);
        $crate::record!($($rest)*);
    };
    (@encode [$name:ty] $($field:ident)*) => {
        impl $crate::Encode for $name {
            fn size(&self) -> usize {
                0 $(+ $crate::Encode::size(&self.$field))*
            }
            fn encode(&self, out: &mut $crate::__private::Vec<u8>) {
                $($crate::Encode::encode(&self.$field, out);)*
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use crate::{Buf, Decode, Encode, Error, List, Reader, Str};

    record! {
        #[derive(Copy)]
        struct Fixed {
            flag: bool,
            number: i64,
        }

        struct Nested<'a> {
            name: Str<'a>,
            data: Buf<'a>,
            parts: List<Fixed>,
            tail: Fixed,
        }
    }

    #[test]
    fn fields_follow_each_other() {
        let tail = Fixed {
            flag: true,
            number: -1,
        };
        let value = Nested {
            name: Some("ü".into()),
            data: None,
            parts: Some(vec![tail, tail]),
            tail,
        };
        let bytes = value.to_vec();
        assert_eq!(bytes.len(), value.size());
        assert_eq!(bytes.capacity(), bytes.len());
        assert_eq!(
            bytes[..10],
            [0, 0, 0, 2, 0xc3, 0xbc, 0xff, 0xff, 0xff, 0xff]
        );
        assert_eq!(Nested::decode(&mut Reader::new(&bytes)), Ok(value));
    }

    #[test]
    fn the_least_size_is_known() {
        assert_eq!(Fixed::MIN, 9);
        assert_eq!(Nested::MIN, 4 + 4 + 4 + 9);
        assert_eq!(Nested::default().to_vec().len(), Nested::MIN);
    }

    /// A count that cannot fit is refused before anything is decoded.
    #[test]
    fn a_count_is_compared_with_the_bytes() {
        let bytes = [0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let result = List::<Fixed>::decode(&mut Reader::new(&bytes));
        assert_eq!(result, Err(Error::Eof { at: 4, need: 9 }));
    }

    #[test]
    fn any_byte_but_zero_is_true() {
        assert_eq!(bool::decode(&mut Reader::new(&[2])), Ok(true));
        assert_eq!(bool::decode(&mut Reader::new(&[0])), Ok(false));
        assert_eq!(true.to_vec(), [1]);
    }
}
