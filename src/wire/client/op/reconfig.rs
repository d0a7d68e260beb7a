//! reconfig.

use jute::{Buf, Str, record};

use crate::stat::Stat;

record! {
    /// reconfig. Either `joining` and `leaving` (incremental) or `new_members` is given.
    pub struct ReconfigRequest<'a> {
        /// Servers to add or change, as `server.N=` lines.
        pub joining: Str<'a>,
        /// Ids of servers to remove, comma separated.
        pub leaving: Str<'a>,
        /// The whole new list; null for an incremental change.
        pub new_members: Str<'a>,
        /// The configuration version expected; -1 for any.
        pub config_id: i64,
    }

    /// reconfig: the configuration node, as getData shows it.
    pub struct ReconfigResponse<'a> {
        /// The new configuration.
        pub data: Buf<'a>,
        /// Of the configuration node.
        pub stat: Stat,
    }
}
