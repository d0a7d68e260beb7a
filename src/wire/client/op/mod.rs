//! Bodies of requests and replies, by operation. Operations without a body (ping, whoAmI's request,
//! closeSession, most void replies) have none here.

mod acl;
mod auth;
mod check;
mod children;
mod create;
mod data;
mod delete;
mod path;
mod reconfig;
mod watch;

pub use acl::{AclResponse, SetAclRequest};
pub use auth::{AuthPacket, ClientInfo, SaslRequest, SaslResponse, WhoAmIResponse};
pub use check::CheckRequest;
pub use children::{
    Children2Response, ChildrenResponse, CountResponse, EphemeralsResponse, PrefixRequest,
};
pub use create::{Create2Response, CreateRequest, CreateTtlRequest};
pub use data::{DataResponse, SetDataRequest, StatResponse};
pub use delete::DeleteRequest;
pub use path::{PathRequest, PathResponse, PathWatchRequest};
pub use reconfig::{ReconfigRequest, ReconfigResponse};
pub use watch::{
    AddWatchRequest, SYNC_CONNECTED, SetWatches, SetWatches2, WatcherEvent, WatchesRequest, event,
};
