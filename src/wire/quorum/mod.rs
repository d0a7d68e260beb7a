//! What servers of one ensemble say to each other: on the election port frames with a length, on
//! the quorum port packets without one, and in between, after a SNAP, a tree.
//!
//! Owns: the layouts. Does not know: sockets, who may say what when, what a vote or a proposal
//! means.
//!
//! Invariants: nothing here panics on what a peer sends, or allocates more than it sent. What a
//! peer cannot be told apart by (null and empty) is kept apart.

pub mod body;
pub mod config;
pub mod hello;
pub mod notification;
pub mod packet;
mod scan;
pub mod snap;
