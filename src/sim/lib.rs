//! The simulator: one server from a seed, with everything around it that could go wrong.
//!
//! The server's core and its durable side are the real ones. What is simulated: the clients
//! ([`client`], [`workload`]), the threads between them as single events in any order
//! ([`server`]), the disk and the store (zk-disk's models, which forget what was not synced or
//! flushed), both clocks, and the order in which things happen ([`world`]). A run is its seed
//! ([`plan`], [`dice`]) and nothing else: twice the same seed is twice the same trace.
//!
//! Checked all along by the judge ([`check`]) against a plain model ([`model`]): replies equal to
//! the model's to the byte, one after the other in the order of the requests; reads between their
//! own session's writes; each event before any reply that shows what it tells; sessions that
//! expire when they must and not before; nothing lost after a crash of which a client was told;
//! tree, log and store of one mind.
//!
//! It does not know sockets, threads, files, real time or RocksDB. Memory is not evicted by the
//! core yet: "forced eviction" is a start whose rows come late and in the worst order.
//!
//! [`script`] runs the same server by hand, for scenarios that are read as text.

pub mod check;
pub mod client;
pub mod cluster;
pub mod coverage;
pub mod dice;
pub mod limits;
pub mod model;
pub mod plan;
mod post;
pub mod run;
pub mod script;

pub mod server;
pub mod show;
pub mod trace;
pub mod workload;
pub mod world;
