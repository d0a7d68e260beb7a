//! multi and multiRead: a sequence of headers, each followed by a body, closed by a header that
//! says so.
//!
//! Owns: which operations can stand in the sequence and what body each has. Does not know: that
//! reads and writes must not be mixed, which flags a create may have; the caller checks that.

use alloc::vec::Vec;
use core::fmt;

use jute::{Decode, Encode, Error, Reader, record};

use super::{
    CheckRequest, ChildrenResponse, Create2Response, CreateRequest, CreateTtlRequest, DataResponse,
    DeleteRequest, ErrorResponse, PathResponse, PathWatchRequest, SetDataRequest, StatResponse,
};
use crate::{Code, OpCode};

record! {
    /// Opens each operation and each result, and closes the sequence.
    #[derive(Copy)]
    pub struct MultiHeader {
        /// The operation, or the kind of result.
        pub op: i32,
        /// Nothing follows.
        pub done: bool,
        /// In results the code; in requests -1.
        pub err: i32,
    }
}

/// Closes the sequence, in requests and in results.
pub const MULTI_END: MultiHeader = MultiHeader {
    op: -1,
    done: true,
    err: -1,
};

/// One operation of a multi or multiRead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiOp<'a> {
    /// create, create2 or createContainer, as the code says.
    Create(OpCode, CreateRequest<'a>),
    /// createTTL.
    CreateTtl(CreateTtlRequest<'a>),
    /// delete.
    Delete(DeleteRequest<'a>),
    /// setData.
    SetData(SetDataRequest<'a>),
    /// check.
    Check(CheckRequest<'a>),
    /// getData.
    GetData(PathWatchRequest<'a>),
    /// getChildren.
    GetChildren(PathWatchRequest<'a>),
}

/// Why a multi could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MultiError {
    /// A header or a body is malformed.
    Jute(Error),
    /// An operation, or kind of result, that cannot stand in a multi.
    Op(i32),
}

impl fmt::Display for MultiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MultiError::Jute(error) => error.fmt(f),
            MultiError::Op(op) => write!(f, "operation {op} cannot stand in a multi"),
        }
    }
}

impl core::error::Error for MultiError {}

impl From<Error> for MultiError {
    fn from(error: Error) -> Self {
        MultiError::Jute(error)
    }
}

impl MultiOp<'_> {
    /// The operation code.
    pub fn op(&self) -> OpCode {
        match self {
            MultiOp::Create(op, _) => *op,
            MultiOp::CreateTtl(_) => OpCode::CreateTtl,
            MultiOp::Delete(_) => OpCode::Delete,
            MultiOp::SetData(_) => OpCode::SetData,
            MultiOp::Check(_) => OpCode::Check,
            MultiOp::GetData(_) => OpCode::GetData,
            MultiOp::GetChildren(_) => OpCode::GetChildren,
        }
    }

    fn body(&self) -> &dyn Encode {
        match self {
            MultiOp::Create(_, body) => body,
            MultiOp::CreateTtl(body) => body,
            MultiOp::Delete(body) => body,
            MultiOp::SetData(body) => body,
            MultiOp::Check(body) => body,
            MultiOp::GetData(body) | MultiOp::GetChildren(body) => body,
        }
    }
}

/// Reads the next operation of a multi or multiRead request, or nothing at the closing header. For
/// who must judge each operation before the next one is read.
///
/// # Errors
/// See [`MultiError`].
pub fn decode_multi_op<'a>(r: &mut Reader<'a>) -> Result<Option<MultiOp<'a>>, MultiError> {
    let header = MultiHeader::decode(r)?;
    if header.done {
        return Ok(None);
    }
    let op = OpCode::from_i32(header.op).ok_or(MultiError::Op(header.op))?;
    Ok(Some(match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
            MultiOp::Create(op, CreateRequest::decode(r)?)
        }
        OpCode::CreateTtl => MultiOp::CreateTtl(CreateTtlRequest::decode(r)?),
        OpCode::Delete => MultiOp::Delete(DeleteRequest::decode(r)?),
        OpCode::SetData => MultiOp::SetData(SetDataRequest::decode(r)?),
        OpCode::Check => MultiOp::Check(CheckRequest::decode(r)?),
        OpCode::GetData => MultiOp::GetData(PathWatchRequest::decode(r)?),
        OpCode::GetChildren => MultiOp::GetChildren(PathWatchRequest::decode(r)?),
        OpCode::Exists
        | OpCode::GetAcl
        | OpCode::SetAcl
        | OpCode::Sync
        | OpCode::Ping
        | OpCode::GetChildren2
        | OpCode::Multi
        | OpCode::Reconfig
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::DeleteContainer
        | OpCode::MultiRead
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::Sasl
        | OpCode::GetEphemerals
        | OpCode::GetAllChildrenNumber
        | OpCode::SetWatches2
        | OpCode::AddWatch
        | OpCode::WhoAmI
        | OpCode::CreateSession
        | OpCode::CloseSession
        | OpCode::Error => return Err(MultiError::Op(header.op)),
    }))
}

/// Reads the body of a multi or multiRead request up to the closing header. The number of
/// operations is bounded by the bytes only.
///
/// # Errors
/// See [`MultiError`].
pub fn decode_multi<'a>(r: &mut Reader<'a>) -> Result<Vec<MultiOp<'a>>, MultiError> {
    let mut ops = Vec::new();
    while let Some(op) = decode_multi_op(r)? {
        ops.push(op);
    }
    Ok(ops)
}

/// Appends the body of a multi or multiRead request.
pub fn encode_multi(ops: &[MultiOp<'_>], out: &mut Vec<u8>) {
    let bodies: usize = ops
        .iter()
        .map(|op| MultiHeader::MIN + op.body().size())
        .sum();
    out.reserve(bodies + MultiHeader::MIN);
    for op in ops {
        MultiHeader {
            op: op.op().to_i32(),
            done: false,
            err: -1,
        }
        .encode(out);
        op.body().encode(out);
    }
    MULTI_END.encode(out);
}

/// One result of a multi or multiRead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiResult<'a> {
    /// create.
    Create(PathResponse<'a>),
    /// create2, and also createContainer and createTTL.
    Create2(Create2Response<'a>),
    /// delete.
    Delete,
    /// setData.
    SetData(StatResponse),
    /// check.
    Check,
    /// getData.
    GetData(DataResponse<'a>),
    /// getChildren.
    GetChildren(ChildrenResponse<'a>),
    /// Of a read that failed, or of every operation when a multi failed: 0 before the one that
    /// failed, its code, and [`Code::RuntimeInconsistency`] after it.
    Error(i32),
}

impl MultiResult<'_> {
    /// The header's `op`.
    pub fn op(&self) -> OpCode {
        match self {
            MultiResult::Create(_) => OpCode::Create,
            MultiResult::Create2(_) => OpCode::Create2,
            MultiResult::Delete => OpCode::Delete,
            MultiResult::SetData(_) => OpCode::SetData,
            MultiResult::Check => OpCode::Check,
            MultiResult::GetData(_) => OpCode::GetData,
            MultiResult::GetChildren(_) => OpCode::GetChildren,
            MultiResult::Error(_) => OpCode::Error,
        }
    }
}

impl Encode for MultiResult<'_> {
    fn size(&self) -> usize {
        MultiHeader::MIN
            + match self {
                MultiResult::Create(body) => body.size(),
                MultiResult::Create2(body) => body.size(),
                MultiResult::Delete | MultiResult::Check => 0,
                MultiResult::SetData(body) => body.size(),
                MultiResult::GetData(body) => body.size(),
                MultiResult::GetChildren(body) => body.size(),
                MultiResult::Error(err) => err.size(),
            }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let err = match self {
            MultiResult::Error(err) => *err,
            MultiResult::Create(_)
            | MultiResult::Create2(_)
            | MultiResult::Delete
            | MultiResult::SetData(_)
            | MultiResult::Check
            | MultiResult::GetData(_)
            | MultiResult::GetChildren(_) => Code::Ok.to_i32(),
        };
        MultiHeader {
            op: self.op().to_i32(),
            done: false,
            err,
        }
        .encode(out);
        match self {
            MultiResult::Create(body) => body.encode(out),
            MultiResult::Create2(body) => body.encode(out),
            MultiResult::Delete | MultiResult::Check => {}
            MultiResult::SetData(body) => body.encode(out),
            MultiResult::GetData(body) => body.encode(out),
            MultiResult::GetChildren(body) => body.encode(out),
            MultiResult::Error(err) => err.encode(out),
        }
    }
}

/// Appends the body of a multi or multiRead reply.
pub fn encode_multi_results(results: &[MultiResult<'_>], out: &mut Vec<u8>) {
    out.reserve(results.iter().map(Encode::size).sum::<usize>() + MultiHeader::MIN);
    for result in results {
        result.encode(out);
    }
    MULTI_END.encode(out);
}

/// Reads the body of a multi or multiRead reply up to the closing header. The `err` of a header
/// is not looked at: the body of an error has it too.
///
/// # Errors
/// See [`MultiError`].
pub fn decode_multi_results<'a>(r: &mut Reader<'a>) -> Result<Vec<MultiResult<'a>>, MultiError> {
    let mut results = Vec::new();
    loop {
        let header = MultiHeader::decode(r)?;
        if header.done {
            return Ok(results);
        }
        let op = OpCode::from_i32(header.op).ok_or(MultiError::Op(header.op))?;
        results.push(match op {
            OpCode::Create => MultiResult::Create(PathResponse::decode(r)?),
            OpCode::Create2 => MultiResult::Create2(Create2Response::decode(r)?),
            OpCode::Delete => MultiResult::Delete,
            OpCode::SetData => MultiResult::SetData(StatResponse::decode(r)?),
            OpCode::Check => MultiResult::Check,
            OpCode::GetData => MultiResult::GetData(DataResponse::decode(r)?),
            OpCode::GetChildren => MultiResult::GetChildren(ChildrenResponse::decode(r)?),
            OpCode::Error => MultiResult::Error(ErrorResponse::decode(r)?.err),
            OpCode::Exists
            | OpCode::GetAcl
            | OpCode::SetAcl
            | OpCode::Sync
            | OpCode::Ping
            | OpCode::GetChildren2
            | OpCode::Multi
            | OpCode::Reconfig
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::CreateContainer
            | OpCode::DeleteContainer
            | OpCode::CreateTtl
            | OpCode::MultiRead
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::Sasl
            | OpCode::GetEphemerals
            | OpCode::GetAllChildrenNumber
            | OpCode::SetWatches2
            | OpCode::AddWatch
            | OpCode::WhoAmI
            | OpCode::CreateSession
            | OpCode::CloseSession => return Err(MultiError::Op(header.op)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(op: i32) -> Vec<u8> {
        let mut bytes = MultiHeader {
            op,
            done: false,
            err: -1,
        }
        .to_vec();
        bytes.extend([0; 64]);
        bytes
    }

    #[test]
    fn other_operations_are_refused() {
        for op in [
            0,
            3,
            6,
            7,
            9,
            11,
            12,
            14,
            16,
            20,
            22,
            100,
            107,
            -1,
            -10,
            -11,
            10,
            i32::MIN,
        ] {
            let bytes = one(op);
            assert_eq!(
                decode_multi(&mut Reader::new(&bytes)),
                Err(MultiError::Op(op))
            );
        }
    }

    #[test]
    fn other_results_are_refused() {
        for op in [0, 3, 7, 9, 11, 14, 16, 19, 20, 21, 100, -10, -11, 10] {
            let bytes = one(op);
            assert_eq!(
                decode_multi_results(&mut Reader::new(&bytes)),
                Err(MultiError::Op(op))
            );
        }
    }

    /// The end is told by `done` alone, and what follows it is left.
    #[test]
    fn done_ends_it() {
        let mut bytes = MultiHeader {
            op: 1,
            done: true,
            err: 7,
        }
        .to_vec();
        bytes.push(9);
        let mut r = Reader::new(&bytes);
        assert_eq!(decode_multi(&mut r), Ok(Vec::new()));
        assert_eq!(r.rest(), [9]);
    }

    #[test]
    fn without_an_end_it_is_short() {
        let mut bytes = Vec::new();
        encode_multi(&[], &mut bytes);
        assert_eq!(bytes, MULTI_END.to_vec());
        bytes.pop();
        let error = decode_multi(&mut Reader::new(&bytes)).unwrap_err();
        assert_eq!(error, MultiError::Jute(Error::Eof { at: 5, need: 1 }));
    }
}
