//! The deterministic core of a ZooKeeper server: the data tree, sessions, watches, access
//! control, the preparation of writes and their application, and the replies.
//!
//! It does not know files, sockets, threads, clocks, random sources or the store: time, loaded
//! rows and the durability of the log are inputs, what it wants done are effects. Given the same
//! inputs it does the same, byte for byte, in production and under the simulator.
//!
//! Entry points: [`Node`] (the only writer: `step` prepares, `apply` changes the tree),
//! [`Conn`] (one client connection without its socket), [`tree::Tree`], [`watch::Watches`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod acl;
pub mod auth;
pub mod config;
pub mod conn;
pub mod hash;
pub mod ids;
pub mod io;
pub mod limits;
pub mod node;
pub mod op;
pub mod owner;
pub mod path;
pub mod peer;
pub mod pending;
pub mod quota;
pub mod session;
pub mod tally;
pub mod tree;
pub mod watch;

pub use config::Config;
pub use conn::Conn;
pub use ids::{ConnId, Now, SessionId, Zxid};
pub use node::Node;
pub use peer::Peer;
