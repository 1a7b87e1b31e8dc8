//! The cache of the system's loader, `/etc/ld.so.cache`: the paths of libraries by their names.
//!
//! The format is that of glibc 2.2 and later: a header of 48 bytes, entries of 24 bytes, and the texts that the entries
//! point to. Older files have another table in front.

/// Most entries that are read. A desktop system has about 3,000.
const ENTRIES_MAX: usize = 100_000;
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 24;

/// A library of the cache.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CacheEntry {
    /// The name that programs ask for.
    pub name: String,
    /// The path of the file.
    pub path: String,
}

/// Reads the cache. Entries that are damaged are left out; a file of another format has none.
#[must_use]
pub fn read_cache(bytes: &[u8]) -> Vec<CacheEntry> {
    let Some(begin) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) else {
        return Vec::new();
    };
    // Texts are counted from the beginning of this table.
    let table = &bytes[begin..];
    let Some(count) = number_at(table, MAGIC.len()) else { return Vec::new() };
    let entries = table.get(HEADER_BYTES..).unwrap_or_default().chunks_exact(ENTRY_BYTES);
    let entries = entries.take((count as usize).min(ENTRIES_MAX));
    let read = |entry: &[u8]| {
        let text = |at| {
            let begin = usize::try_from(number_at(entry, at)?).ok()?;
            let text = table.get(begin..)?.split(|byte| *byte == 0).next()?;
            std::str::from_utf8(text).ok().filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Some(CacheEntry { name: text(4)?, path: text(8)? })
    };
    entries.filter_map(read).collect()
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    let number = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*number))
}
