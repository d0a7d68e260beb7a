//! `envi`.

use core::fmt::Write as _;
use std::env;
use std::path::Path;

use crate::metrics::process;

/// The entries that `envi` prints, in Java's order. Names that only a JVM has carry `<NA>`, what
/// Java prints for a property that is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    entries: Vec<(&'static str, String)>,
}

const NOT_AVAILABLE: &str = "<NA>";

impl Environment {
    /// Gathers them from the process and the system.
    pub fn collect(version: &str) -> Environment {
        let var = |name: &str| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let not_available = || NOT_AVAILABLE.to_string();
        let file = |path: &str| {
            std::fs::read_to_string(path)
                .ok()
                .map(|text| text.trim_ascii_end().to_string())
        };
        let mib = |bytes: Option<u64>| format!("{}MB", bytes.unwrap_or(0) / (1024 * 1024));
        let memory = process::Memory::read();
        let arch = match env::consts::ARCH {
            "x86_64" => "amd64",
            other => other,
        };
        Environment {
            entries: vec![
                ("zookeeper.version", version.into()),
                (
                    "host.name",
                    file("/proc/sys/kernel/hostname").unwrap_or_else(not_available),
                ),
                ("java.version", not_available()),
                ("java.vendor", not_available()),
                ("java.home", not_available()),
                ("java.class.path", not_available()),
                ("java.library.path", not_available()),
                ("java.io.tmpdir", env::temp_dir().display().to_string()),
                ("java.compiler", not_available()),
                (
                    "os.name",
                    if cfg!(target_os = "linux") {
                        "Linux"
                    } else {
                        env::consts::OS
                    }
                    .into(),
                ),
                ("os.arch", arch.into()),
                (
                    "os.version",
                    file("/proc/sys/kernel/osrelease").unwrap_or_else(not_available),
                ),
                (
                    "user.name",
                    var("USER")
                        .or_else(|| var("LOGNAME"))
                        .unwrap_or_else(not_available),
                ),
                ("user.home", var("HOME").unwrap_or_else(not_available)),
                (
                    "user.dir",
                    env::current_dir()
                        .as_deref()
                        .unwrap_or(Path::new(NOT_AVAILABLE))
                        .display()
                        .to_string(),
                ),
                ("os.memory.free", mib(memory.available)),
                ("os.memory.max", mib(memory.total)),
                ("os.memory.total", mib(memory.resident)),
            ],
        }
    }

    /// Name and value of each entry.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.entries
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    /// `envi`.
    pub fn text(&self) -> String {
        let mut out = String::from("Environment:\n");
        for (name, value) in self.entries() {
            let _ = writeln!(out, "{name}={value}");
        }
        out
    }
}
