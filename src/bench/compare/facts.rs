//! What the machine is, for the head of the table. No path and no host name of it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Lines of a list.
pub fn machine(dir: &Path) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into());
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib >> 20);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let mut lines = vec![
        format!(
            "date: {}",
            jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC")
        ),
        format!(
            "machine: {cores} cores ({model}), {memory} GiB, Linux {}",
            kernel.split('-').next().unwrap_or_default().trim()
        ),
        format!(
            "load average before the run: {load} (the generator shares the cores with the server)"
        ),
    ];
    let system = file_system(dir).unwrap_or_else(|| "unknown".into());
    match fsync_micros(dir) {
        Ok(micros) => lines.push(format!(
            "data directories: {system}, a write of 128 bytes into a preallocated file takes {micros} us with fdatasync"
        )),
        Err(error) => lines.push(format!("data directories: {system} ({error})")),
    }
    if system == "tmpfs" || system == "ramfs" {
        lines.push("the data directories are in memory: fsync costs nothing here".into());
    }
    lines
}

/// The first line of what `java -version` says.
pub fn java_version() -> String {
    let output = Command::new("java").arg("-version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
    let line = text
        .ok()
        .and_then(|text| text.lines().next().map(str::to_string));
    line.unwrap_or_else(|| "unknown".into())
}

/// What a server answers to a four-letter word.
///
/// # Errors
/// When it does not.
pub fn four_letters(address: SocketAddr, word: &str) -> std::io::Result<String> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(word.as_bytes())?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text)
}

/// The version that a server gives to `srvr`.
pub fn server_version(address: SocketAddr) -> String {
    let text = four_letters(address, "srvr").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    line.rsplit_once("version: ")
        .map_or("unknown", |(_, version)| version)
        .to_string()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

fn file_system(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = read("/proc/self/mounts");
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    });
    mounts
        .filter(|(point, _)| dir.starts_with(point))
        .max_by_key(|(point, _)| point.as_os_str().len())
        .map(|(_, system)| system.to_string())
}

/// Half of fifty small writes into a preallocated file take less.
fn fsync_micros(dir: &Path) -> std::io::Result<u128> {
    let path = dir.join("fsync-probe");
    let mut file = File::create(&path)?;
    file.write_all(&[0; 64 * 1024])?;
    file.sync_all()?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let begin = Instant::now();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[1; 128])?;
        file.sync_data()?;
        times.push(begin.elapsed().as_micros());
    }
    fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
