//! The one table of metrics. Each row makes a field of [`Metrics`], which the server counts into,
//! and a line in every rendering.
//!
//! All names that Java 3.9.5 shows are here, because dashboards and alerts ask for them. A row says
//! who feeds it: `Here` any server, `Ensemble` a member of one, `Later` a part that is not built,
//! `Java` a part that only Java has. What nobody feeds stays 0, as it does in a standalone Java
//! server.

use super::value::{Counter, CounterSet, Detail, Summary, SummarySet};

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that grows.
    Counter,
    /// One per key.
    CounterSet,
    /// Samples.
    Summary(Detail),
    /// One per key.
    SummarySet(Detail),
}

/// Who feeds a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// A standalone server.
    Here,
    /// A server of an ensemble.
    Ensemble,
    /// A part that is not built yet.
    Later,
    /// A part of the Java implementation that has no counterpart.
    Java,
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct MetricRow {
    /// Java's name.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// Who feeds it.
    pub fed: Fed,
    /// One line of meaning.
    pub meaning: &'static str,
}

/// A metric, as renderings meet it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Metric<'a> {
    Counter(&'a Counter),
    CounterSet(&'a CounterSet),
    Summary(&'a Summary),
    SummarySet(&'a SummarySet),
}

macro_rules! metrics {
    (
        counters { $($(#[doc = $cdoc:literal])* $counter:ident $cfed:ident;)* }
        counter_sets { $($(#[doc = $csdoc:literal])* $counter_set:ident $csfed:ident;)* }
        summaries { $($(#[doc = $sdoc:literal])* $summary:ident $detail:ident $sfed:ident;)* }
        summary_sets { $($(#[doc = $ssdoc:literal])* $summary_set:ident $sdetail:ident $ssfed:ident;)* }
    ) => {
        /// Every metric that is counted into. Times are milliseconds.
        #[derive(Debug)]
        pub struct Metrics {
            $($(#[doc = $cdoc])* pub $counter: Counter,)*
            $($(#[doc = $csdoc])* pub $counter_set: CounterSet,)*
            $($(#[doc = $sdoc])* pub $summary: Summary,)*
            $($(#[doc = $ssdoc])* pub $summary_set: SummarySet,)*
        }

        /// The table.
        pub const TABLE: &[MetricRow] = &[
            $(MetricRow {
                name: stringify!($counter), kind: Kind::Counter, fed: Fed::$cfed,
                meaning: concat!($($cdoc),*),
            },)*
            $(MetricRow {
                name: stringify!($counter_set), kind: Kind::CounterSet, fed: Fed::$csfed,
                meaning: concat!($($csdoc),*),
            },)*
            $(MetricRow {
                name: stringify!($summary), kind: Kind::Summary(Detail::$detail), fed: Fed::$sfed,
                meaning: concat!($($sdoc),*),
            },)*
            $(MetricRow {
                name: stringify!($summary_set), kind: Kind::SummarySet(Detail::$sdetail),
                fed: Fed::$ssfed, meaning: concat!($($ssdoc),*),
            },)*
        ];

        impl Metrics {
            pub(super) fn with_prometheus(prometheus: bool) -> Metrics {
                Metrics {
                    $($counter: Counter::default(),)*
                    $($counter_set: CounterSet::default(),)*
                    $($summary: Summary::new(Detail::$detail, prometheus),)*
                    $($summary_set: SummarySet::new(Detail::$sdetail, prometheus),)*
                }
            }

            /// Every metric with its name, in the order of the table.
            pub(super) fn each<'a>(&'a self, mut visit: impl FnMut(&'static str, Metric<'a>)) {
                $(visit(stringify!($counter), Metric::Counter(&self.$counter));)*
                $(visit(stringify!($counter_set), Metric::CounterSet(&self.$counter_set));)*
                $(visit(stringify!($summary), Metric::Summary(&self.$summary));)*
                $(visit(stringify!($summary_set), Metric::SummarySet(&self.$summary_set));)*
            }
        }
    };
}

metrics! {
    counters {
        /// Bytes of client frames received, with their lengths.
        bytes_received_count Here;
        /// Bytes of replies sent.
        response_bytes Here;
        /// Bytes of watch events sent.
        watch_bytes Here;
        /// Connect requests let through by the throttle.
        connection_request_count Here;
        /// Connections refused: by the limits of connections, or by the throttle.
        connection_rejected Here;
        /// Connections closed by the server because of an error or a timeout.
        connection_drop_count Here;
        /// Sessions that came back.
        connection_revalidate_count Here;
        /// Connections closed because they never made a session.
        sessionless_connections_expired Here;
        /// Sessions expired.
        stale_sessions_expired Here;
        /// Requests that were stale when their turn came.
        stale_requests Here;
        /// Stale requests dropped by the request throttle.
        stale_requests_dropped Here;
        /// Replies to connections that were closed.
        stale_replies Here;
        /// Stalls of the request throttle.
        request_throttle_wait_count Here;
        /// Requests answered with error -127.
        throttled_ops Here;
        /// Large requests over the budget.
        large_requests_rejected Here;
        /// Requests taken in for preparation.
        prep_processor_request_queued Here;
        /// Pending changes of prepared writes, added.
        outstanding_changes_queued Here;
        /// Pending changes of prepared writes, removed.
        outstanding_changes_removed Here;
        /// Requests handed to the log.
        sync_processor_request_queued Here;
        /// Transactions whose digest differed after apply.
        digest_mismatches_count Here;
        /// Ensemble scheme: a name that matched.
        ensemble_auth_success Here;
        /// Ensemble scheme: a name that did not match.
        ensemble_auth_fail Here;
        /// Ensemble scheme: no name given, or none expected.
        ensemble_auth_skip Here;
        /// Errors that stopped the server.
        unrecoverable_error_count Here;
        /// Connections closed while the server was not running.
        cnxn_closed_without_zk_server_running Here;
        /// Elections begun.
        looking_count Ensemble;
        /// Learners synchronised by a DIFF.
        diff_count Ensemble;
        /// Learners synchronised by a SNAP.
        snap_count Ensemble;
        /// Commits sent.
        commit_count Ensemble;
        /// Proposals sent.
        proposal_count Ensemble;
        /// Proposals received.
        learner_proposal_received_count Ensemble;
        /// Commits received.
        learner_commit_received_count Ensemble;
        /// Sessions that learners asked the leader to validate.
        revalidate_count Ensemble;
        /// Leaderships given up because a voter followed another leader.
        quit_leading_due_to_disloyal_voter Ensemble;
        /// Commits taken in by the commit stage.
        request_commit_queued Java;
        /// Requests that skipped the queue of the learner.
        skip_learner_request_to_next_processor_count Java;
        /// Requests of learners that did not go through the commit stage.
        requests_not_forwarded_to_commit_processor Java;
        /// Snapshot command: failures.
        snapshot_error_count Later;
        /// Snapshot command: refused by the rate limit.
        snapshot_rate_limited_count Later;
        /// Restore command: failures.
        restore_error_count Later;
        /// Restore command: refused by the rate limit.
        restore_rate_limited_count Later;
        /// Admin requests without TLS on a unified port.
        insecure_admin_count Later;
        /// TLS handshakes that failed.
        unsuccessful_handshake Later;
        /// TLS handshakes over their limit.
        tls_handshake_exceeded Later;
        /// Response cache of getData: hits.
        response_packet_cache_hits Java;
        /// Response cache of getData: misses.
        response_packet_cache_misses Java;
        /// Response cache of getChildren: hits.
        response_packet_get_children_cache_hits Java;
        /// Response cache of getChildren: misses.
        response_packet_get_children_cache_misses Java;
        /// Cleaner of dead watchers: waits.
        add_dead_watcher_stall_time Java;
        /// Cleaner of dead watchers: queued.
        dead_watchers_queued Java;
        /// Cleaner of dead watchers: cleared.
        dead_watchers_cleared Java;
    }
    counter_sets {
        /// Requests refused by a hard quota, by top path element.
        quota_exceeded_error_per_namespace Here;
    }
    summaries {
        /// From a read's arrival to its reply.
        readlatency Advanced Here;
        /// From a write's arrival to its reply.
        updatelatency Advanced Here;
        /// From a transaction's time (wall clock) to its apply.
        propagation_latency Advanced Here;
        /// One fsync of the log.
        fsynctime Basic Here;
        /// Loading of the database at start.
        dbinittime Basic Here;
        /// Loading of the store, or of a snapshot, at start.
        startup_snap_load_time Basic Here;
        /// Transactions replayed at start.
        startup_txns_loaded Basic Here;
        /// Their replay.
        startup_txns_load_time Basic Here;
        /// Tokens missing in the connection throttle at an admitted connect request.
        connection_token_deficit Basic Here;
        /// Wait of a request in the throttle.
        request_throttle_queue_time_ms Advanced Here;
        /// Wait of a request for preparation.
        prep_processor_queue_time_ms Advanced Here;
        /// Requests waiting for preparation when one is taken.
        prep_processor_queue_size Basic Here;
        /// Preparation of a request.
        prep_process_time Basic Here;
        /// Handing a prepared request on.
        proposal_process_time Basic Here;
        /// Preparation of a closeSession.
        close_session_prep_time Advanced Here;
        /// Wait of a request for the log.
        sync_processor_queue_time_ms Advanced Here;
        /// Requests waiting for the log when one is taken.
        sync_processor_queue_size Basic Here;
        /// Writing of a request to the log, without fsync.
        sync_process_time Basic Here;
        /// Requests of one fsync.
        sync_processor_batch_size Basic Here;
        /// Flush of a batch, fsync and handing on.
        sync_processor_queue_flush_time_ms Advanced Here;
        /// Wait of a request for the log and its flush.
        sync_processor_queue_and_flush_time_ms Advanced Here;
        /// Watches fired by one create.
        node_created_watch_count Basic Here;
        /// Watches fired by one delete.
        node_deleted_watch_count Basic Here;
        /// Watches fired by one setData.
        node_changed_watch_count Basic Here;
        /// Watches fired by a change of children.
        node_children_watch_count Basic Here;
        /// Writing of a snapshot.
        snapshottime Basic Later;
        /// Restore command.
        restore_time Basic Later;
        /// Elections.
        election_time Basic Ensemble;
        /// Synchronisation of a follower.
        follower_sync_time Basic Ensemble;
        /// Synchronisation of an observer.
        observer_sync_time Basic Ensemble;
        /// Time without serving.
        unavailable_time Basic Ensemble;
        /// Time of the leader without serving.
        leader_unavailable_time Basic Ensemble;
        /// Snapshots on their way to learners.
        inflight_snap_count Basic Ensemble;
        /// DIFFs on their way to learners.
        inflight_diff_count Basic Ensemble;
        /// Closing of a learner's socket.
        socket_closing_time Basic Java;
        /// Requests waiting in a learner.
        learner_request_processor_queue_size Basic Java;
        /// From a proposal's time to its arrival.
        proposal_latency Advanced Ensemble;
        /// From a proposal's arrival to its ACK.
        proposal_ack_creation_latency Advanced Ensemble;
        /// From a commit's time to its arrival.
        commit_propagation_latency Advanced Ensemble;
        /// From a proposal to the quorum of its ACKs.
        quorum_ack_latency Advanced Ensemble;
        /// Observer master: proposals.
        om_proposal_process_time_ms Advanced Later;
        /// Observer master: commits.
        om_commit_process_time_ms Advanced Later;
        /// Commit stage: reads queued.
        read_commit_proc_req_queued Basic Java;
        /// Commit stage: writes queued.
        write_commit_proc_req_queued Basic Java;
        /// Commit stage: commits queued.
        commit_commit_proc_req_queued Basic Java;
        /// Commit stage: reads issued.
        read_commit_proc_issued Basic Java;
        /// Commit stage: writes issued.
        write_commit_proc_issued Basic Java;
        /// Commit stage: one commit.
        commit_process_time Basic Java;
        /// Commit stage: reads.
        read_commitproc_time_ms Advanced Java;
        /// Commit stage: writes.
        write_commitproc_time_ms Advanced Java;
        /// Commit stage: own writes, committed.
        local_write_committed_time_ms Advanced Java;
        /// Commit stage: other servers' writes, committed.
        server_write_committed_time_ms Advanced Java;
        /// Last stage: reads.
        read_final_proc_time_ms Advanced Java;
        /// Last stage: writes.
        write_final_proc_time_ms Advanced Java;
        /// Commit stage: requests in processing.
        concurrent_request_processing_in_commit_processor Basic Java;
        /// Commit stage: sessions with a queue.
        pending_session_queue_size Basic Java;
        /// Commit stage: reads behind a write.
        reads_after_write_in_session_queue Basic Java;
        /// Commit stage: reads issued of a queue.
        reads_issued_from_session_queue Basic Java;
        /// Commit stage: requests of a queue.
        requests_in_session_queue Basic Java;
        /// Commit stage: queues emptied.
        session_queues_drained Basic Java;
        /// Commit stage: wait for reads to end.
        time_waiting_empty_pool_in_commit_processor_read_ms Basic Java;
        /// Commit stage: one batch of writes.
        write_batch_time_in_commit_processor Basic Java;
        /// Pauses of the JVM.
        jvm_pause_time_ms Advanced Java;
        /// Netty's buffers.
        netty_queued_buffer_capacity Basic Java;
        /// Cleaner of dead watchers.
        dead_watchers_cleaner_latency Advanced Java;
    }
    summary_sets {
        /// Bytes of reads, by top path element.
        read_per_namespace Basic Here;
        /// Bytes of writes, by top path element.
        write_per_namespace Basic Here;
        /// Queue of a learner, by server id.
        learner_handler_qp_size Basic Java;
        /// Wait in the queue of a learner, by server id.
        learner_handler_qp_time_ms Advanced Java;
        /// From a proposal to the ACK of a server, by its id; of every 1000th zxid.
        ack_latency Advanced Ensemble;
    }
}
