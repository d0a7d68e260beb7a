//! Runs of the load generator, each in a process of its own, so that its CPU time and its limits
//! are not those of this program.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use zk_bench::Report;

/// How long one run may take.
const BOUND: Duration = Duration::from_secs(1200);
/// Between two looks at a run that has not ended.
const PAUSE: Duration = Duration::from_millis(50);

/// The program that puts the load on.
#[derive(Debug, Clone)]
pub struct Generator {
    program: PathBuf,
    dir: PathBuf,
}

impl Generator {
    /// The program beside this one; reports go through files in `dir`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find(dir: &Path) -> Result<Self, String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let program = this.with_file_name("zk-bench");
        if !program.is_file() {
            return Err("zk-bench is not beside compare: build the whole package".into());
        }
        Ok(Self {
            program,
            dir: dir.to_path_buf(),
        })
    }

    /// Runs a load on these servers to its end. `meanwhile` is called again and again.
    ///
    /// # Errors
    /// When it could not be finished; a load with failed operations gives a report.
    pub fn run(
        &self,
        hosts: &[SocketAddr],
        pids: &[u32],
        args: &[String],
        mut meanwhile: impl FnMut(),
    ) -> Result<Report, String> {
        let json = self.dir.join("report.json");
        let errors = self.dir.join("generator.log");
        // What an earlier run has left must not be taken for this one's.
        let _ = fs::remove_file(&json);
        let failed = |error: std::io::Error| format!("the load generator: {error}");
        let mut command = Command::new(&self.program);
        command
            .arg("--hosts")
            .arg(list(hosts))
            .args(args)
            .arg("--json")
            .arg(&json)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&errors).map_err(failed)?);
        if !pids.is_empty() {
            command.arg("--server-pid").arg(list(pids));
        }
        let mut child = command.spawn().map_err(failed)?;
        let begin = Instant::now();
        while child.try_wait().map_err(failed)?.is_none() {
            if begin.elapsed() > BOUND {
                // It has not ended by itself; both fail only when it just did.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{args:?} has not ended"));
            }
            meanwhile();
            // The end of a child can be waited for only without a bound.
            std::thread::sleep(PAUSE);
        }
        match fs::read_to_string(&json) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| error.to_string()),
            Err(_) => Err(fs::read_to_string(&errors)
                .map_err(failed)?
                .trim()
                .to_string()),
        }
    }
}

fn list(values: &[impl ToString]) -> String {
    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
    values.join(",")
}
