//! Dates as Java prints them.
//!
//! Owns: the form of `java.util.Date.toString`. Does not read a clock.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The time zone that dates are printed in.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// UTC.
    pub fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// The zone of this machine (TZ, else /etc/localtime), else UTC.
    pub fn local() -> Zone {
        Zone(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    /// A zone of the database by its name, such as `Europe/Berlin`; `None` if it is unknown.
    pub fn named(name: &str) -> Option<Zone> {
        TimeZone::get(name).ok().map(Zone)
    }
}

/// `Tue Nov 24 08:34:14 UTC 2026`, of milliseconds since 1970. A time that no calendar holds is
/// printed as its number.
pub fn java_date(epoch_ms: i64, zone: &Zone) -> String {
    match Timestamp::from_millisecond(epoch_ms) {
        Ok(time) => time
            .to_zoned(zone.0.clone())
            .strftime("%a %b %d %H:%M:%S %Z %Y")
            .to_string(),
        Err(_) => epoch_ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_javas_form() {
        let utc = Zone::utc();
        assert_eq!(
            java_date(1_795_509_254_000, &utc),
            "Tue Nov 24 08:34:14 UTC 2026"
        );
        assert_eq!(java_date(0, &utc), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(
            java_date(951_782_399_999, &utc),
            "Mon Feb 28 23:59:59 UTC 2000"
        );
        assert_eq!(java_date(i64::MAX, &utc), "9223372036854775807");
    }
}
