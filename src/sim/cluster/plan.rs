//! What a seed decides before anything happens: who is in the ensemble, how quick everything is,
//! and what will go wrong how often.
//!
//! Times of the world are microseconds; those of the settings milliseconds, as in the files.

use std::collections::BTreeMap;

use zk_core::Config;
use zk_wire::quorum::config::{Address, HostPort, Member, MemberRole, QuorumConfig};
use zk_zab::rules::Rules;
use zk_zab::{Settings, Sid};

use crate::dice::Dice;
use crate::limits::{CLUSTER_CLIENTS, CLUSTER_OPS};

/// An hour, milliseconds.
pub const HOUR_MS: i64 = 3_600_000;

/// How long something takes, microseconds: at least and at most, and rarely so many times longer.
#[derive(Clone, Copy, Debug)]
pub struct Delay {
    /// At least.
    pub least: i64,
    /// At most, usually.
    pub most: i64,
    /// Once in how many times it takes ten times as long; 0 is never.
    pub rare: usize,
}

impl Delay {
    /// One.
    pub fn draw(self, dice: &mut Dice) -> i64 {
        let usual = dice.within(self.least..=self.most);
        if self.rare > 0 && dice.once_in(self.rare) {
            usual * 10
        } else {
            usual
        }
    }
}

/// How often each fault is chosen, beside the others.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Power cut of a server.
    pub crash: u32,
    /// kill -9 of a server.
    pub kill: u32,
    /// A server does not run for a while.
    pub pause: u32,
    /// Servers are parted in two.
    pub part: u32,
    /// One direction between two servers is dead for a while.
    pub one_way: u32,
    /// A server hears nobody and is heard by nobody.
    pub isolate: u32,
    /// A link of the quorum port is reset.
    pub reset: u32,
    /// A connection of the election port ends.
    pub unvote: u32,
    /// A disk does nothing for a while.
    pub stuck: u32,
    /// A disk is full: the server ends with it.
    pub full: u32,
    /// All servers lose their power.
    pub blackout: u32,
    /// The leader, whoever it is, is cut off or killed.
    pub leader: u32,
    /// A server's disk is replaced by an empty one.
    pub wipe: u32,
    /// A server's wall clock is set.
    pub jump: u32,
}

/// A plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Whether the servers are whole, with the node and the tree; else a node without a tree runs
    /// above the quorum layer.
    pub real: bool,
    /// Sessions' timeout, milliseconds.
    pub session_ms: i32,
    /// The configuration of all.
    pub config: QuorumConfig,
    /// Servers that are in nobody's configuration and follow all the same.
    pub outside: Vec<i64>,
    /// Reconfigurations that an administrator asks for; none if 0.
    pub reconfigs: usize,
    /// Between two words of the administrator.
    pub admin: Delay,
    /// Settings of all; id, seed and rules are each server's own.
    pub settings: Settings,
    /// Rules by server, where they are not all.
    pub rules: BTreeMap<i64, Rules>,
    /// Clients' operations until the faults end.
    pub ops: usize,
    /// Clients.
    pub clients: usize,
    /// Requests of a client under way at most.
    pub outstanding: usize,
    /// How many of a hundred operations are writes.
    pub writes: usize,
    /// Between two operations of a client.
    pub think: Delay,
    /// A packet's way.
    pub net: Delay,
    /// One piece of work of the log's thread.
    pub disk: Delay,
    /// Records of one fsync.
    pub batch: usize,
    /// Between two turns of apply.
    pub apply: Delay,
    /// Records of one turn of apply.
    pub budget: usize,
    /// Between two writes of the store.
    pub persist: Delay,
    /// Between two cuts of the log's beginning; none if 0.
    pub purge_us: i64,
    /// One step of a stream or of reading the log.
    pub read: Delay,
    /// Until a restart.
    pub down: Delay,
    /// Between two faults.
    pub fault: Delay,
    /// How long a fault lasts that ends by itself.
    pub lasting: Delay,
    /// Which faults.
    pub weights: Weights,
    /// The last counter of an epoch.
    pub counter_max: u32,
    /// How much clocks differ, parts of a thousand.
    pub drift: i64,
    /// How far wall clocks are apart, milliseconds.
    pub apart_ms: i64,
    /// An oracle lets this one of two voters go on alone, now and then.
    pub oracle: Option<i64>,
    /// How many records a stream begins before the snapshot that it sent, at most: Java reads a
    /// snapshot's zxid when its window has begun.
    pub window: usize,
}

/// A member with addresses that nobody dials: the simulator knows servers by their ids.
pub fn member(sid: i64, role: MemberRole) -> Member {
    Member {
        addresses: vec![Address {
            host: format!("host{sid}"),
            quorum: 2_888,
            election: 3_888,
        }],
        role,
        client: Some(HostPort {
            host: "0.0.0.0".into(),
            port: 2_181,
        }),
        client_from_static: false,
    }
}

/// The configuration of so many voters, then observers; ids from 1.
pub fn ensemble(voters: i64, observers: i64) -> QuorumConfig {
    let role = |sid| {
        if sid <= voters {
            MemberRole::Participant
        } else {
            MemberRole::Observer
        }
    };
    QuorumConfig {
        members: (1..=voters + observers)
            .map(|sid| (sid, member(sid, role(sid))))
            .collect(),
        ..QuorumConfig::default()
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Plan {
        let mut dice = Dice::new(seed ^ 0x6e73_656d_626c_6500);
        let dice = &mut dice;
        let voters = *dice.pick(&[3, 3, 3, 5, 5, 7]);
        let observers = *dice.pick(&[0, 0, 1, 2]);
        let mut config = ensemble(voters, observers);
        if voters >= 5 && dice.once_in(4) {
            groups(&mut config, dice);
        }
        let outside = if dice.once_in(5) {
            vec![voters + observers + 1]
        } else {
            Vec::new()
        };
        let tick_ms = *dice.pick(&[10, 40, 100]);
        let tick_us = tick_ms * 1_000;
        let settings = Settings {
            tick_ms,
            init_limit: dice.within(4..=10),
            sync_limit: dice.within(2..=5),
            connect_limit: 0,
            dial_pause_ms: (tick_ms / 10).max(1),
            notify_min_ms: tick_ms,
            notify_max_ms: 8 * tick_ms,
            finalize_ms: tick_ms,
            observer_delay_ms: tick_ms,
            force_snap: dice.once_in(12),
            snap_factor: *dice.pick(&[-1.0, 0.0, 0.33, 0.33, 1.0]),
            commit_log_count: dice.within(1..=20) as u64,
            max_wait_for_epoch_ms: *dice.pick(&[-1, -1, 2 * tick_ms]),
            ..Settings::default()
        };
        let slow = |dice: &mut Dice, divisor: i64| {
            let most = tick_us / divisor;
            let most = match dice.below(4) {
                0 => most * 4,
                1 => most / 4,
                _ => most,
            };
            Delay {
                least: (most / 10).max(1),
                most: most.max(2),
                rare: *dice.pick(&[0, 20, 200]),
            }
        };
        let mut weight = |usual: u32| match dice.below(4) {
            0 => 0,
            1 => usual * 3,
            _ => usual,
        };
        let weights = Weights {
            crash: weight(4),
            kill: weight(4),
            pause: weight(4),
            part: weight(3),
            one_way: weight(4),
            isolate: weight(3),
            reset: weight(5),
            unvote: weight(3),
            stuck: weight(3),
            full: weight(2),
            blackout: weight(1),
            leader: 4,
            wipe: 0,
            jump: 0,
        };
        let plan = Plan {
            seed,
            real: seed % 2 == 1,
            reconfigs: 0,
            admin: Delay {
                least: tick_us,
                most: 20 * tick_us,
                rare: 0,
            },
            session_ms: (tick_ms * dice.within(6..=60)) as i32,
            config,
            outside,
            settings,
            rules: BTreeMap::new(),
            ops: CLUSTER_OPS + dice.below(CLUSTER_OPS),
            clients: 1 + dice.below(CLUSTER_CLIENTS),
            outstanding: *dice.pick(&[1, 4, 16]),
            writes: *dice.pick(&[60, 80, 95]),
            think: slow(dice, 2),
            net: slow(dice, 40),
            disk: slow(dice, 40),
            batch: *dice.pick(&[1, 3, 20]),
            apply: slow(dice, 60),
            budget: *dice.pick(&[1, 5, 100]),
            persist: slow(dice, 1),
            purge_us: *dice.pick(&[0, 4 * tick_us, 20 * tick_us]),
            read: slow(dice, 100),
            down: Delay {
                least: tick_us,
                most: tick_us * dice.within(4..=40),
                rare: 0,
            },
            fault: Delay {
                least: tick_us,
                most: tick_us * dice.within(5..=30),
                rare: 0,
            },
            lasting: Delay {
                least: tick_us,
                most: tick_us * dice.within(4..=40),
                rare: 0,
            },
            weights,
            counter_max: if dice.once_in(8) {
                dice.within(10..=80) as u32
            } else {
                zk_zab::limits::COUNTER_MAX
            },
            drift: *dice.pick(&[0, 5, 100]),
            apart_ms: 0,
            oracle: None,
            window: *dice.pick(&[0, 0, 3]),
        };
        // What came later is drawn with dice of its own: the rest of a seed's plan stays.
        let mut dice = Dice::new(seed ^ 0x6368_616e_6765_7300);
        plan.with_changes(&mut dice).with_losses(&mut dice)
    }

    /// Clocks that are wrong, disks that are replaced, observers of followers, and an oracle.
    fn with_losses(mut self, dice: &mut Dice) -> Plan {
        self.apart_ms = *dice.pick(&[0, 0, 6 * HOUR_MS]);
        self.weights.jump = *dice.pick(&[0, 2, 4]);
        // With one voter there is nobody but the leader, and that is no observer master.
        let followers = self.reconfigs == 0 || self.settings.standalone_enabled;
        self.settings.observer_master = dice.once_in(2) && followers;
        let wipe = *dice.pick(&[0, 0, 2]);
        let alone = dice.once_in(12);
        let observers = *dice.pick(&[0, 1]);
        let favoured = dice.within(1..=2);
        if self.reconfigs > 0 {
            return self;
        }
        if alone {
            self.config = ensemble(2, observers);
            self.outside.clear();
            self.oracle = Some(favoured);
        } else {
            self.weights.wipe = wipe;
        }
        self
    }

    /// Whole servers may get an administrator who changes the configuration, with servers outside
    /// of it that can join.
    fn with_changes(mut self, dice: &mut Dice) -> Plan {
        if !self.real || !dice.once_in(2) {
            return self;
        }
        self.reconfigs = 1 + dice.below(8);
        self.admin.most = self.settings.tick_ms * 1_000 * dice.within(4..=40);
        self.settings.reconfig_enabled = true;
        self.settings.standalone_enabled = dice.percent(50);
        if !self.settings.standalone_enabled && dice.once_in(4) {
            // One server that others join.
            self.config = ensemble(1, 0);
        }
        let next = self.config.members.keys().max().map_or(1, |sid| sid + 1);
        let joiners = *dice.pick(&[1, 2, 3]);
        self.outside = (next..next + joiners).collect();
        self
    }

    /// What matters most of it, in a few words.
    pub fn describe(&self) -> String {
        let roles = self.config.members.iter();
        let members: Vec<String> = roles
            .map(|(sid, member)| format!("{sid} {}", member.role.name()))
            .collect();
        let s = &self.settings;
        format!(
            "{}{}; outside {:?}, groups {:?}, weights {:?}; tick {} ms, initLimit {}, syncLimit {}; \
             {} clients with {} under way; {} reconfigurations; oracle for {:?}; {:?}",
            members.join(", "),
            if self.real { ", whole servers" } else { "" },
            self.outside,
            self.config.groups,
            self.config.weights,
            s.tick_ms,
            s.init_limit,
            s.sync_limit,
            self.clients,
            self.outstanding,
            self.reconfigs,
            self.oracle,
            self.weights,
        )
    }

    /// Every server, outsiders too.
    pub fn servers(&self) -> Vec<i64> {
        let inside = self.config.members.keys().copied();
        inside.chain(self.outside.iter().copied()).collect()
    }

    /// What a server's node is told.
    pub fn config_of(&self, sid: i64) -> Config {
        let tick_ms = self.settings.tick_ms;
        let config = Config {
            server_id: sid as u8,
            tick_ms,
            min_session_ms: 2 * tick_ms as i32,
            max_session_ms: 100 * tick_ms as i32,
            last_counter: self.counter_max,
            rules: self.rules.get(&sid).copied().unwrap_or_default(),
            seed: self.seed,
            reconfig_enabled: self.settings.reconfig_enabled,
            ..Config::default()
        };
        super::users::settle(config, self.seed)
    }

    /// Settings of one server, in its so manieth life.
    pub fn settings_of(&self, sid: i64, life: u64) -> Settings {
        Settings {
            me: Sid(sid),
            seed: self.seed ^ (sid as u64) << 32 ^ life,
            rules: self.rules.get(&sid).copied().unwrap_or_default(),
            ..self.settings.clone()
        }
    }
}

/// Parts the voters into three groups, of which one may have no weight.
pub fn groups(config: &mut QuorumConfig, dice: &mut Dice) {
    let voters: Vec<i64> = config.voters().map(|(sid, _)| sid).collect();
    for (at, sid) in voters.iter().enumerate() {
        let group = at as i64 % 3 + 1;
        config.groups.entry(group).or_default().insert(*sid);
        let weight = *dice.pick(&[1, 1, 1, 2, 0]);
        config.weights.insert(*sid, weight);
    }
    let sum: i64 = config.weights.values().sum();
    if sum == 0
        && let Some(first) = voters.first()
    {
        config.weights.insert(*first, 1);
    }
}
