//! Many short lists in one allocation: the rules of each item.
//!
//! The rules of items are read millions of times a second; a vector of vectors would miss the cache twice. Read next:
//! `model.rs`, which fills the lists.

/// For each item, the indices that belong to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    start: Vec<u32>,
    entries: Vec<u32>,
}

impl Lists {
    /// Packs one list per item.
    pub(super) fn pack(lists: &[Vec<u32>]) -> Self {
        let mut packed = Self { start: Vec::with_capacity(lists.len() + 1), entries: Vec::new() };
        packed.start.push(0);
        for list in lists {
            packed.entries.extend_from_slice(list);
            packed.start.push(to_u32(packed.entries.len()));
        }
        packed
    }

    /// The list of one item.
    #[inline]
    pub(super) fn of(&self, item: usize) -> &[u32] {
        &self.entries[self.start[item] as usize..self.start[item + 1] as usize]
    }
}

/// Validation keeps all counts far below 2^32.
pub(super) fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
