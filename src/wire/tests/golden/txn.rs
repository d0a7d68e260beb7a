//! Transactions.

use std::collections::BTreeSet;

use jute::{Decode, Encode, Reader};
use zk_wire::OpCode;
use zk_wire::txn::{SubTxn, Txn, TxnBody, TxnDigest, TxnHeader};

use crate::Rule;
use crate::cases::{Case, cases, check_with, records};
use crate::show;
use crate::show::{Printer, Show, join};

show! {
    TxnHeader { client_id "clientId", cxid "cxid", zxid "zxid", time "time", op "type" }
}

impl Show for TxnDigest {
    fn show(&self, name: &str, p: &mut Printer) {
        self.version.show(&join(name, "version"), p);
        self.digest.cast_signed().show(&join(name, "treeDigest"), p);
    }
}

impl Show for TxnBody<'_> {
    fn show(&self, name: &str, p: &mut Printer) {
        let field = |field| join(name, field);
        match self {
            TxnBody::CreateSession { timeout } => timeout.show(&field("timeOut"), p),
            TxnBody::CloseSession { paths: None } => p.line(name, "null"),
            TxnBody::CloseSession { paths } => paths.show(&field("paths2Delete"), p),
            TxnBody::Error { err } => err.show(&field("err"), p),
            TxnBody::Create {
                op: _,
                path,
                data,
                acl,
                ephemeral,
                parent_cversion,
            } => {
                path.show(&field("path"), p);
                data.show(&field("data"), p);
                acl.show(&field("acl"), p);
                ephemeral.show(&field("ephemeral"), p);
                parent_cversion.show(&field("parentCVersion"), p);
            }
            TxnBody::CreateContainer {
                path,
                data,
                acl,
                parent_cversion,
            } => {
                path.show(&field("path"), p);
                data.show(&field("data"), p);
                acl.show(&field("acl"), p);
                parent_cversion.show(&field("parentCVersion"), p);
            }
            TxnBody::CreateTtl {
                path,
                data,
                acl,
                parent_cversion,
                ttl,
            } => {
                path.show(&field("path"), p);
                data.show(&field("data"), p);
                acl.show(&field("acl"), p);
                parent_cversion.show(&field("parentCVersion"), p);
                ttl.show(&field("ttl"), p);
            }
            TxnBody::Delete { op: _, path } => path.show(&field("path"), p),
            TxnBody::SetData {
                op: _,
                path,
                data,
                version,
            } => {
                path.show(&field("path"), p);
                data.show(&field("data"), p);
                version.show(&field("version"), p);
            }
            TxnBody::SetAcl { path, acl, version } => {
                path.show(&field("path"), p);
                acl.show(&field("acl"), p);
                version.show(&field("version"), p);
            }
            TxnBody::Check { path, version } => {
                path.show(&field("path"), p);
                version.show(&field("version"), p);
            }
            TxnBody::Multi(subs) => {
                p.line(&field("txns.count"), subs.len());
                for (i, SubTxn { op, body }) in subs.iter().enumerate() {
                    op.show(&format!("{name}.txns[{i}].type"), p);
                    Some(&*body.to_vec()).show(&format!("{name}.txns[{i}].data"), p);
                }
            }
        }
    }
}

impl Show for Txn<'_> {
    /// `name` is a prefix, dot included.
    fn show(&self, name: &str, p: &mut Printer) {
        self.header.show(&format!("{name}hdr"), p);
        self.body.show(&format!("{name}txn"), p);
        if let TxnBody::Multi(subs) = &self.body {
            for (i, sub) in subs.iter().enumerate() {
                sub.body.show(&format!("{name}part[{i}]"), p);
            }
        }
        match &self.digest {
            Some(digest) => digest.show(&format!("{name}digest"), p),
            None => p.line(&format!("{name}digest"), "null"),
        }
    }
}

/// Java's names of the operations whose transactions have cases.
const OPS: &[OpCode] = &[
    OpCode::CreateSession,
    OpCode::CloseSession,
    OpCode::Error,
    OpCode::Create,
    OpCode::Create2,
    OpCode::CreateContainer,
    OpCode::CreateTtl,
    OpCode::Delete,
    OpCode::DeleteContainer,
    OpCode::SetData,
    OpCode::Reconfig,
    OpCode::SetAcl,
    OpCode::Multi,
];

#[test]
fn every_transaction() {
    let known: BTreeSet<String> = OPS.iter().map(|op| op.name().to_string()).collect();
    assert_eq!(records("txn"), known);
    for op in OPS {
        for case in cases("txn", op.name()) {
            let header = TxnHeader::decode(&mut Reader::new(&case.bin)).unwrap();
            assert_eq!(header.op, op.to_i32(), "{}", case.name);
            if case.name.contains("/v0_") {
                check_create_v0(&case);
            } else if case.name.ends_with("/failed_rewritten") {
                check_failed_rewritten(&case);
            } else {
                check_with::<Txn<'_>>(&case, &early_ends(*op, &case));
            }
        }
    }
}

/// Where a transaction may be cut and still be one.
fn early_ends(op: OpCode, case: &Case) -> Vec<(Rule, usize)> {
    let digest = if case.txt.contains("digest = null") {
        0
    } else {
        TxnDigest::MIN
    };
    let body_end = case.bin.len() - digest;
    let mut ends = Vec::new();
    if digest > 0 {
        ends.push((Rule::DigestAbsent, body_end));
    }
    if op == OpCode::Create {
        ends.push((Rule::CreateV0, body_end - 4));
    }
    if op == OpCode::CloseSession {
        ends.push((Rule::CloseSessionBare, TxnHeader::MIN));
        if case.txt.contains("paths2Delete.count = 2") {
            ends.push((Rule::CloseSessionBare, TxnHeader::MIN + TxnDigest::MIN));
        }
    }
    ends.retain(|(_, length)| *length < case.bin.len());
    ends
}

/// The layout before ZOOKEEPER-1046 reads as one with -1, and is written as that.
fn check_create_v0(case: &Case) {
    let Case { name, bin, txt } = case;
    let txn = Txn::decode(&mut Reader::new(bin)).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(Printer::print(&txn, ""), *txt, "{name}");
    let mut with_cversion = bin.clone();
    with_cversion.extend((-1i32).to_be_bytes());
    assert_eq!(txn.to_vec(), with_cversion, "{name}: {:?}", Rule::CreateV0);
    for cut in 0..bin.len() {
        let result = Txn::decode(&mut Reader::new(&bin[..cut]));
        assert!(result.is_err(), "{name} cut at {cut}: {result:?}");
    }
}

/// A part of a failed multi may keep the body of what it was; only the error is read, and written.
fn check_failed_rewritten(case: &Case) {
    let Case { name, bin, txt } = case;
    let txn = Txn::decode(&mut Reader::new(bin)).unwrap_or_else(|e| panic!("{name}: {e}"));
    // The text has the body in full; here the first four bytes of it are left.
    let first = "txn.txns[0].data = hex:";
    let mut printed = Printer::print(&txn, "");
    let (start, data) = (
        printed.find(first).unwrap() + first.len(),
        txt.find(first).unwrap(),
    );
    let full = txt[data + first.len()..].lines().next().unwrap();
    assert_eq!(
        printed[start..start + 8],
        full[..8],
        "{name}: {:?}",
        Rule::FailedRewritten
    );
    assert!(full.len() > 8, "{name}: a body that is not an error's");
    printed.replace_range(start..start + 8, full);
    assert_eq!(printed, *txt, "{name}");
    let again = txn.to_vec();
    assert_eq!(
        again.len() + (full.len() - 8) / 2,
        bin.len(),
        "{name}: {:?}",
        Rule::FailedRewritten
    );
    assert_eq!(
        Txn::decode(&mut Reader::new(&again)).as_ref(),
        Ok(&txn),
        "{name}"
    );
}
