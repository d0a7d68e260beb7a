//! What concerns the process as a whole: its limit of open files, the size of its pages, and what a
//! panic ends.

use rlimit::Resource;

use crate::limits::{FEW_FILES, OPEN_FILES};

/// Threads without which nothing may be acknowledged: a panic of one ends the process. A panic of
/// a connection's task ends the connection only.
pub const CRITICAL_THREADS: [&str; 7] = [CORE, LOG, STORE, LOADER, LOG_READER, ORACLE, PEERS];

/// The core's thread.
pub const CORE: &str = "core";
/// The log's thread.
pub const LOG: &str = "log";
/// The store's thread.
pub const STORE: &str = "store";
/// The loader's thread.
pub const LOADER: &str = "loader";

/// The thread that reads the log back.
pub const LOG_READER: &str = "log reader";
/// The thread that asks the oracle. Without it the server hears of no change.
pub const ORACLE: &str = "oracle";
/// The thread of the sockets between servers.
pub const PEERS: &str = "peers";

/// Exit code after such a panic.
pub const EXIT_PANIC: i32 = 1;

/// From now on a panic of a critical thread ends the process, behind the usual message.
pub fn end_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        usual(info);
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        if CRITICAL_THREADS.contains(&name) {
            eprintln!(
                "zabkeeper: the thread {name} has panicked, nothing more is acknowledged; nothing acknowledged is lost, start again"
            );
            std::process::exit(EXIT_PANIC);
        }
    }));
}

/// From now on the system backs memory with small pages only. A huge page is resident as a whole as
/// soon as one byte of it is used: with them a server of many idle connections or a freshly loaded
/// tree grows by a seventh to three quarters more. Its allocator, too, is built not to ask for them
/// (`no_thp`).
pub fn use_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!("transparent huge pages stay as the system has them: {error}");
    }
}

/// Raises the limit of open files as far as the system lets it, and says what came of it: every
/// connection takes one.
pub fn raise_open_files() {
    let before = match Resource::NOFILE.get() {
        Ok((soft, _)) => soft,
        Err(error) => {
            tracing::warn!("the limit of open files is unknown: {error}");
            return;
        }
    };
    if before >= OPEN_FILES {
        return;
    }
    // The hard limit, too, where that is allowed.
    let raised = match Resource::NOFILE.set(OPEN_FILES, OPEN_FILES) {
        Ok(()) => Ok(OPEN_FILES),
        Err(_) => rlimit::increase_nofile_limit(OPEN_FILES),
    };
    match raised {
        Ok(limit) if limit < FEW_FILES => tracing::warn!(
            "the system allows {limit} open files, and so fewer connections: raise the hard limit (ulimit -Hn)"
        ),
        Ok(limit) if limit < OPEN_FILES => {
            tracing::info!("the system allows no more than {limit} open files and connections");
        }
        Ok(limit) => tracing::info!("open files: up to {limit}, {before} before"),
        Err(error) => tracing::warn!(
            "the limit of {before} open files, and so of connections, cannot be raised: {error}"
        ),
    }
}
