//! What election ports carry: the first message, and notifications.
#![no_main]

use jute_fuzz::bounded;
use libfuzzer_sys::fuzz_target;
use zk_wire::quorum::hello::{self, Hello, HelloVersion};
use zk_wire::quorum::notification::{Notification, VERSION, frame_length};

fuzz_target!(|data: &[u8]| {
    if let Ok(notification) = bounded(data.len(), || Notification::decode(data)) {
        let bytes = notification.encode();
        let back = Notification::decode(&bytes).expect("what was encoded");
        let now = Notification {
            version: VERSION,
            config: Some(notification.config.clone().unwrap_or_default()),
            ..notification
        };
        assert_eq!(back, now);
    }
    if let Some(prefix) = data.first_chunk::<4>()
        && let Ok(length) = frame_length(*prefix)
    {
        assert!((1..=512 << 10).contains(&length));
    }
    first(data);
});

fn first(data: &[u8]) {
    let Ok(Some((hello, taken))) = bounded(data.len(), || Hello::decode(data)) else {
        return;
    };
    assert!(taken <= data.len());
    for end in 0..taken {
        assert_eq!(Hello::decode(&data[..end]), Ok(None));
    }
    let multi = match hello.version {
        HelloVersion::Bare => return assert!(hello.addresses.is_empty()),
        HelloVersion::V1 => false,
        HelloVersion::V2 => true,
    };
    // Malformed text is longer once it is replaced; a `]` within brackets does not come back.
    let odd = |(host, _): &(String, u16)| host.contains([char::REPLACEMENT_CHARACTER, '[', ']']);
    if hello.addresses.is_empty() || hello.addresses.iter().any(odd) {
        return;
    }
    let bytes = hello::encode(hello.sid, &hello.addresses, multi);
    let (back, _) = Hello::decode(&bytes)
        .expect("what was encoded")
        .expect("all of it");
    assert_eq!(back.sid, hello.sid);
    let count = if multi { hello.addresses.len() } else { 1 };
    assert_eq!(back.addresses, hello.addresses[..count]);
}
