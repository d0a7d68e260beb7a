//! Requests as text.

use jute::Encode;
use zk_wire::OpCode;
use zk_wire::client::{
    Acl, AddWatchRequest, AuthPacket, CheckRequest, CreateRequest, CreateTtlRequest, DeleteRequest,
    Id, MultiOp, PathRequest, PathWatchRequest, PrefixRequest, SetAclRequest, SetDataRequest,
    SetWatches2, WatchesRequest, encode_multi,
};

/// The words of one request.
struct Words<'a> {
    plain: Vec<&'a str>,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Words<'a> {
        let (mut plain, mut pairs) = (Vec::new(), Vec::new());
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(pair) => pairs.push(pair),
                None => plain.push(word),
            }
        }
        Words { plain, pairs }
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        let pair = self.pairs.iter().find(|(name, _)| *name == key);
        pair.map(|(_, value)| *value)
    }

    fn number(&self, key: &str, usual: i64) -> Result<i64, String> {
        match self.get(key) {
            None => Ok(usual),
            Some(text) => {
                let parsed = match text.strip_prefix("0x") {
                    Some(hex) => i64::from_str_radix(hex, 16),
                    None => text.parse(),
                };
                parsed.map_err(|_| format!("{key}={text} is no number"))
            }
        }
    }

    fn version(&self) -> Result<i32, String> {
        self.number("v", -1).map(|version| version as i32)
    }

    fn path(&self) -> jute::Str<'a> {
        self.plain.get(1).map(|path| (*path).into())
    }

    fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }

    fn data(&self) -> Option<&'a [u8]> {
        match self.get("data") {
            Some("null") => None,
            Some(data) => Some(data.as_bytes()),
            None => Some(b""),
        }
    }

    /// `open`, or entries `scheme:id:perms` with commas between; `auth` alone is `auth::31`.
    fn acl(&self) -> Result<jute::List<Acl<'static>>, String> {
        let entries = match self.get("acl") {
            None | Some("open") => "world:anyone:31",
            Some("auth") => "auth::31",
            Some("none") => return Ok(None),
            Some(entries) => entries,
        };
        let entry = |text: &str| -> Result<Acl<'static>, String> {
            let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
            let (id, perms) = rest.rsplit_once(':').unwrap_or((rest, ""));
            let bad = |_| format!("{text:?} is no entry of an access control list");
            Ok(Acl {
                perms: perms.parse().map_err(bad)?,
                id: Id {
                    scheme: Some(scheme.to_owned().into()),
                    id: Some(id.to_owned().into()),
                },
            })
        };
        entries
            .split(',')
            .map(entry)
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    }

    fn list(&self, key: &str) -> jute::List<jute::Str<'a>> {
        let paths = self.get(key).unwrap_or_default().split(',');
        Some(
            paths
                .filter(|path| !path.is_empty())
                .map(|path| Some(path.into()))
                .collect(),
        )
    }

    fn create(&self) -> Result<CreateRequest<'a>, String> {
        Ok(CreateRequest {
            path: self.path(),
            data: self.data(),
            acl: self.acl()?,
            flags: self.number("flags", 0)? as i32,
        })
    }

    fn create_ttl(&self) -> Result<CreateTtlRequest<'a>, String> {
        Ok(CreateTtlRequest {
            path: self.path(),
            data: self.data(),
            acl: self.acl()?,
            flags: self.number("flags", 5)? as i32,
            ttl: self.number("ttl", 1_000)?,
        })
    }

    fn multi_op(&self) -> Result<MultiOp<'a>, String> {
        let (path, watch) = (self.path(), false);
        Ok(match self.plain.first().copied().unwrap_or_default() {
            "create" => MultiOp::Create(OpCode::Create, self.create()?),
            "create2" => MultiOp::Create(OpCode::Create2, self.create()?),
            "container" => MultiOp::Create(OpCode::CreateContainer, self.create()?),
            "ttl" => MultiOp::CreateTtl(self.create_ttl()?),
            "delete" => MultiOp::Delete(DeleteRequest {
                path,
                version: self.version()?,
            }),
            "set" => MultiOp::SetData(SetDataRequest {
                path,
                data: self.data(),
                version: self.version()?,
            }),
            "check" => MultiOp::Check(CheckRequest {
                path,
                version: self.version()?,
            }),
            "get" => MultiOp::GetData(PathWatchRequest { path, watch }),
            "ls" => MultiOp::GetChildren(PathWatchRequest { path, watch }),
            other => return Err(format!("{other:?} cannot stand in a multi")),
        })
    }
}

/// Opcode and body of a request:
/// - `create|create2|container PATH [data=TEXT|null] [flags=N] [acl=ACL]`, `ttl ... [ttl=MS]`
/// - `delete|check PATH [v=N]`, `set PATH [data=] [v=]`, `setacl PATH [acl=] [v=]`
/// - `get|exists|ls|ls2 PATH [watch]`, `getacl|count|sync PATH`, `ephemerals [PREFIX]`
/// - `multi OP; OP; ...`, `multiread get PATH; ls PATH; ...`
/// - `watch PATH [recursive]`, `haswatch|unwatch PATH kind=N`,
///   `setwatches since=ZXID [data=P,P] [exist=] [child=] [persistent=] [recursive=]`
/// - `auth USER:PASSWORD`, `whoami`, `ping`, `close`, `raw N`
///
/// # Errors
/// The text is no request.
pub fn request(text: &str) -> Result<(i32, Vec<u8>), String> {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    if name == "multi" || name == "multiread" {
        let parts: Vec<Words<'_>> = rest
            .split(';')
            .map(Words::new)
            .filter(|words| !words.plain.is_empty())
            .collect();
        let ops: Vec<MultiOp<'_>> = parts
            .iter()
            .map(Words::multi_op)
            .collect::<Result<_, _>>()?;
        let mut body = Vec::new();
        encode_multi(&ops, &mut body);
        let op = if name == "multi" {
            OpCode::Multi
        } else {
            OpCode::MultiRead
        };
        return Ok((op.to_i32(), body));
    }
    let words = Words::new(text);
    let path = words.path();
    let read = |op: OpCode| {
        let watch = words.has("watch");
        let path = words.path();
        (op, PathWatchRequest { path, watch }.to_vec())
    };
    let of_path = |op: OpCode| {
        let path = words.path();
        (op, PathRequest { path }.to_vec())
    };
    let (op, body) = match name {
        "create" => (OpCode::Create, words.create()?.to_vec()),
        "create2" => (OpCode::Create2, words.create()?.to_vec()),
        "container" => (OpCode::CreateContainer, words.create()?.to_vec()),
        "ttl" => (OpCode::CreateTtl, words.create_ttl()?.to_vec()),
        "delete" => {
            let version = words.version()?;
            (OpCode::Delete, DeleteRequest { path, version }.to_vec())
        }
        "set" => {
            let request = SetDataRequest {
                path,
                data: words.data(),
                version: words.version()?,
            };
            (OpCode::SetData, request.to_vec())
        }
        "setacl" => {
            let request = SetAclRequest {
                path,
                acl: words.acl()?,
                version: words.version()?,
            };
            (OpCode::SetAcl, request.to_vec())
        }
        "get" => read(OpCode::GetData),
        "exists" => read(OpCode::Exists),
        "ls" => read(OpCode::GetChildren),
        "ls2" => read(OpCode::GetChildren2),
        "getacl" => of_path(OpCode::GetAcl),
        "count" => of_path(OpCode::GetAllChildrenNumber),
        "sync" => of_path(OpCode::Sync),
        "ephemerals" => (
            OpCode::GetEphemerals,
            PrefixRequest { prefix: path }.to_vec(),
        ),
        "watch" => {
            let mode = i32::from(words.has("recursive"));
            (OpCode::AddWatch, AddWatchRequest { path, mode }.to_vec())
        }
        "haswatch" | "unwatch" => {
            let kind = words.number("kind", 3)? as i32;
            let op = if name == "haswatch" {
                OpCode::CheckWatches
            } else {
                OpCode::RemoveWatches
            };
            (op, WatchesRequest { path, kind }.to_vec())
        }
        "setwatches" => {
            let request = SetWatches2 {
                relative_zxid: words.number("since", 0)?,
                data: words.list("data"),
                exist: words.list("exist"),
                child: words.list("child"),
                persistent: words.list("persistent"),
                persistent_recursive: words.list("recursive"),
            };
            (OpCode::SetWatches2, request.to_vec())
        }
        "auth" => {
            let packet = AuthPacket {
                kind: 0,
                scheme: Some("digest".into()),
                auth: words.plain.get(1).map(|token| token.as_bytes()),
            };
            (OpCode::Auth, packet.to_vec())
        }
        "whoami" => (OpCode::WhoAmI, Vec::new()),
        "ping" => (OpCode::Ping, Vec::new()),
        "close" => (OpCode::CloseSession, Vec::new()),
        "raw" => {
            let number = words.plain.get(1).and_then(|text| text.parse().ok());
            return Ok((number.ok_or("raw needs a number")?, Vec::new()));
        }
        other => return Err(format!("{other:?} is no request")),
    };
    Ok((op.to_i32(), body))
}
