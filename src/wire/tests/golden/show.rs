//! Prints records as the generator's `TextArchive` does: a line for each field.

use jute::{Buf, List, Str};

/// Something that prints itself under a name, which may be empty.
pub trait Show {
    /// Prints.
    fn show(&self, name: &str, p: &mut Printer);
}

/// Collects lines.
#[derive(Default)]
pub struct Printer {
    out: String,
}

impl Printer {
    /// All lines of a value.
    pub fn print(value: &impl Show, name: &str) -> String {
        let mut p = Printer::default();
        value.show(name, &mut p);
        p.out
    }

    /// One line.
    pub fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        self.out += &format!("{name} = {value}\n");
    }

    /// The lines so far.
    pub fn finish(self) -> String {
        self.out
    }
}

/// The name of a field in something that has a name.
pub fn join(name: &str, field: &str) -> String {
    if name.is_empty() {
        field.to_string()
    } else {
        format!("{name}.{field}")
    }
}

/// A quoted string: every UTF-16 unit that is not printable ASCII as `\uXXXX`.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => quoted.extend(['\\', char::from(byte)]),
            Ok(byte @ 0x20..=0x7e) => quoted.push(char::from(byte)),
            _ => quoted += &format!("\\u{unit:04x}"),
        }
    }
    quoted + "\""
}

/// The reverse of [`quote`].
pub fn unquote(quoted: &str) -> String {
    let inner = quoted
        .strip_prefix('"')
        .and_then(|q| q.strip_suffix('"'))
        .expect(quoted);
    let mut units = Vec::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        units.push(match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('u')) => {
                let digits: String = chars.by_ref().take(4).collect();
                u16::from_str_radix(&digits, 16).unwrap()
            }
            ('\\', Some(c)) | (c, _) => u16::try_from(u32::from(c)).unwrap(),
        });
    }
    String::from_utf16(&units).unwrap()
}

/// A buffer in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::from("hex:"), |hex, b| hex + &format!("{b:02x}"))
}

macro_rules! show_plainly {
    ($($t:ty),*) => {$(
        impl Show for $t {
            fn show(&self, name: &str, p: &mut Printer) {
                p.line(name, self);
            }
        }
    )*};
}
show_plainly!(i32, i64, bool);

impl Show for Str<'_> {
    fn show(&self, name: &str, p: &mut Printer) {
        p.line(name, self.as_deref().map_or("null".into(), quote));
    }
}

impl Show for Buf<'_> {
    fn show(&self, name: &str, p: &mut Printer) {
        p.line(name, self.map_or("null".into(), hex));
    }
}

impl<T: Show> Show for List<T> {
    fn show(&self, name: &str, p: &mut Printer) {
        let Some(items) = self else {
            return p.line(name, "null");
        };
        p.line(&format!("{name}.count"), items.len());
        for (i, item) in items.iter().enumerate() {
            item.show(&format!("{name}[{i}]"), p);
        }
    }
}

/// How records print: each field, in order, under Java's name.
#[macro_export]
macro_rules! show {
    ($($record:ty { $($field:ident $java:literal),* $(,)? })*) => {$(
        impl $crate::show::Show for $record {
            fn show(&self, name: &str, p: &mut $crate::show::Printer) {
                $(self.$field.show(&$crate::show::join(name, $java), p);)*
            }
        }
    )*};
}
