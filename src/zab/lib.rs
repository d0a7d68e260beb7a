//! Leader election and atomic broadcast (Zab 1.0), without IO: what a server says to its peers,
//! and which transactions are committed.
//!
//! It replicates payloads that it does not read, but for the configurations in them. It does not
//! know the tree, sessions, clients, files, sockets, threads or clocks.
//!
//! Entry point: [`Zab`], with the contract in [`io`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod common;
pub mod config;
pub mod counts;
pub mod election;
mod feed;
pub mod history;
pub mod ids;
pub mod io;
mod leader;
mod learner;
pub mod limits;
mod observer_master;
pub mod quorum;
pub mod rules;
pub mod view;
mod zab;

pub use config::Settings;
pub use counts::Counts;
pub use history::History;
pub use ids::{JobId, LinkId, Now, Sid, Zxid};
pub use leader::plan;
pub use view::View;
pub use zab::{Learners, Recovered, Status, Zab};
