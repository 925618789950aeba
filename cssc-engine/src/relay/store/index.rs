//! What is on disk, and what of it may go.

use std::collections::HashMap;
use std::sync::Arc;

use cssc_registry::Digest;

use super::Claim;
use crate::relay::failure::RelayError;

/// What the smallest file takes.
const BLOCK: u64 = 4096;

/// What content of this many bytes takes on disk.
pub(super) fn cost(bytes: u64) -> u64 {
    bytes
        .checked_next_multiple_of(BLOCK)
        .unwrap_or(u64::MAX)
        .max(BLOCK)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Blob,
    Manifest,
}

impl Kind {
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Blob => "blobs",
            Self::Manifest => "manifests",
        }
    }
}

/// Content stays while one of these is there.
pub(in crate::relay) type Lease = Arc<()>;

#[derive(Debug)]
pub(super) struct Entry {
    size: u64,
    last_used: u64,
    /// How many logins have pushed it.
    logins: u32,
    pub(super) kept: bool,
    pub(super) verified: bool,
    lease: Lease,
}

impl Entry {
    pub(super) fn new(size: u64, verified: bool) -> Self {
        Self {
            size,
            last_used: 0,
            logins: 0,
            kept: false,
            verified,
            lease: Lease::default(),
        }
    }

    pub(super) fn claim(&mut self, claim: Claim) {
        match claim {
            Claim::None => {}
            Claim::Login => self.logins = self.logins.saturating_add(1),
            Claim::Kept => self.kept = true,
        }
    }

    pub(super) fn disclaim(&mut self) {
        self.logins = self.logins.saturating_sub(1);
    }

    fn may_go(&self) -> bool {
        !self.kept && self.logins == 0 && Arc::strong_count(&self.lease) == 1
    }
}

/// What is on disk.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashMap<(Kind, Digest), Entry>,
    space: u64,
    /// What is there and what is still to come.
    used: u64,
    clock: u64,
}

impl Index {
    pub(super) fn within(mut self, space: u64) -> Self {
        self.space = space;
        self
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn release(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// Takes room; what has to go for it is returned.
    pub(super) fn take(&mut self, bytes: u64) -> Result<Vec<(Kind, Digest)>, RelayError> {
        let wanted = self.used.saturating_add(bytes);
        let mut excess = wanted.saturating_sub(self.space);
        let mut evicted = Vec::new();
        if excess > 0 {
            let all = self.entries.iter().filter(|(_, entry)| entry.may_go());
            let mut all: Vec<_> = all.collect();
            all.sort_unstable_by_key(|(_, entry)| entry.last_used);
            for (key, entry) in all {
                if excess == 0 {
                    break;
                }
                excess = excess.saturating_sub(cost(entry.size));
                evicted.push(key.clone());
            }
        }
        if excess > 0 {
            return Err(RelayError::Full { space: self.space });
        }
        for (kind, digest) in &evicted {
            self.remove(*kind, digest);
        }
        self.used = self.used.saturating_add(bytes);
        Ok(evicted)
    }

    /// Adds content whose room was taken.
    pub(super) fn insert(&mut self, kind: Kind, digest: Digest, mut entry: Entry) {
        entry.last_used = self.tick();
        self.entries.insert((kind, digest), entry);
    }

    /// Adds content that was found.
    pub(super) fn found(&mut self, kind: Kind, digest: Digest, entry: Entry) {
        self.used = self.used.saturating_add(cost(entry.size));
        self.insert(kind, digest, entry);
    }

    pub(super) fn get(&mut self, kind: Kind, digest: &Digest) -> Option<&mut Entry> {
        self.entries.get_mut(&(kind, digest.clone()))
    }

    /// Size, a lease, and whether the content was verified by this process.
    pub(super) fn open(&mut self, kind: Kind, digest: &Digest) -> Option<(u64, Lease, bool)> {
        let now = self.tick();
        let entry = self.get(kind, digest)?;
        entry.last_used = now;
        Some((entry.size, Arc::clone(&entry.lease), entry.verified))
    }

    /// Removes content that was opened, unless it was replaced since.
    pub(super) fn remove_opened(&mut self, kind: Kind, digest: &Digest, lease: &Lease) -> bool {
        let entry = self.get(kind, digest);
        let is_same = entry.is_some_and(|entry| Arc::ptr_eq(&entry.lease, lease));
        if is_same {
            self.remove(kind, digest);
        }
        is_same
    }

    pub(super) fn remove(&mut self, kind: Kind, digest: &Digest) {
        if let Some(entry) = self.entries.remove(&(kind, digest.clone())) {
            self.release(cost(entry.size));
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock = self.clock.saturating_add(1);
        self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(space: u64, blobs: &[&[u8]]) -> (Index, Vec<Digest>) {
        let mut index = Index::default().within(space);
        let digests: Vec<Digest> = blobs
            .iter()
            .map(|blob| cssc_registry::digest::of(blob))
            .collect();
        for digest in &digests {
            index.found(Kind::Blob, digest.clone(), Entry::new(1, true));
        }
        (index, digests)
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let (mut index, digests) = index(3 * BLOCK, &[b"a", b"b", b"c"]);
        index.open(Kind::Blob, &digests[0]).unwrap();
        assert_eq!(index.take(1).unwrap(), [(Kind::Blob, digests[1].clone())]);
        assert_eq!(index.used(), 2 * BLOCK + 1);
    }

    #[test]
    fn what_is_claimed_or_read_stays_and_nothing_goes_in_vain() {
        let (mut index, digests) = index(3 * BLOCK, &[b"a", b"b", b"c"]);
        index
            .get(Kind::Blob, &digests[0])
            .unwrap()
            .claim(Claim::Login);
        index
            .get(Kind::Blob, &digests[1])
            .unwrap()
            .claim(Claim::Kept);
        let lease = index.open(Kind::Blob, &digests[2]).unwrap();
        assert!(index.take(1).is_err());
        drop(lease);
        assert!(index.take(2 * BLOCK).is_err());
        assert_eq!(index.used(), 3 * BLOCK);
        assert_eq!(
            index.take(BLOCK).unwrap(),
            [(Kind::Blob, digests[2].clone())]
        );
        index.get(Kind::Blob, &digests[0]).unwrap().disclaim();
        assert_eq!(index.take(1).unwrap(), [(Kind::Blob, digests[0].clone())]);
    }

    #[test]
    fn what_was_replaced_is_not_removed_for_what_was_there_before() {
        let (mut index, digests) = index(3 * BLOCK, &[b"a"]);
        let (_, lease, _) = index.open(Kind::Blob, &digests[0]).unwrap();
        assert!(index.remove_opened(Kind::Blob, &digests[0], &lease));
        index.found(Kind::Blob, digests[0].clone(), Entry::new(1, true));
        assert!(!index.remove_opened(Kind::Blob, &digests[0], &lease));
        assert_eq!(index.used(), BLOCK);
    }

    #[test]
    fn small_files_are_counted_as_what_they_take() {
        for (bytes, takes) in [
            (0, BLOCK),
            (1, BLOCK),
            (BLOCK, BLOCK),
            (BLOCK + 1, 2 * BLOCK),
        ] {
            assert_eq!(cost(bytes), takes);
        }
        assert_eq!(cost(u64::MAX), u64::MAX);
    }
}
