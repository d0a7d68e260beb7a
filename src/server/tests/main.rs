//! The server over real sockets: limits, throttles, faults, the operator's words and metrics, and
//! the command line.
//!
//! One binary, for each one links RocksDB. Tests start a server of their own in this process, on a
//! free port and an empty folder, and talk to it byte by byte. None sleeps: each awaits a reply, the
//! end of a connection, or a counter, within [`harness::BOUND`].

mod documents;
mod ensemble;
mod faults;
mod harness;
mod limits;
mod log;
mod metrics;
mod peers;
mod roles;
mod startup;
mod store;
mod throttles;
mod words;
