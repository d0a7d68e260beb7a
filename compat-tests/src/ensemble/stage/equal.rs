//! Whether all servers are equal, and what is acknowledged is there.
//!
//! Owns: the comparison of a stage at rest. Does not know: what the story did before.

use std::collections::BTreeMap;

use super::super::spec::Kind;
use super::super::tap::kind;
use super::super::{tree, verify};
use super::{Stage, is_old};

impl Stage {
    /// Brings the whole to rest and holds every server against the journal and the others; then the
    /// load goes on.
    ///
    /// # Errors
    /// Anything is not as it must be.
    pub fn verify(&mut self, after: &str) -> Result<(), String> {
        self.load.pause()?;
        for client in &mut self.foreign {
            client.pause()?;
        }
        self.all_serve()?;
        let before = self.mismatches()?;
        let (from, zxid) = self.rest()?;
        let mut wrong = Vec::new();
        for (id, count) in self.mismatches()? {
            let at_rest = before.get(&id).copied().unwrap_or(0);
            let allowed = if self.excused(id)? { at_rest } else { 0 };
            if count > allowed {
                wrong.push(format!(
                    "{id}: {count} digests were wrong, {at_rest} of them before the rest"
                ));
            }
        }
        let (mut digests, mut trees) = (Vec::new(), Vec::new());
        for member in &self.members {
            if !member.expected() {
                continue;
            }
            let id = member.id();
            let word = |word: &str| {
                member
                    .word(word)
                    .ok_or_else(|| format!("{id} does not answer {word}"))
            };
            digests.push((id, verify::digests(&word("hash")?, from)));
            trees.push((id, tree::read(member.client)?));
        }
        let compared = verify::same_digests(&digests)?;
        let (written, lost, moves) = {
            let journal = self.load.journal();
            for (id, tree) in &trees {
                for line in verify::against_journal(&journal, tree) {
                    wrong.push(format!("{id}: {line}"));
                }
            }
            wrong.extend(journal.wrongs.iter().cloned());
            (journal.acknowledged, journal.lost, journal.moves)
        };
        for client in &self.foreign {
            let said = client.said();
            for (id, tree) in &trees {
                for line in verify::against_words(&said, tree) {
                    wrong.push(format!("{id}: {line}"));
                }
            }
            wrong.extend(said.wrongs.iter().cloned());
        }
        wrong.extend(verify::same_trees(&trees));
        if let Some(taps) = &self.taps {
            wrong.extend(taps.offences().into_iter().take(10));
        }
        if !wrong.is_empty() {
            return Err(format!("after {after}:\n{}", wrong.join("\n")));
        }
        let nodes = trees.first().map_or(0, |(_, tree)| tree.len());
        self.note(format!(
            "{after}: {} servers equal at {zxid:#x}: {nodes} nodes, {compared} digests; \
             {written} writes, {lost} lost on the way, {moves} moves",
            trees.len()
        ));
        self.load.resume();
        for client in &mut self.foreign {
            client.resume()?;
        }
        Ok(())
    }

    /// The counters of wrong digests of those that are to answer.
    fn mismatches(&self) -> Result<BTreeMap<u8, u64>, String> {
        self.members
            .iter()
            .filter(|member| member.expected())
            .map(|member| {
                let id = member.id();
                let mntr = member
                    .word("mntr")
                    .ok_or_else(|| format!("{id} does not answer mntr"))?;
                let count = verify::mismatches(&mntr).map_err(|why| format!("{id}: {why}"))?;
                Ok((id, count))
            })
            .collect()
    }

    /// Whether a member may have counted wrong digests before it came to rest. A Java leader's SNAP
    /// may run ahead of its zxid, and a Java learner compares the digests of the transactions that it
    /// then has twice. An old server that has left a Java leader (see `may_retry`) logs the same
    /// transactions again, and counts them at its next start. Where no taps tell, a Java server among
    /// others is believed.
    fn excused(&mut self, id: u8) -> Result<bool, String> {
        let java = |stage: &mut Stage, id: u8| -> Result<bool, String> {
            Ok(matches!(stage.member(id)?.seat.kind, Kind::Java(_)))
        };
        if !java(self, id)? {
            return Ok(false);
        }
        let Some(taps) = &self.taps else {
            let others: Vec<u8> = self
                .ids()
                .into_iter()
                .filter(|other| *other != id)
                .collect();
            for other in others {
                if java(self, other)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        };
        let syncs = taps.syncs(id, self.begun);
        let old = is_old(&self.member(id)?.seat.kind);
        let leaders: Vec<u8> = syncs
            .iter()
            .filter(|sync| sync.kind == kind::SNAP || old)
            .map(|sync| sync.leader)
            .collect();
        for leader in leaders {
            if java(self, leader)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
