//! The stories, each over any mix of members.
//!
//! Owns: their names, what each is about, and the folder of a run. Does not know: who the members are,
//! but for how many a story needs.

mod addresses;
mod alone;
mod clocks;
mod cuts;
mod faults;
mod five;
mod follower;
mod grow;
mod large;
mod leader;
mod masters;
mod oracle;
mod poison;
mod rolling;
mod scripted;
mod strangers;

use std::path::Path;

use super::process::Programs;
use super::spec::{Kind, Seat};
use super::stage::{Setting, Stage};

/// What a story gets.
#[derive(Debug)]
pub struct Cast<'a> {
    /// The members.
    pub seats: &'a [Seat],
    /// What the members are replaced by, in a story that replaces them.
    pub then: &'a [Kind],
}

/// A story.
#[derive(Debug, Clone, Copy)]
pub struct Story {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    /// How many voters it needs.
    pub voters: usize,
    setting: fn() -> Setting,
    play: fn(&mut Stage, &Cast<'_>) -> Result<(), String>,
}

/// All of them.
pub const STORIES: [Story; 16] = [
    Story {
        name: "follower",
        about: "member 1 follows: DIFF, SNAP under load, DIFF from the log, kill -9 of the leader and \
                of member 1",
        voters: 3,
        setting: follower::setting,
        play: follower::play,
    },
    Story {
        name: "leader",
        about: "the voter with the largest id leads: DIFF, SNAP, TRUNC from it, TRUNC to it, SNAP \
                across epochs, kill -9 of it",
        voters: 3,
        setting: leader::setting,
        play: leader::play,
    },
    Story {
        name: "cuts",
        about: "the leader isolated, a follower isolated, one-way cuts, the leader paused",
        voters: 3,
        setting: cuts::setting,
        play: cuts::play,
    },
    Story {
        name: "five",
        about: "five voters lose any two under load, the leader among them",
        voters: 5,
        setting: Setting::default,
        play: five::play,
    },
    Story {
        name: "rolling",
        about: "each member in turn is replaced by another program on an empty folder, and back",
        voters: 3,
        setting: Setting::default,
        play: rolling::play,
    },
    Story {
        name: "grow",
        about: "reconfig under load: one server becomes three, five, seven with two observers; a voter \
                becomes an observer and back; the leader leaves; three are left",
        voters: 5,
        setting: grow::setting,
        play: grow::play,
    },
    Story {
        name: "large",
        about: "a tree of tens of megabytes is sent under load, by one leader and by the next",
        voters: 3,
        setting: large::setting,
        play: large::play,
    },
    Story {
        name: "masters",
        about: "observers are served by followers, and go to another when theirs dies",
        voters: 3,
        setting: masters::setting,
        play: masters::play,
    },
    Story {
        name: "addresses",
        about: "two addresses of each member, with the handshake that names them",
        voters: 3,
        setting: addresses::setting,
        play: addresses::play,
    },
    Story {
        name: "oracle",
        about: "two voters, each alone in turn, as their oracles say",
        voters: 2,
        setting: Setting::default,
        play: oracle::play,
    },
    Story {
        name: "poison",
        about: "garbage, lengths, unknown kinds, foreign epochs and silence at the ports of every \
                member; requests that cannot be decoded",
        voters: 3,
        setting: Setting::default,
        play: poison::play,
    },
    Story {
        name: "faults",
        about: "full disks, no id, an unknown id, a leader that stands still",
        voters: 3,
        setting: faults::setting,
        play: faults::play,
    },
    Story {
        name: "clocks",
        about: "wall clocks that are hours apart, a leader's and its successor's too",
        voters: 3,
        setting: clocks::setting,
        play: clocks::play,
    },
    Story {
        name: "alone",
        about: "member 1 stood alone, and becomes the first of an ensemble by its configuration",
        voters: 3,
        setting: alone::setting,
        play: alone::play,
    },
    Story {
        name: "strangers",
        about: "the data of another ensemble, of a lower, equal and higher epoch; two servers of one id",
        voters: 3,
        setting: strangers::setting,
        play: strangers::play,
    },
    Story {
        name: "scripted",
        about: "member 1 alone under a scripted leader, then scripted learners at member 2: trees, \
                held COMMITs, cuts, doubtful words",
        voters: 3,
        setting: Setting::default,
        play: scripted::play,
    },
];

/// Plays a story in a new folder below `work`; prints its steps.
///
/// # Errors
/// What went wrong, with the end of every member's output; the folder is kept then.
pub fn play(
    story: &Story,
    cast: &Cast<'_>,
    programs: &Programs,
    work: &Path,
) -> Result<std::time::Duration, String> {
    let voters = cast.seats.iter().filter(|seat| !seat.observer).count();
    if voters != story.voters {
        return Err(format!(
            "{} needs {} voters, not {voters}",
            story.name, story.voters
        ));
    }
    let dir = tempfile::Builder::new()
        .prefix(&format!("ensemble-{}-", story.name))
        .tempdir_in(work)
        .map_err(|e| format!("{}: {e}", work.display()))?
        .keep();
    let mut stage = Stage::new(cast.seats, programs, dir, &(story.setting)())?;
    match (story.play)(&mut stage, cast) {
        Ok(()) => {
            let took = stage.elapsed();
            stage.finish()?;
            Ok(took)
        }
        Err(why) => Err(format!("{}\n{why}", stage.tails())),
    }
}
