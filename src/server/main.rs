//! The command line: `zabkeeper serve`, `zabkeeper ensemble`, `zabkeeper version`,
//! `zabkeeper bench`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use zabkeeper::boot::Server;
use zabkeeper::limits::ENSEMBLE_SERVERS;
use zabkeeper::local_ensemble::{self, FIRST_PORT, Wanted};
use zabkeeper::{process, version};
use zk_ops::config::{self, Level, Sources};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A server that takes the place of Apache ZooKeeper.
#[derive(Debug, Parser)]
#[command(name = "zabkeeper", version = version::OWN)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients. Without a file: on 127.0.0.1:2181, with data in ./zabkeeper-data.
    Serve {
        /// A Java system property, `name=value`, as on java's command line.
        #[arg(short = 'D', value_name = "NAME=VALUE")]
        define: Vec<String>,
        /// zoo.cfg, or: port, data directory, tick time, connections per address.
        #[arg(value_name = "ZOO_CFG", allow_negative_numbers = true)]
        arguments: Vec<String>,
    },
    /// Start several servers on this machine that form an ensemble, to see one at work.
    Ensemble {
        /// How many.
        #[arg(value_parser = clap::value_parser!(u16).range(1..=i64::from(ENSEMBLE_SERVERS)))]
        servers: u16,
        /// Folder of their configuration files and data. What is there is used again.
        #[arg(default_value = "zabkeeper-data/ensemble")]
        dir: PathBuf,
        /// Client ports are the free ones from here on.
        #[arg(long, value_name = "PORT", default_value_t = FIRST_PORT)]
        port: u16,
    },
    /// Print the version.
    Version,
    /// Put load on any ZooKeeper server and measure it.
    Bench(zk_bench::BenchArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve { define, arguments } => serve(define, arguments),
        Command::Ensemble { servers, dir, port } => ensemble(&Wanted {
            servers,
            dir,
            first_port: port,
        }),
        Command::Version => {
            say(&format!("zabkeeper {}\n", version::text()));
            ExitCode::SUCCESS
        }
        Command::Bench(arguments) => zk_bench::execute(&arguments),
    }
}

fn ensemble(wanted: &Wanted) -> ExitCode {
    match local_ensemble::prepare(wanted).and_then(local_ensemble::run) {
        Ok(true) => ExitCode::SUCCESS,
        // Each server has said why.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("zabkeeper ensemble: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints, or does not where nobody listens any more.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn serve(define: Vec<String>, arguments: Vec<String>) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("ZABKEEPER_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    process::end_on_panic();
    let config = match config::load(&Sources::from_env(define, arguments)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{}: {error}", config::INVALID_CONFIG);
            return ExitCode::from(error.exit_code);
        }
    };
    for note in &config.notes {
        match note.level {
            Level::Debug => tracing::debug!("{}", note.text),
            Level::Info => tracing::info!("{}", note.text),
            Level::Warn => tracing::warn!("{}", note.text),
        }
    }
    process::use_small_pages();
    process::raise_open_files();
    let server = match Server::start(config) {
        Ok(server) => server,
        Err(refusal) => {
            eprintln!("zabkeeper does not start: {}", refusal.message);
            return ExitCode::from(u8::try_from(refusal.code).unwrap_or(1));
        }
    };
    // Before anybody is told that the server is there.
    match server.catch_signals() {
        Ok(signals) => {
            say(&greeting(&server));
            signals.wait();
        }
        Err(error) => tracing::error!("SIGTERM cannot be caught: {error}"),
    }
    tracing::info!("stopping");
    server.stop();
    ExitCode::SUCCESS
}

/// Where the server is, and what to type next.
fn greeting(server: &Server) -> String {
    let mut text = format!("zabkeeper {}\n", version::text());
    if let Some(address) = server.address() {
        text += &format!("binding to port {address}\n");
    }
    let data_dir = &server.serving().config.data_dir;
    text += &format!("data directory: {}\n", data_dir.display());
    if let Some(address) = server.metrics_address() {
        text += &format!("metrics: http://{address}/metrics\n");
    }
    match server.address() {
        Some(address) => {
            // A client cannot connect to a wildcard.
            let mut to = address;
            if to.ip().is_unspecified() {
                to.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            let (ip, port) = (to.ip(), to.port());
            text += &format!("next: echo srvr | nc {ip} {port}, or zkCli.sh -server {to}\n");
        }
        None => text += "no clientPort is set: no client can connect\n",
    }
    text
}
