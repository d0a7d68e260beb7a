//! Writes: what each is refused for, in order, and what it does and answers.
//!
//! A write is judged by the state after everything before it, quotas by what is applied. What
//! this server refuses and Java does not (because it stops Java) is marked "poison".

use std::rc::Rc;

use jute::{Decode, Encode, Reader};
use zk_wire::OpCode;
use zk_wire::client::{
    Create2Response, CreateRequest, CreateTtlRequest, DeleteRequest, MultiOp, MultiResult,
    PathRequest, PathResponse, ReconfigRequest, SetAclRequest, SetDataRequest, Stat, StatResponse,
    decode_multi, decode_multi_op, encode_multi_results,
};
use zk_wire::stat::StatPersisted;

use super::access::{self, AclList, Identity, allows, fix_up};
use super::quota;
use super::{CONTAINER, Fired, Kind, Rules, State, TTL_MAX, Znode, parent, ttl_owner, valid};

/// Whether a request makes nodes that its session owns, when all goes well.
pub fn owns(rules: &Rules, op: OpCode, body: &[u8]) -> bool {
    let mut r = Reader::with_limit(body, rules.max_field);
    let flags = match op {
        OpCode::Create | OpCode::Create2 => CreateRequest::decode(&mut r).map(|it| it.flags),
        _ => return false,
    };
    matches!(flags, Ok(1 | 3))
}

/// Under what circumstances a write is judged.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// Settings.
    pub rules: &'a Rules,
    /// What quotas look at.
    pub applied: &'a State,
    /// Who asks.
    pub session: i64,
    /// Whether the session may write: if not, the code of the refusal.
    pub standing: Result<(), i32>,
    /// Whether it may own nodes, if it may write.
    pub owning: Result<(), i32>,
    /// Identities at the receipt.
    pub ids: &'a [Identity],
    /// The transaction's zxid.
    pub zxid: i64,
    /// The transaction's time.
    pub time: i64,
}

/// What a write comes to.
#[derive(Debug)]
pub struct Outcome {
    /// The state afterwards.
    pub state: State,
    /// What watches hear of, in order.
    pub fired: Vec<Fired>,
    /// The transaction's type.
    pub op: OpCode,
    /// The reply's error.
    pub err: i32,
    /// The reply's body.
    pub body: Vec<u8>,
}

/// A failed write: it changes nothing and takes a zxid.
pub fn fail(head: &State, err: i32) -> Outcome {
    Outcome {
        state: head.clone(),
        fired: Vec::new(),
        op: OpCode::Error,
        err,
        body: Vec::new(),
    }
}

/// A session begins.
pub fn create_session(head: &State, session: i64, timeout: i32) -> Outcome {
    let mut state = head.clone();
    state.sessions.insert(session, timeout);
    Outcome {
        state,
        fired: Vec::new(),
        op: OpCode::CreateSession,
        err: 0,
        body: Vec::new(),
    }
}

/// A session ends, and with it what it owns.
pub fn close(head: &State, session: i64, zxid: i64) -> Outcome {
    let mut run = Run {
        state: head.clone(),
        fired: Vec::new(),
    };
    for path in head.ephemerals(session) {
        run.delete(&path, zxid);
    }
    run.state.sessions.remove(&session);
    run.done(OpCode::CloseSession, Vec::new())
}

/// The reaper deletes a node, if it still may.
pub fn reap(head: &State, path: &str, zxid: i64) -> Option<Outcome> {
    let node = head.get(path)?;
    if matches!(node.kind(), Kind::Ephemeral(_)) || !head.children(path).is_empty() {
        return None;
    }
    let mut run = Run {
        state: head.clone(),
        fired: Vec::new(),
    };
    run.delete(path, zxid);
    Some(run.done(OpCode::DeleteContainer, Vec::new()))
}

/// The servers' configuration becomes this text.
pub fn reconfigure(head: &State, text: Option<&[u8]>, zxid: i64, time: i64) -> Option<Outcome> {
    const CONFIG: &str = "/zookeeper/config";
    let mut after = Znode::clone(head.get(CONFIG)?);
    let mut run = Run {
        state: head.clone(),
        fired: Vec::new(),
    };
    after.stat.mzxid = zxid;
    after.stat.mtime = time;
    after.data = text.map(Rc::from);
    let acl = after.acl.clone();
    run.state.put(CONFIG, after);
    run.fired.push(Fired::Changed {
        path: CONFIG.into(),
        acl,
    });
    Some(run.done(OpCode::Reconfig, Vec::new()))
}

/// What a request is answered without a transaction: a sync, and bytes that are no request (Java
/// logs an error for these, which an ensemble stops at: poison). `None` when it becomes one.
pub fn plain(rules: &Rules, op: OpCode, body: &[u8]) -> Option<(i32, Vec<u8>)> {
    fn is<'a, T: Decode<'a>>(mut r: Reader<'a>) -> bool {
        T::decode(&mut r).is_ok()
    }
    let r = Reader::with_limit(body, rules.max_field);
    let decodes = match op {
        OpCode::Sync => {
            let answer = PathRequest::decode(&mut { r });
            return Some(match answer {
                Ok(PathRequest { path }) => (0, PathResponse { path }.to_vec()),
                Err(_) => (-5, Vec::new()),
            });
        }
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => is::<CreateRequest<'_>>(r),
        OpCode::CreateTtl => is::<CreateTtlRequest<'_>>(r),
        OpCode::Delete => is::<DeleteRequest<'_>>(r),
        OpCode::SetData => is::<SetDataRequest<'_>>(r),
        OpCode::SetAcl => is::<SetAclRequest<'_>>(r),
        OpCode::Reconfig => is::<ReconfigRequest<'_>>(r),
        OpCode::Multi => !meets_null_list(r),
        OpCode::CloseSession => true,
        OpCode::Exists
        | OpCode::GetData
        | OpCode::GetAcl
        | OpCode::GetChildren
        | OpCode::GetChildren2
        | OpCode::Ping
        | OpCode::Check
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::DeleteContainer
        | OpCode::MultiRead
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::Sasl
        | OpCode::GetEphemerals
        | OpCode::GetAllChildrenNumber
        | OpCode::AddWatch
        | OpCode::WhoAmI
        | OpCode::CreateSession
        | OpCode::Error => return no_write(op),
    };
    (!decodes).then(|| (-5, Vec::new()))
}

/// Whether what is wrong with a multi first is a create with a null list: Java trips over it, where
/// it refuses all else in good order and takes a zxid.
fn meets_null_list(mut r: Reader<'_>) -> bool {
    let mut reads = None;
    while let Ok(Some(op)) = decode_multi_op(&mut r) {
        if let MultiOp::Create(_, request) = &op {
            match request.flags {
                0..=6 if request.acl.is_none() => return true,
                0..=4 => {}
                _ => return false,
            }
        }
        let read = matches!(op, MultiOp::GetData(_) | MultiOp::GetChildren(_));
        if *reads.get_or_insert(read) != read {
            return false;
        }
    }
    false
}

fn no_write<T>(op: OpCode) -> T {
    panic!("the model was asked to write a {op}")
}

/// A client's write that becomes a transaction.
pub fn write(head: &State, w: &Write<'_>, op: OpCode, body: &[u8]) -> Outcome {
    judge(head, w, op, body).unwrap_or_else(|code| fail(head, code))
}

fn decode<'a, T: Decode<'a>>(r: &mut Reader<'a>) -> Result<T, i32> {
    T::decode(r).map_err(|_| -5)
}

fn judge(head: &State, w: &Write<'_>, op: OpCode, body: &[u8]) -> Result<Outcome, i32> {
    let mut reader = Reader::with_limit(body, w.rules.max_field);
    let r = &mut reader;
    let mut run = Run {
        state: head.clone(),
        fired: Vec::new(),
    };
    let answer = match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
            let (path, stat) = run.create(w, op, decode(r)?, -1)?;
            answer_create(op, path, stat)
        }
        OpCode::CreateTtl => {
            let (request, ttl) = without_ttl(decode(r)?);
            let (path, stat) = run.create(w, op, request, ttl)?;
            answer_create(op, path, stat)
        }
        OpCode::Delete => {
            run.judge_delete(w, &decode(r)?)?;
            Vec::new()
        }
        OpCode::SetData => {
            let path = run.set_data(w, &decode(r)?)?;
            run.answer_stat(&path)
        }
        OpCode::SetAcl => {
            let path = run.set_acl(w, &decode(r)?)?;
            run.answer_stat(&path)
        }
        OpCode::Multi => return multi(head, w, r),
        OpCode::Reconfig => return Err(if w.rules.reconfig { -6 } else { -123 }),
        OpCode::CloseSession => return Ok(close(head, w.session, w.zxid)),
        OpCode::Exists
        | OpCode::GetData
        | OpCode::GetAcl
        | OpCode::GetChildren
        | OpCode::GetChildren2
        | OpCode::Ping
        | OpCode::Check
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::DeleteContainer
        | OpCode::MultiRead
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::Sasl
        | OpCode::GetEphemerals
        | OpCode::GetAllChildrenNumber
        | OpCode::AddWatch
        | OpCode::WhoAmI
        | OpCode::CreateSession
        | OpCode::Error
        | OpCode::Sync => no_write(op),
    };
    Ok(run.done(op, answer))
}

fn without_ttl(request: CreateTtlRequest<'_>) -> (CreateRequest<'_>, i64) {
    let plain = CreateRequest {
        path: request.path,
        data: request.data,
        acl: request.acl,
        flags: request.flags,
    };
    (plain, request.ttl)
}

/// One part of a multi, after the flags have had their say.
enum Part<'a> {
    Create(OpCode, CreateRequest<'a>, i64),
    Delete(DeleteRequest<'a>),
    SetData(SetDataRequest<'a>),
    Check(zk_wire::client::CheckRequest<'a>),
}

fn part(op: MultiOp<'_>) -> Result<Part<'_>, i32> {
    let some = |there: bool| if there { Ok(()) } else { Err(-5) };
    Ok(match op {
        MultiOp::Create(op, request) => {
            some(request.path.is_some())?;
            match request.flags {
                0..=3 => Part::Create(op, request, -1),
                4 => Part::Create(OpCode::CreateContainer, request, -1),
                _ => return Err(-5),
            }
        }
        MultiOp::CreateTtl(request) => {
            some(request.path.is_some())?;
            let (request, ttl) = without_ttl(request);
            match request.flags {
                5 | 6 => Part::Create(OpCode::CreateTtl, request, ttl),
                4 => Part::Create(OpCode::CreateContainer, request, -1),
                _ => Part::Create(OpCode::Create, request, -1),
            }
        }
        MultiOp::Delete(request) => {
            some(request.path.is_some())?;
            Part::Delete(request)
        }
        MultiOp::SetData(request) => {
            some(request.path.is_some())?;
            Part::SetData(request)
        }
        MultiOp::Check(request) => {
            some(request.path.is_some())?;
            Part::Check(request)
        }
        MultiOp::GetData(_) | MultiOp::GetChildren(_) => return Err(-5),
    })
}

fn multi(head: &State, w: &Write<'_>, r: &mut Reader<'_>) -> Result<Outcome, i32> {
    let ops = decode_multi(r).map_err(|_| -5)?;
    let parts: Vec<Part<'_>> = ops.into_iter().map(part).collect::<Result<_, i32>>()?;
    let count = parts.len();
    let mut run = Run {
        state: head.clone(),
        fired: Vec::new(),
    };
    // Whole results, encoded one by one: a stat is that of its moment.
    let mut results: Vec<MultiResult<'static>> = Vec::new();
    for (at, part) in parts.into_iter().enumerate() {
        let result = match part {
            Part::Create(op, request, ttl) => {
                run.create(w, op, request, ttl).map(|(path, stat)| {
                    let path = Some(path.into());
                    if op == OpCode::Create {
                        MultiResult::Create(PathResponse { path })
                    } else {
                        MultiResult::Create2(Create2Response { path, stat })
                    }
                })
            }
            Part::Delete(request) => run.judge_delete(w, &request).map(|()| MultiResult::Delete),
            Part::SetData(request) => run.set_data(w, &request).map(|path| {
                MultiResult::SetData(StatResponse {
                    stat: run.stat(&path),
                })
            }),
            Part::Check(request) => check(&run.state, w, &request).map(|()| MultiResult::Check),
        };
        match result {
            Ok(result) => results.push(result),
            // An exception in Java, which fails the request as a whole.
            Err(-5) => return Err(-5),
            Err(code) => {
                let code_at = |n: usize| match n.cmp(&at) {
                    std::cmp::Ordering::Less => 0,
                    std::cmp::Ordering::Equal => code,
                    std::cmp::Ordering::Greater => -2,
                };
                results = (0..count).map(|n| MultiResult::Error(code_at(n))).collect();
                run = Run {
                    state: head.clone(),
                    fired: Vec::new(),
                };
                break;
            }
        }
    }
    let mut body = Vec::new();
    encode_multi_results(&results, &mut body);
    Ok(run.done(OpCode::Multi, body))
}

fn version(found: i32, expected: i32) -> Result<i32, i32> {
    if expected == -1 || expected == found {
        Ok(found.wrapping_add(1))
    } else {
        Err(-103)
    }
}

fn access(w: &Write<'_>, node: &Znode, wanted: i32) -> Result<(), i32> {
    if allows(&node.acl, wanted, w.ids) {
        Ok(())
    } else {
        Err(-102)
    }
}

fn full_path<'a>(path: &'a jute::Str<'_>) -> Result<&'a str, i32> {
    match path.as_deref() {
        Some(path) if valid(path) => Ok(path),
        _ => Err(-8),
    }
}

fn node<'a>(state: &'a State, path: &str) -> Result<&'a Rc<Znode>, i32> {
    state.get(path).ok_or(-101)
}

/// Poison: names that stop a Java server when it applies the transaction.
fn poison(path: &str) -> bool {
    let above = &path[..path.rfind('/').unwrap_or(0)];
    path.rsplit('/').next() == Some(quota::LIMITS)
        && above.starts_with("/zookeeper")
        && above.len() <= quota::QUOTA.len()
}

fn check(
    state: &State,
    w: &Write<'_>,
    request: &zk_wire::client::CheckRequest<'_>,
) -> Result<(), i32> {
    w.standing?;
    let node = node(state, full_path(&request.path)?)?;
    access(w, node, access::READ)?;
    version(node.stat.version, request.version).map(|_| ())
}

fn answer_create(op: OpCode, path: String, stat: Stat) -> Vec<u8> {
    let path = Some(path.into());
    if op == OpCode::Create {
        PathResponse { path }.to_vec()
    } else {
        Create2Response { path, stat }.to_vec()
    }
}

/// A write under way: what has been done so far.
struct Run {
    state: State,
    fired: Vec<Fired>,
}

impl Run {
    fn done(self, op: OpCode, body: Vec<u8>) -> Outcome {
        Outcome {
            state: self.state,
            fired: self.fired,
            op,
            err: 0,
            body,
        }
    }

    fn stat(&self, path: &str) -> Stat {
        match self.state.get(path) {
            Some(node) => self.state.client_stat(path, node),
            None => panic!("the model lost {path:?}"),
        }
    }

    fn answer_stat(&self, path: &str) -> Vec<u8> {
        StatResponse {
            stat: self.stat(path),
        }
        .to_vec()
    }

    fn create(
        &mut self,
        w: &Write<'_>,
        op: OpCode,
        request: CreateRequest<'_>,
        ttl: i64,
    ) -> Result<(String, Stat), i32> {
        let flags = request.flags;
        if !(0..=6).contains(&flags) {
            return Err(-8);
        }
        let sequential = matches!(flags, 2 | 3 | 6);
        let ephemeral = matches!(flags, 1 | 3);
        if matches!(flags, 5 | 6) {
            if !w.rules.extended {
                return Err(-6);
            }
            if !(1..=TTL_MAX).contains(&ttl) {
                return Err(-8);
            }
        } else if ttl >= 0 || op == OpCode::CreateTtl {
            // The second is poison.
            return Err(-8);
        }
        w.standing?;
        if ephemeral {
            w.owning?;
        }
        let base = request.path.as_deref().ok_or(-5)?;
        if base.contains('\0') {
            return Err(-8);
        }
        let above = parent(base).ok_or(-8)?;
        if poison(base) {
            return Err(-8);
        }
        let acl = fix_up(&request.acl, w.ids)?;
        let around = node(&self.state, above)?.clone();
        access(w, &around, access::CREATE)?;
        let path = if sequential {
            format!("{base}{:010}", around.stat.cversion)
        } else {
            base.to_owned()
        };
        if !valid(&path) {
            return Err(-8);
        }
        if self.state.get(&path).is_some() {
            return Err(-110);
        }
        if matches!(around.kind(), Kind::Ephemeral(_)) {
            return Err(-108);
        }
        let len = request.data.map_or(0, <[u8]>::len) as i64;
        if w.rules.enforce_quota {
            quota::check(w.applied, &path, 1, len)?;
        }
        let owner = if op == OpCode::CreateContainer {
            CONTAINER
        } else if op == OpCode::CreateTtl {
            ttl_owner(ttl)
        } else if ephemeral {
            w.session
        } else {
            0
        };
        let stat = StatPersisted {
            czxid: w.zxid,
            mzxid: w.zxid,
            pzxid: w.zxid,
            ctime: w.time,
            mtime: w.time,
            ephemeral_owner: owner,
            ..StatPersisted::default()
        };
        let data = request.data.map(Rc::from);
        self.state.put(
            &path,
            Znode {
                data,
                acl: acl.clone(),
                stat,
            },
        );
        let mut after = Znode::clone(&around);
        if let Some(next) = after.stat.cversion.checked_add(1) {
            after.stat.cversion = next;
            after.stat.pzxid = w.zxid;
        }
        let parent_acl = after.acl.clone();
        self.state.put(above, after);
        // A usage node is overwritten only after this.
        let stat = self.stat(&path);
        quota::recount(&mut self.state, &path);
        quota::count(&mut self.state, &path, 1, len);
        self.fired.push(Fired::Created {
            path: path.as_str().into(),
            acl,
            parent_acl,
        });
        Ok((path, stat))
    }

    fn judge_delete(&mut self, w: &Write<'_>, request: &DeleteRequest<'_>) -> Result<(), i32> {
        w.standing?;
        let path = request.path.as_deref().ok_or(-5)?;
        let special = matches!(
            path,
            "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config"
        );
        if path.contains('\0') || special || poison(path) {
            return Err(-8);
        }
        let above = parent(path).ok_or(-8)?;
        access(w, node(&self.state, above)?, access::DELETE)?;
        let found = node(&self.state, path)?;
        version(found.stat.version, request.version)?;
        if !self.state.children(path).is_empty() {
            return Err(-111);
        }
        self.delete(path, w.zxid);
        Ok(())
    }

    fn delete(&mut self, path: &str, zxid: i64) {
        let Some(gone) = self.state.take(path) else {
            panic!("the model deletes {path:?}, which is not there");
        };
        let above = parent(path).unwrap_or("/");
        let parent_acl: AclList = match self.state.get(above) {
            Some(node) => {
                let mut node = Znode::clone(node);
                node.stat.pzxid = node.stat.pzxid.max(zxid);
                let acl = node.acl.clone();
                self.state.put(above, node);
                acl
            }
            None => panic!("the model has {path:?} without its parent"),
        };
        quota::count(&mut self.state, path, -1, -(gone.data_len() as i64));
        self.fired.push(Fired::Deleted {
            path: path.into(),
            acl: gone.acl.clone(),
            parent_acl,
        });
    }

    fn set_data(&mut self, w: &Write<'_>, request: &SetDataRequest<'_>) -> Result<String, i32> {
        w.standing?;
        let path = full_path(&request.path)?;
        let mut after = Znode::clone(node(&self.state, path)?);
        access(w, &after, access::WRITE)?;
        let more = request.data.map_or(0, <[u8]>::len) as i64 - after.data_len() as i64;
        if w.rules.enforce_quota {
            quota::check(w.applied, path, 0, more)?;
        }
        after.stat.version = version(after.stat.version, request.version)?;
        let usage = path.starts_with(quota::QUOTA)
            && path.rsplit('/').next() == Some(quota::STATS)
            && quota::parse(request.data).is_none();
        if usage {
            // Poison: the next write that counts there stops Java.
            return Err(-8);
        }
        after.stat.mzxid = w.zxid;
        after.stat.mtime = w.time;
        after.data = request.data.map(Rc::from);
        let acl = after.acl.clone();
        self.state.put(path, after);
        quota::count(&mut self.state, path, 0, more);
        self.fired.push(Fired::Changed {
            path: path.into(),
            acl,
        });
        Ok(path.into())
    }

    fn set_acl(&mut self, w: &Write<'_>, request: &SetAclRequest<'_>) -> Result<String, i32> {
        w.standing?;
        let path = full_path(&request.path)?;
        let acl = fix_up(&request.acl, w.ids)?;
        let mut after = Znode::clone(node(&self.state, path)?);
        access(w, &after, access::ADMIN)?;
        after.stat.aversion = version(after.stat.aversion, request.version)?;
        after.acl = acl;
        self.state.put(path, after);
        Ok(path.into())
    }
}
