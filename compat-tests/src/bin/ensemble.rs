//! Stories of ensembles of this project's server and Apache ZooKeeper: see `ensemble/mod.rs`.
//!
//! `ensemble --story NAME --members J,J,Z [--zabkeeper PATH] [--then Z,Z,Z]`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

#[path = "../ensemble/mod.rs"]
mod ensemble;

use ensemble::process::Programs;
use ensemble::spec::{self, Kind};
use ensemble::stories::{Cast, STORIES, play};

/// Plays stories; exit code 0 when all went well.
#[derive(Debug, Parser)]
struct Args {
    /// These stories, one after another.
    #[arg(long)]
    story: Vec<String>,
    /// The members by id: J, J with a version, Z; a trailing o makes an observer.
    #[arg(long, default_value = "J,J,J")]
    members: String,
    /// What the members are replaced by, in the story of that.
    #[arg(long)]
    then: Option<String>,
    /// The server's binary.
    #[arg(long)]
    zabkeeper: Option<PathBuf>,
    /// Where the folders of runs are made.
    #[arg(long)]
    work: Option<PathBuf>,
    /// Print the stories and end.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.list {
        for story in STORIES {
            println!("{}: {}", story.name, story.about);
        }
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("ensemble: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let seats = spec::parse(&args.members)?;
    let then: Vec<Kind> = match &args.then {
        None => Vec::new(),
        Some(text) => spec::parse(text)?
            .into_iter()
            .map(|seat| seat.kind)
            .collect(),
    };
    let binary = match &args.zabkeeper {
        None => None,
        Some(path) => Some(
            path.canonicalize()
                .map_err(|e| format!("{}: {e}", path.display()))?,
        ),
    };
    let kinds = seats.iter().map(|seat| &seat.kind).chain(then.iter());
    let programs = Programs::of(binary, kinds)?;
    let work = args.work.clone().unwrap_or_else(std::env::temp_dir);
    if args.story.is_empty() {
        return Err("no --story; --list shows them".into());
    }
    for name in &args.story {
        let story = STORIES
            .iter()
            .find(|story| story.name == name)
            .ok_or_else(|| format!("no story {name:?}"))?;
        println!("{name} with {}: {}", args.members, story.about);
        let cast = Cast {
            seats: &seats,
            then: &then,
        };
        let took = play(story, &cast, &programs, &work)?;
        println!(
            "{name} with {}: passed in {:.1} s",
            args.members,
            took.as_secs_f64()
        );
    }
    Ok(())
}
