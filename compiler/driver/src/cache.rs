//! What a build keeps for the next one, by content.
//!
//! A phase that is worth it asks the host's cache before it works, under a key made of everything that its result depends on, the compiler included. So an entry is
//! never out of date: where an input differs, so does the key. A cache is no authority. An entry that is missing, damaged or of another make is as if it were not
//! there, one that cannot be written is not, and a build with a cache gives the same bytes as one without.

use mlp_bundle::contents::{Bytes, CONTENT_ALIGN, Load, copied};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// What a host keeps between builds.
pub trait Cache: Sync {
    /// The contents of an entry, aligned to [`CONTENT_ALIGN`]; none where there is no sound one.
    fn get(&self, key: &Key) -> Option<Bytes>;

    /// Keeps an entry: the parts, one after another. Where that fails, nothing is kept.
    fn put(&self, key: &Key, parts: &[&[u8]]);
}

/// The name of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of what a phase makes of these inputs. No two lists of inputs have the same key.
    pub fn new(phase: &str, inputs: &[&[u8]]) -> Key {
        let mut hasher = blake3::Hasher::new();
        for part in [phase.as_bytes()].iter().chain(inputs) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Key(hasher.finalize().to_hex().to_string())
    }
}

/// The greatest size of a cache's folder, in bytes.
pub const MAX_CACHE: u64 = 1 << 30;

/// The first bytes of an entry, before the digest of its contents.
const MAGIC: &[u8; 32] = b"mlp cache entry, version 1\n\0\0\0\0\0";

/// What precedes the contents.
const HEAD: usize = 64;

/// A cache in a folder: a file an entry.
#[derive(Debug)]
pub struct DiskCache {
    folder: PathBuf,
    /// The greatest size of all entries.
    limit: u64,
    /// Who made the entries: another compiler's are not found.
    compiler: String,
    load: Load,
    trouble: Mutex<Option<io::Error>>,
}

impl DiskCache {
    /// A cache in that folder, which is made when it is first needed. `compiler` tells one build of the compiler from every other.
    pub fn new(folder: PathBuf, compiler: String) -> DiskCache {
        DiskCache { folder, limit: MAX_CACHE, compiler, load: copied, trouble: Mutex::new(None) }
    }

    /// Keeps at most so many bytes.
    pub fn with_limit(self, limit: u64) -> DiskCache {
        DiskCache { limit, ..self }
    }

    /// Brings entries into memory that way.
    pub fn with_load(self, load: Load) -> DiskCache {
        DiskCache { load, ..self }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Why an entry could not be written, where one could not: the first such error.
    pub fn trouble(&self) -> Option<io::Error> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(Key::new(&self.compiler, &[key.0.as_bytes()]).0)
    }

    fn read(&self, path: &Path) -> Option<Bytes> {
        let file = File::open(path).ok()?;
        let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
        let entry = (self.load)(&file, length).ok()?;
        let (head, contents) = entry.split_at_checked(HEAD)?;
        let sound = head[..32] == MAGIC[..] && head[32..] == blake3::hash(contents).as_bytes()[..];
        if !sound {
            // It would only be read again.
            let _ = fs::remove_file(path);
            return None;
        }
        // The most recently used are the last to go.
        let _ = file.set_modified(SystemTime::now());
        Some(entry.slice(HEAD..))
    }

    fn write(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let mut hasher = blake3::Hasher::new();
        parts.iter().for_each(|part| {
            hasher.update(part);
        });
        fs::create_dir_all(&self.folder)?;
        // A name that no other build has, on this machine or on another that shares the folder.
        let prefix = format!("{}.", path.file_name().unwrap_or_default().to_string_lossy());
        let mut file = tempfile::Builder::new().prefix(&prefix).suffix(".part").tempfile_in(&self.folder)?;
        [&MAGIC[..], hasher.finalize().as_bytes()].iter().chain(parts).try_for_each(|part| file.write_all(part))?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes the entries that were not used for longest, until the rest fits. Files of other names are not touched.
    fn evict(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            let Ok(facts) = file.metadata() else { continue };
            if facts.is_file() && is_entry(&file.path()) {
                entries.push((facts.modified().unwrap_or(SystemTime::UNIX_EPOCH), on_disk(facts.len()), file.path()));
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in entries {
            if total <= self.limit {
                break;
            }
            if fs::remove_file(path).is_ok() {
                total -= bytes;
            }
        }
        Ok(())
    }
}

/// Whether a file is an entry, or what an interrupted build left of one.
fn is_entry(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name = stem.split('.').next().unwrap_or_default();
    let ours = path.extension().is_none_or(|extension| extension == "part");
    ours && name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a file of that size takes, in whole blocks.
fn on_disk(bytes: u64) -> u64 {
    bytes.next_multiple_of(4096)
}

impl Cache for DiskCache {
    fn get(&self, key: &Key) -> Option<Bytes> {
        self.read(&self.path(key))
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) {
        let bytes = on_disk(HEAD as u64 + parts.iter().map(|part| part.len() as u64).sum::<u64>());
        if bytes > self.limit {
            return;
        }
        if let Err(error) = self.write(&self.path(key), parts).and_then(|()| self.evict()) {
            self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

/// A cache for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct InMemory(pub(crate) Mutex<std::collections::BTreeMap<Key, Vec<u8>>>);

#[cfg(test)]
impl Cache for InMemory {
    fn get(&self, key: &Key) -> Option<Bytes> {
        self.0.lock().unwrap().get(key).map(|entry| entry.clone().into())
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) {
        self.0.lock().unwrap().insert(key.clone(), parts.concat());
    }
}

/// What tells a version of a file from its others without reading it. Never the truth: it only finds the digest that the contents had when it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    length: u64,
    text: String,
}

/// A file that changed in this time may change again within the resolution of its clock.
const SETTLED: Duration = Duration::from_secs(2);

impl Stamp {
    /// The stamp of a file of that path and length, which changed that long after the epoch; `identity` is what else tells its versions apart.
    pub fn new(path: &Path, length: u64, changed: Duration, identity: &str) -> Stamp {
        Stamp { length, text: format!("{}\n{length} {} {identity}", path.display(), changed.as_nanos()) }
    }

    /// The stamp of a file on disk; none where it changed a moment ago, or its system does not tell.
    pub fn of(path: &Path) -> Option<Stamp> {
        Stamp::at(path, SystemTime::now())
    }

    /// [`Stamp::of`] at that time.
    fn at(path: &Path, now: SystemTime) -> Option<Stamp> {
        let path = fs::canonicalize(path).ok()?;
        let facts = fs::metadata(&path).ok()?;
        let (now, changed) = (since_epoch(now)?, since_epoch(facts.modified().ok()?)?);
        let (touched, identity) = identity(&facts)?;
        let settled = changed.max(touched) + SETTLED < now;
        (facts.is_file() && settled).then(|| Stamp::new(&path, facts.len(), changed, &identity))
    }

    /// The file's length.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// As an input of a [`Key`].
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

fn since_epoch(time: SystemTime) -> Option<Duration> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok()
}

/// When a file was last touched, and what stays with its contents though its times are set back.
#[cfg(unix)]
fn identity(facts: &fs::Metadata) -> Option<(Duration, String)> {
    use std::os::unix::fs::MetadataExt;
    let touched = Duration::new(facts.ctime().try_into().ok()?, facts.ctime_nsec().try_into().ok()?);
    Some((touched, format!("{} {} {}", facts.dev(), facts.ino(), touched.as_nanos())))
}

/// When a file was made, which stays with its contents though its times are set back.
#[cfg(not(unix))]
fn identity(facts: &fs::Metadata) -> Option<(Duration, String)> {
    let made = since_epoch(facts.created().ok()?)?;
    Some((made, made.as_nanos().to_string()))
}

const _: () = assert!(HEAD.is_multiple_of(CONTENT_ALIGN));

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(folder: &Path) -> DiskCache {
        DiskCache::new(folder.join("cache"), "compiler 1".into())
    }

    fn only_entry(folder: &Path) -> PathBuf {
        let mut entries = fs::read_dir(folder.join("cache")).unwrap().map(|file| file.unwrap().path());
        let entry = entries.next().unwrap();
        assert_eq!(entries.next(), None);
        entry
    }

    #[test]
    fn an_entry_is_found_by_its_key_and_its_compiler_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, key) = (cache(folder.path()), Key::new("import", &[b"ab", b"c"]));
        assert_eq!(cache.get(&key), None);
        cache.put(&key, &[b"one ", b"two"]);
        let entry = cache.get(&key).unwrap();
        assert_eq!(entry, "one two");
        assert_eq!(entry.as_ptr() as usize % CONTENT_ALIGN, 0);
        for other in [Key::new("import", &[b"a", b"bc"]), Key::new("import", &[b"abc"]), Key::new("plan", &[b"ab", b"c"])] {
            assert_eq!(cache.get(&other), None);
        }
        assert_eq!(DiskCache::new(folder.path().join("cache"), "compiler 2".into()).get(&key), None);
    }

    #[test]
    fn damaged_and_foreign_entries_are_as_if_they_were_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, key) = (cache(folder.path()), Key::new("import", &[]));
        cache.put(&key, &[b"contents"]);
        let path = only_entry(folder.path());
        let sound = fs::read(&path).unwrap();
        for length in 0..sound.len() {
            fs::write(&path, &sound[..length]).unwrap();
            assert_eq!(cache.get(&key), None, "{length} bytes");
        }
        for position in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[position] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert_eq!(cache.get(&key), None, "a flipped bit at {position}");
            assert!(!path.exists());
        }
        cache.put(&key, &[b"contents"]);
        assert_eq!(cache.get(&key).unwrap(), "contents");
    }

    #[test]
    fn a_cache_that_cannot_be_written_keeps_nothing_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, key) = (cache(folder.path()), Key::new("import", &[]));
        assert!(cache.trouble().is_none());
        fs::write(folder.path().join("cache"), "a file where the folder would be").unwrap();
        cache.put(&key, &[b"contents"]);
        assert_eq!(cache.get(&key), None);
        assert!(cache.trouble().is_some());
    }

    #[test]
    fn builds_that_write_one_entry_at_once_leave_a_sound_one() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::new("import", &[]);
        let contents = vec![7; 1 << 20];
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let cache = cache(folder.path());
                    for _ in 0..10 {
                        cache.put(&key, &[&contents]);
                        assert_eq!(cache.get(&key).expect("it was kept"), contents);
                    }
                    assert!(cache.trouble().is_none());
                });
            }
        });
        only_entry(folder.path());
    }

    #[test]
    fn the_oldest_entries_go_first_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path()).with_limit(3 * 4096);
        let keys: Vec<Key> = (0..4_u8).map(|i| Key::new("import", &[&[i]])).collect();
        fs::create_dir_all(folder.path().join("cache")).unwrap();
        fs::write(folder.path().join("cache/README"), vec![0; 1 << 20]).unwrap();
        for (age, key) in [30, 20, 10].into_iter().zip(&keys) {
            cache.put(key, &[&[age as u8; 100]]);
            let file = File::options().write(true).open(cache.path(key)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        // The first was made before the second, and used after it.
        assert!(cache.get(&keys[0]).is_some());
        cache.put(&keys[3], &[&[0; 100]]);
        let found: Vec<bool> = keys.iter().map(|key| cache.get(key).is_some()).collect();
        assert_eq!(found, [true, false, true, true]);
        assert!(folder.path().join("cache/README").exists());
        // One that would take all the room is not kept, and drives nothing out.
        cache.put(&keys[1], &[&[0; 4 * 4096]]);
        assert!(cache.get(&keys[1]).is_none() && cache.get(&keys[3]).is_some());
    }

    #[test]
    fn what_an_interrupted_build_left_goes_with_the_oldest_entries() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path()).with_limit(3 * 4096);
        cache.put(&Key::new("import", &[]), &[&[0; 100]]);
        let left = only_entry(folder.path()).with_extension("Xy12ab.part");
        fs::write(&left, vec![0; 2 * 4096]).unwrap();
        File::options().write(true).open(&left).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        cache.put(&Key::new("plan", &[]), &[&[0; 100]]);
        assert!(!left.exists() && cache.get(&Key::new("import", &[])).is_some());
    }

    #[test]
    fn a_stamp_changes_with_its_file_and_is_not_given_too_early() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        fs::write(&path, "a model").unwrap();
        let later = || SystemTime::now() + 2 * SETTLED;
        assert_eq!(Stamp::of(&path), None, "it changed a moment ago");
        let stamp = Stamp::at(&path, later()).unwrap();
        assert_eq!((stamp.length(), Stamp::at(&path, later())), (7, Some(stamp.clone())));
        assert_eq!(
            Stamp::at(&folder.path().join("../").join(folder.path().file_name().unwrap()).join("model.onnx"), later()),
            Some(stamp.clone())
        );
        assert_eq!(Stamp::at(folder.path(), later()), None);
        assert_eq!(Stamp::at(&folder.path().join("missing"), later()), None);
        // Another file of that length with that date in its place.
        let date = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(folder.path().join("other"), "a mod3l").unwrap();
        File::options().write(true).open(folder.path().join("other")).unwrap().set_modified(date).unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        assert_ne!(Stamp::at(&path, later()), Some(stamp));
    }
}
