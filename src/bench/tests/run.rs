//! The generator against a small server of this file, honest or with one fault: every load
//! finishes with a good report on the honest one, and each fault is noticed.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use clap::Parser;
use jute::{Decode, Encode, Reader};
use zk_bench::{BenchArgs, Error, Report, run};
use zk_wire::client::{
    ChildrenResponse, ConnectRequest, ConnectResponse, CreateRequest, DataResponse, DeleteRequest,
    MultiHeader, MultiOp, PathResponse, PathWatchRequest, ReplyHeader, RequestHeader,
    SetDataRequest, Stat, StatResponse, decode_multi, frame,
};
use zk_wire::{Code, OpCode};

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Every hundredth set is acknowledged and not done.
    ForgetsSets,
    /// Every hundredth create is acknowledged and not done.
    ForgetsCreates,
    /// Sets are done twice.
    RepeatsSets,
    /// Reads of data give what was there before the last write.
    StaleReads,
    /// The hundredth reply carries another xid.
    WrongXid,
    /// The connection is closed at the thousandth request.
    Closes,
    /// Every set fails.
    Refuses,
}

#[derive(Default, Clone)]
struct Node {
    data: Vec<u8>,
    before: Vec<u8>,
    version: i32,
}

#[derive(Default)]
struct World {
    nodes: HashMap<String, Node>,
    sessions: i64,
    sets: u64,
    creates: u64,
}

fn start(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let world = Arc::new(Mutex::new(World::default()));
    thread::spawn(move || {
        for socket in listener.incoming() {
            let world = Arc::clone(&world);
            thread::spawn(move || serve(socket.unwrap(), &world, fault));
        }
    });
    address
}

fn read_frame(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length).ok()?;
    let mut content = vec![0; i32::from_be_bytes(length) as usize];
    socket.read_exact(&mut content).ok()?;
    Some(content)
}

fn serve(mut socket: TcpStream, world: &Mutex<World>, fault: Fault) {
    let Some(first) = read_frame(&mut socket) else {
        return;
    };
    let asked = ConnectRequest::decode(&mut Reader::new(&first)).unwrap();
    let session_id = {
        let mut world = world.lock().unwrap();
        world.sessions += 1;
        world.sessions
    };
    let mut out = Vec::new();
    let begin = frame::begin(&mut out);
    ConnectResponse {
        protocol_version: 0,
        timeout: asked.timeout,
        session_id,
        passwd: Some(&[1; 16]),
        read_only: Some(false),
    }
    .encode(&mut out);
    frame::finish(&mut out, begin);
    let mut count = 0;
    while socket.write_all(&out).is_ok() {
        let Some(content) = read_frame(&mut socket) else {
            return;
        };
        count += 1;
        if fault == Fault::Closes && count == 1000 {
            return;
        }
        let mut reader = Reader::new(&content);
        let header = RequestHeader::decode(&mut reader).unwrap();
        let op = OpCode::from_i32(header.op).unwrap();
        let mut body = Vec::new();
        let code = world
            .lock()
            .unwrap()
            .answer(op, &mut reader, fault, &mut body);
        out.clear();
        let begin = frame::begin(&mut out);
        ReplyHeader {
            xid: header.xid + i32::from(fault == Fault::WrongXid && count == 100),
            zxid: 1,
            err: code as i32,
        }
        .encode(&mut out);
        out.extend(body);
        frame::finish(&mut out, begin);
    }
}

impl World {
    fn answer(&mut self, op: OpCode, r: &mut Reader<'_>, fault: Fault, out: &mut Vec<u8>) -> Code {
        match op {
            OpCode::Create => {
                let create = CreateRequest::decode(r).unwrap();
                let path = create.path.clone().unwrap().into_owned();
                let parent = path.rsplit_once('/').unwrap().0;
                if !parent.is_empty() && !self.nodes.contains_key(parent) {
                    return Code::NoNode;
                }
                if self.nodes.contains_key(&path) {
                    return Code::NodeExists;
                }
                self.creates += 1;
                if !(fault == Fault::ForgetsCreates && self.creates.is_multiple_of(100)) {
                    let data = create.data.unwrap_or_default().to_vec();
                    let node = Node {
                        data,
                        ..Node::default()
                    };
                    self.nodes.insert(path, node);
                }
                PathResponse { path: create.path }.encode(out);
                Code::Ok
            }
            OpCode::SetData => self.set(&SetDataRequest::decode(r).unwrap(), fault, out),
            OpCode::GetData => {
                let path = PathWatchRequest::decode(r).unwrap().path.unwrap();
                let Some(node) = self.nodes.get(path.as_ref()) else {
                    return Code::NoNode;
                };
                let stale = fault == Fault::StaleReads && node.version > 0;
                let data = if stale { &node.before } else { &node.data };
                DataResponse {
                    data: Some(data),
                    stat: node.stat(),
                }
                .encode(out);
                Code::Ok
            }
            OpCode::GetChildren => {
                let path = PathWatchRequest::decode(r).unwrap().path.unwrap();
                let prefix = format!("{path}/");
                let names = self
                    .nodes
                    .keys()
                    .filter_map(|key| key.strip_prefix(&prefix));
                let children = Some(names.map(|name| Some(name.into())).collect());
                ChildrenResponse { children }.encode(out);
                Code::Ok
            }
            OpCode::Multi => {
                for op in decode_multi(r).unwrap() {
                    let MultiOp::SetData(set) = op else {
                        return Code::BadArguments;
                    };
                    let mut result = Vec::new();
                    let code = self.set(&set, fault, &mut result);
                    MultiHeader {
                        op: if code == Code::Ok { op_code(&set) } else { -1 },
                        done: false,
                        err: code as i32,
                    }
                    .encode(out);
                    out.extend(result);
                }
                Code::Ok
            }
            OpCode::Delete => {
                let path = DeleteRequest::decode(r).unwrap().path.unwrap();
                match self.nodes.remove(path.as_ref()) {
                    Some(_) => Code::Ok,
                    None => Code::NoNode,
                }
            }
            OpCode::Sync | OpCode::Ping | OpCode::CloseSession => Code::Ok,
            other => panic!("the generator has sent {other}"),
        }
    }

    fn set(&mut self, set: &SetDataRequest<'_>, fault: Fault, out: &mut Vec<u8>) -> Code {
        if fault == Fault::Refuses {
            return Code::NoAuth;
        }
        let Some(node) = self.nodes.get_mut(set.path.as_deref().unwrap()) else {
            return Code::NoNode;
        };
        self.sets += 1;
        if !(fault == Fault::ForgetsSets && self.sets.is_multiple_of(100)) {
            node.before = std::mem::replace(&mut node.data, set.data.unwrap().to_vec());
            node.version += 1 + i32::from(fault == Fault::RepeatsSets);
        }
        StatResponse { stat: node.stat() }.encode(out);
        Code::Ok
    }
}

fn op_code(_: &SetDataRequest<'_>) -> i32 {
    OpCode::SetData.to_i32()
}

impl Node {
    fn stat(&self) -> Stat {
        Stat {
            version: self.version,
            data_length: self.data.len() as i32,
            ..Stat::default()
        }
    }
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: BenchArgs,
}

fn bench(address: SocketAddr, args: &str) -> Result<Report, Error> {
    let hosts = address.to_string();
    let words = ["bench", "--hosts", &hosts]
        .into_iter()
        .chain(args.split(' '));
    run(&Cli::try_parse_from(words).unwrap().args)
}

const SMALL: &str = "--sessions 3 --outstanding 7 --keys 50 --parents 5 --ops 2000";

#[test]
fn every_load_is_good_on_an_honest_server() {
    let address = start(Fault::None);
    for load in [
        "create",
        "set",
        "get",
        "mixed",
        "multi --batch 4",
        "children",
    ] {
        let report = bench(address, &format!("--workload {load} {SMALL} --cleanup")).unwrap();
        assert!(report.is_good(), "{load}: {report}");
        assert_eq!(report.operations, 2000, "{load}: {report}");
        assert_eq!(report.latency.unwrap().count, 2000, "{load}");
    }
}

#[test]
fn sizes_without_room_for_a_stamp_work_too() {
    let address = start(Fault::None);
    for size in [0, 1, 8] {
        let report = bench(address, &format!("--workload mixed {SMALL} --size {size}")).unwrap();
        assert!(report.is_good(), "{size}: {report}");
        assert_eq!(report.verified.unwrap().keys, 50);
    }
}

#[test]
fn a_filled_tree_is_found_again() {
    let address = start(Fault::None);
    let tree = "--keys 500 --parents 5 --run tree";
    let filled = bench(address, &format!("--workload fill {tree}")).unwrap();
    assert!(filled.is_good(), "{filled}");
    assert_eq!(filled.operations, 500);
    let found = bench(address, &format!("--workload verify {tree}")).unwrap();
    assert!(found.is_good(), "{found}");
    let read = bench(address, &format!("--workload get --ops 100 --reuse {tree}")).unwrap();
    assert!(read.is_good(), "{read}");
    let more = bench(
        address,
        "--workload verify --keys 501 --parents 5 --run tree",
    )
    .unwrap();
    assert_eq!(more.verified.unwrap().missing, 1);
    assert!(!more.is_good());
    let again = bench(address, &format!("--workload fill {tree}"));
    assert!(matches!(again, Err(Error::Prepare(_))), "{again:?}");
}

#[test]
fn sessions_come_go_and_ping() {
    let address = start(Fault::None);
    let report = bench(address, "--workload connect --sessions 3 --ops 200").unwrap();
    assert!(report.is_good(), "{report}");
    assert_eq!(report.operations, 200);
    let idle = "--workload idle --sessions 60 --session-timeout 300 --seconds 0.5";
    let report = bench(address, idle).unwrap();
    assert!(report.is_good(), "{report}");
    assert!(report.operations >= 60, "{report}");
}

#[test]
fn a_rate_is_kept() {
    let address = start(Fault::None);
    let report = bench(
        address,
        "--workload mixed --reads 50 --sessions 1 --outstanding 4 --rate 1000 --seconds 0.3",
    )
    .unwrap();
    assert!(report.is_good(), "{report}");
    assert!((1..=301).contains(&report.operations), "{report}");
}

#[test]
fn what_was_acknowledged_and_not_done_is_noticed() {
    // One key for each session and many sets of it: the last set of one may be a lost one or not,
    // but the versions cannot be right.
    let report = bench(
        start(Fault::ForgetsSets),
        &format!("--workload set {SMALL}"),
    )
    .unwrap();
    assert!(!report.is_good(), "{report}");
    let report = bench(
        start(Fault::ForgetsSets),
        &format!("--workload multi --batch 4 {SMALL}"),
    );
    assert!(!report.unwrap().is_good());
    let report = bench(start(Fault::ForgetsCreates), "--workload create --ops 2000").unwrap();
    assert!(report.verified.unwrap().missing > 10, "{report}");
}

#[test]
fn what_was_done_twice_is_noticed() {
    let report = bench(
        start(Fault::RepeatsSets),
        &format!("--workload set {SMALL}"),
    )
    .unwrap();
    assert!(report.verified.unwrap().version > 0, "{report}");
}

#[test]
fn a_read_behind_its_own_sessions_writes_is_noticed() {
    let report = bench(
        start(Fault::StaleReads),
        &format!("--workload mixed --reads 50 {SMALL}"),
    )
    .unwrap();
    assert!(report.wrong > 0, "{report}");
}

#[test]
fn failures_are_counted_by_kind() {
    let report = bench(start(Fault::Refuses), &format!("--workload set {SMALL}")).unwrap();
    assert_eq!((report.failed, report.operations), (2000, 0), "{report}");
    assert_eq!(report.errors.len(), 1);
}

#[test]
fn broken_order_and_lost_connections_end_a_run() {
    let end = bench(start(Fault::WrongXid), &format!("--workload get {SMALL}"));
    assert!(matches!(end, Err(Error::Protocol(..))), "{end:?}");
    let end = bench(
        start(Fault::Closes),
        "--workload get --sessions 1 --ops 5000 --keys 10",
    );
    assert!(matches!(end, Err(Error::Lost(_))), "{end:?}");
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let end = bench(nobody, "--workload get --ops 1");
    assert!(matches!(end, Err(Error::Open(..))), "{end:?}");
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let address = start(Fault::None);
    for args in [
        "--workload set --keys 2 --sessions 3",
        "--workload multi --keys 10 --sessions 3",
        "--workload children --parents 0",
        "--workload watch-fanout --sessions 1",
        "--workload verify",
        "--workload get --reuse",
        "--workload children --rate 5",
        "--workload get --prefix x",
        "--workload get --run a/b",
    ] {
        let end = bench(address, args);
        assert!(matches!(end, Err(Error::Usage(_))), "{args}: {end:?}");
    }
}
