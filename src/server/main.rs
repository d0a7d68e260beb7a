//! The command line: `zabkeeper serve`, `zabkeeper version`.

use clap::{Parser, Subcommand};
use zabkeeper::boot::Server;
use zabkeeper::version;
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
        #[arg(value_name = "ZOO_CFG")]
        arguments: Vec<String>,
    },
    /// Print the version.
    Version,
}

fn main() {
    let code = match Cli::parse().command {
        Command::Serve { define, arguments } => serve(define, arguments),
        Command::Version => {
            println!("zabkeeper {}", version::text());
            0
        }
    };
    std::process::exit(code);
}

fn serve(define: Vec<String>, arguments: Vec<String>) -> i32 {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("ZABKEEPER_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    let config = match config::load(&Sources::from_env(define, arguments)) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{error}");
            eprintln!("Invalid config, exiting abnormally\n{error}");
            return 2;
        }
    };
    for note in &config.notes {
        match note.level {
            Level::Debug => tracing::debug!("{}", note.text),
            Level::Info => tracing::info!("{}", note.text),
            Level::Warn => tracing::warn!("{}", note.text),
        }
    }
    let server = match Server::start(config) {
        Ok(server) => server,
        Err(refusal) => {
            tracing::error!("{}", refusal.message);
            eprintln!("zabkeeper does not start: {}", refusal.message);
            return refusal.code;
        }
    };
    let address = server.address();
    println!("zabkeeper {}", version::text());
    println!("binding to port {address}");
    println!(
        "data directory: {}",
        server.serving().config.data_dir.display()
    );
    println!(
        "next: echo srvr | nc {} {}, or zkCli.sh -server {address}",
        address.ip(),
        address.port()
    );
    server.wait_for_signal();
    tracing::info!("stopping");
    server.stop();
    0
}
