//! The store in RocksDB.
//!
//! Owns how RocksDB is set up. Its write-ahead log is off: the transaction log is ours. So a
//! reopened database is at the last flush, and `atomic_flush` with every family named makes that
//! one point for all of them. RocksDB may flush earlier on its own; that too is one point between
//! two writes.
//!
//! Does not know rows. Reads may come from any thread, writes and flushes from one.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRawIterator, Env, ErrorKind, FlushOptions, LogLevel, Options, ReadOptions, WriteBatch,
    WriteOptions,
};

use crate::error::{Error, Result};
use crate::limits::{
    ALL_WRITE_BUFFERS, BLOCK_CACHE, COMPACTION_BUFFER, GENTLE_RATE, GENTLE_REFILL_US,
    NODE_WRITE_BUFFER, OPEN_TABLES, OTHER_WRITE_BUFFER, SCAN_READAHEAD, TABLE_SYNC,
};
use crate::store::{Family, Frozen, Merged, Snapshot, Store, TakePair};

/// A store in RocksDB.
pub struct RocksStore {
    db: DB,
    write: WriteOptions,
}

impl fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksStore")
            .field("path", &self.db.path())
            .finish_non_exhaustive()
    }
}

fn failed(action: &'static str) -> impl FnOnce(rocksdb::Error) -> Error {
    move |e| {
        let why = e.to_string();
        // The folder is there, so a file of it that is not was there once.
        let missing = e.kind() == ErrorKind::IOError && why.contains("No such file or directory");
        if e.kind() == ErrorKind::Corruption || missing {
            let what = format!("cannot {action}");
            return Error::StoreCorrupt { what, why };
        }
        Error::Store { action, why }
    }
}

/// Options of the whole database.
fn database(gentle: bool) -> Result<Options> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_atomic_flush(true);
    options.set_paranoid_checks(true);
    // One thread writes, in sorted batches, and nobody shares its memtable.
    options.set_allow_concurrent_memtable_write(false);
    options.set_enable_write_thread_adaptive_yield(false);
    options.set_db_write_buffer_size(ALL_WRITE_BUFFERS);
    options.set_max_open_files(OPEN_TABLES);
    options.set_skip_stats_update_on_db_open(true);
    // Its own diary: small, and only what is out of the ordinary.
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(1 << 20);
    options.set_keep_log_file_num(2);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_max_manifest_file_size(4 << 20);
    // Background work must not take the processor from whoever holds the tree.
    let mut env = Env::new().map_err(failed("make its environment"))?;
    env.lower_thread_pool_cpu_priority();
    env.lower_high_priority_thread_pool_cpu_priority();
    options.set_env(&env);
    options.set_max_background_jobs(2);
    options.set_compaction_readahead_size(COMPACTION_BUFFER);
    options.set_writable_file_max_buffer_size(COMPACTION_BUFFER as u64);
    options.set_bytes_per_sync(TABLE_SYNC);
    if gentle {
        // The rate is shared out fairly: that of compactions is never nothing.
        options.set_ratelimiter(GENTLE_RATE, GENTLE_REFILL_US, 10);
    }
    Ok(options)
}

fn family(name: Family, cache: &Cache) -> Options {
    let mut options = Options::default();
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(6);
    options.set_block_based_table_factory(&table);
    let (none, lz4) = (DBCompressionType::None, DBCompressionType::Lz4);
    match name {
        Family::Node | Family::Owner => {
            options.set_write_buffer_size(if name == Family::Node {
                NODE_WRITE_BUFFER
            } else {
                OTHER_WRITE_BUFFER
            });
            // Measured with the example `store_cost`, processor per row: levels with a late first
            // compaction 1.7 us (1M rows) and 2.4 us (4M), levels as they come 2.0 and 2.9,
            // universal 2.4 and 3.1. What is flushed is soon compacted: compress it then.
            options.set_num_levels(7);
            options.set_compression_per_level(&[none, none, lz4, lz4, lz4, lz4, lz4]);
            options.set_level_zero_file_num_compaction_trigger(8);
            options.set_max_bytes_for_level_base(256 << 20);
            options.set_target_file_size_base(32 << 20);
        }
        Family::Session | Family::Acl | Family::Meta => {
            options.set_write_buffer_size(OTHER_WRITE_BUFFER);
            options.set_compression_type(none);
        }
    }
    options
}

impl RocksStore {
    /// Opens the store in a folder, or makes one there.
    ///
    /// # Errors
    /// [`Error::StoreCorrupt`] when RocksDB finds it damaged, [`Error::Store`] when it cannot say
    /// (no permission, no space, held by another process).
    pub fn open(folder: &Path) -> Result<RocksStore> {
        Self::open_with(folder, false)
    }

    /// The same where others wait for the disk, too: what it writes by itself is spread over time,
    /// at [`GENTLE_RATE`].
    ///
    /// # Errors
    /// As [`RocksStore::open`].
    pub fn open_gently(folder: &Path) -> Result<RocksStore> {
        Self::open_with(folder, true)
    }

    fn open_with(folder: &Path, gentle: bool) -> Result<RocksStore> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE);
        let families = Family::ALL
            .iter()
            .map(|f| ColumnFamilyDescriptor::new(f.name(), family(*f, &cache)));
        let db = DB::open_cf_descriptors(&database(gentle)?, folder, families)
            .map_err(failed("open"))?;
        let mut write = WriteOptions::default();
        write.disable_wal(true);
        // Batches are sorted: each row goes in behind the one before.
        write.set_memtable_insert_hint_per_batch(true);
        Ok(RocksStore { db, write })
    }

    fn family(&self, family: Family) -> Result<&ColumnFamily> {
        self.db
            .cf_handle(family.name())
            .ok_or_else(|| Error::StoreCorrupt {
                what: format!("family {}", family.name()),
                why: "it is missing".into(),
            })
    }

    /// Waits until no compaction is running or due, at most so long; false when time was up.
    pub fn wait_for_compaction(&self, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        let busy = |name: &str| {
            Family::ALL.iter().any(|f| {
                let value = self
                    .db
                    .cf_handle(f.name())
                    .map(|h| self.db.property_int_value_cf(h, name));
                matches!(value, Some(Ok(Some(1..))))
            })
        };
        // RocksDB's C interface has no call that waits.
        while busy("rocksdb.num-running-compactions") || busy("rocksdb.compaction-pending") {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Bytes of memory that RocksDB says it uses: memtables and cached blocks.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn memory(&self) -> Result<u64> {
        let mut sum = 0;
        for family in Family::ALL {
            let handle = self.family(family)?;
            for name in [
                "rocksdb.cur-size-all-mem-tables",
                "rocksdb.estimate-table-readers-mem",
            ] {
                sum += self
                    .db
                    .property_int_value_cf(handle, name)
                    .map_err(failed("read a property"))?
                    .unwrap_or(0);
            }
        }
        let cache = self
            .db
            .property_int_value("rocksdb.block-cache-usage")
            .map_err(failed("read a property"))?;
        Ok(sum + cache.unwrap_or(0))
    }
}

impl Store for RocksStore {
    fn values(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let handle = self.family(family)?;
        self.db
            .batched_multi_get_cf(handle, keys, false)
            .into_iter()
            .map(|value| Ok(value.map_err(failed("read"))?.map(|v| v.to_vec())))
            .collect()
    }

    fn range(
        &self,
        family: Family,
        from: &[u8],
        prefix: &[u8],
        take: &mut TakePair<'_>,
    ) -> Result<()> {
        let iterator = self
            .db
            .raw_iterator_cf_opt(self.family(family)?, scan_options());
        scan(iterator, from, prefix, take)
    }

    fn write(&self, merged: &Merged) -> Result<()> {
        let entries = merged.sorted();
        let mut batch = WriteBatch::with_capacity_bytes(merged.bytes());
        let mut current = (Family::Node, self.family(Family::Node)?);
        for entry in &entries {
            if entry.family != current.0 {
                current = (entry.family, self.family(entry.family)?);
            }
            match entry.value {
                Some(value) => batch.put_cf(current.1, entry.key, value),
                None => batch.delete_cf(current.1, entry.key),
            }
        }
        let meta = self.family(Family::Meta)?;
        for (name, value) in merged.meta().rows() {
            batch.put_cf(meta, name, value);
        }
        self.db
            .write_opt(batch, &self.write)
            .map_err(failed("write"))
    }

    fn flush(&self) -> Result<i64> {
        let mut handles = Vec::new();
        for family in Family::ALL {
            handles.push(self.family(family)?);
        }
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db
            .flush_cfs_opt(&handles, &options)
            .map_err(failed("flush"))?;
        Ok(self.meta()?.map_or(0, |meta| meta.tree.zxid.0))
    }

    fn snapshot(&self) -> Result<Snapshot<'_>> {
        Ok(Snapshot::new(Held {
            store: self,
            state: self.db.snapshot(),
        }))
    }
}

/// Options of a scan.
fn scan_options() -> ReadOptions {
    let mut options = ReadOptions::default();
    // A scan passes by once: what it reads is not worth the cache.
    options.fill_cache(false);
    options.set_readahead_size(SCAN_READAHEAD);
    options
}

fn scan(
    mut iterator: DBRawIterator<'_>,
    from: &[u8],
    prefix: &[u8],
    take: &mut TakePair<'_>,
) -> Result<()> {
    iterator.seek(from);
    while let Some((key, value)) = iterator.item() {
        if !key.starts_with(prefix) || take(key, value)? == ControlFlow::Break(()) {
            return Ok(());
        }
        iterator.next();
    }
    iterator.status().map_err(failed("read"))
}

/// A snapshot of RocksDB: old values of what is written meanwhile stay until it is dropped.
struct Held<'a> {
    store: &'a RocksStore,
    state: rocksdb::Snapshot<'a>,
}

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("store", self.store)
            .finish_non_exhaustive()
    }
}

impl Frozen for Held<'_> {
    fn values(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let handle = self.store.family(family)?;
        self.state
            .multi_get_cf(keys.iter().map(|key| (handle, key)))
            .into_iter()
            .map(|value| value.map_err(failed("read")))
            .collect()
    }

    fn range(
        &self,
        family: Family,
        from: &[u8],
        prefix: &[u8],
        take: &mut TakePair<'_>,
    ) -> Result<()> {
        let iterator = self
            .state
            .raw_iterator_cf_opt(self.store.family(family)?, scan_options());
        scan(iterator, from, prefix, take)
    }
}
