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
