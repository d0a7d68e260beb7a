//! What the operator meets: configuration, four-letter words, metrics and throttles.
//!
//! Owns: the keys of zoo.cfg and their meaning, the texts of the four-letter words, the names and
//! renderings of metrics, and the decisions of the throttles.
//!
//! Does not know: the tree, sessions, sockets, tokio or the store. The server reads the
//! configuration here, records into [`metrics::Metrics`], and fills plain structs for the texts.
//!
//! Invariants: what a script or dashboard parses is Java 3.9.5's, byte by byte but for values;
//! nothing here blocks a request, except that reading the configuration reads files.

pub mod config;
pub mod date;
pub mod four_letter;
pub mod java;
pub mod limits;
pub mod metrics;
pub mod throttle;
