//! Stories of ensembles whose members are Apache ZooKeeper and this project's server in any mix.
//!
//! Owns: the network and its cuts (`net`), the members as processes (`process`), the taps on the quorum
//! port (`tap`), peers that follow a script (`actor`), the load with its journal (`client`, `load`), clients of
//! other makes (`foreign`), what must hold at rest (`verify`,
//! `tree`), and the stories themselves (`stage`, `stories`).
//!
//! Does not know: the insides of any server. Invariants: every wait has a bound; what a story claims of
//! a synchronisation is read from the packets, not from the state afterwards.

pub mod actor;
pub mod client;
pub mod foreign;
pub mod limits;
pub mod load;
pub mod net;
pub mod process;
pub mod spec;
pub mod stage;
pub mod stories;
pub mod tap;
pub mod tree;
pub mod verify;
