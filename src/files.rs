//! The one door to files, which are written so that they are whole or not there.
//!
//! What is to be written goes into a temporary file beside the target, `.kolmo-<16 hex digits>.tmp`, which is
//! flushed to the disk and renamed. The digits come from the system's randomness, so that threads, processes
//! and containers don't meet. The temporary file is locked while its writer lives; the system takes the lock
//! away when the writer is killed. So a lock that can be had says that nobody will finish the file, and the
//! next write into the folder removes it.
#[expect(unsafe_code, reason = "what is mapped could be changed by others")]
mod map;

pub(crate) use map::Map;

use crate::error::{Error, Result};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, BufReader, ErrorKind, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

const START: &str = ".kolmo-";
const END: &str = ".tmp";
/// Links that may lead to each other, as on Linux.
const LINKS: usize = 40;

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::io(path, e))
}

/// The text of a file in UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| Error::io(path, e))
}

/// A file to be read piece by piece.
pub(crate) fn open(path: &Path) -> Result<BufReader<File>> {
    File::open(path).map(BufReader::new).map_err(|e| Error::io(path, e))
}

/// Whether there is a file of this name, or a folder.
pub(crate) fn exists(path: &Path) -> bool {
    path.exists()
}

pub(crate) fn is_folder(path: &Path) -> bool {
    path.is_dir()
}

/// What is in a folder, in any order.
#[cfg(feature = "images")]
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let all = fs::read_dir(folder).and_then(|all| all.map(|entry| Ok(entry?.path())).collect());
    all.map_err(|e| Error::io(folder, e))
}

/// Writes a file, whole or not at all: a crash leaves the old file or the new one, and of two who write at
/// once one is last. It keeps the permissions that the old file had. Through a symbolic link the file that it
/// points to is replaced, not the link. A pipe or a device is written to as it is.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let old = fs::metadata(path).ok();
    if old.as_ref().is_some_and(|old| !old.is_file() && !old.is_dir()) {
        return OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    let mut new = NewFile::beside(path)?;
    new.file.write_all(bytes)?;
    new.finish()
}

/// A file that is being written beside the one that it will take the place of; gone if that doesn't come to
/// its end.
#[derive(Debug)]
pub(crate) struct NewFile {
    target: PathBuf,
    temporary: PathBuf,
    file: File,
    finished: bool,
}

/// The folder of a file that a path leads to, and the file.
fn place(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let target = followed(path)?;
    let folder = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((folder.to_path_buf(), target))
}

impl NewFile {
    pub fn beside(path: &Path) -> io::Result<NewFile> {
        let (folder, target) = place(path)?;
        clear(&folder);
        let (temporary, file) = temporary(&folder)?;
        Ok(NewFile { target, temporary, file, finished: false })
    }

    /// Its name while it is written.
    pub fn name(&self) -> String {
        self.temporary.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    /// Writes bytes to a place of it.
    pub fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        write_at(&mut self.file, at, bytes)
    }

    /// What was written so far.
    pub fn map(&self) -> Result<Map> {
        Map::open(&self.temporary)
    }

    /// Puts it where it belongs.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(old) = fs::metadata(&self.target).ok().filter(fs::Metadata::is_file) {
            // Not every file system has them.
            let _ = self.file.set_permissions(old.permissions());
        }
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.target)?;
        self.finished = true;
        // The new name is on the disk once its folder is; not every system can open one.
        if let Some(Ok(folder)) = self.target.parent().map(File::open) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn write_at(file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// Writes bytes to places of a file of this name beside a path, which another process has begun.
pub(crate) fn write_beside(path: &Path, name: &str, parts: &[(u64, Vec<u8>)]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(place(path)?.0.join(name))?;
    parts.iter().try_for_each(|(at, bytes)| write_at(&mut file, *at, bytes))?;
    file.sync_all()
}

/// The same after `read` has read the bytes: what can be read is never replaced by what can't.
pub(crate) fn write_readable<V>(
    path: &Path,
    bytes: &[u8],
    read: impl FnOnce(&[u8]) -> Result<V>,
) -> Result<()> {
    read(bytes).map_err(|e| {
        let at = "what was to be written";
        let message = format!("it could not be read again, and the file is as it was: {e}");
        Error::format(path.display().to_string(), at, message)
    })?;
    write_atomically(path, bytes).map_err(|e| Error::io(path, e))
}

/// A new file that grows: what was written stays, and only what is added is lost in a crash.
#[derive(Debug)]
pub(crate) struct Growing {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Growing {
    /// A file in a folder, which is made if it is not there, under the first of the names that nobody has.
    pub fn create(folder: &Path, names: impl IntoIterator<Item = String>) -> Result<Growing> {
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        for name in names {
            let path = folder.join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Growing { path, file, len: 0 }),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io(&path, e)),
            }
        }
        Err(Error::io(folder, io::Error::new(ErrorKind::AlreadyExists, "no name is left for a new file")))
    }

    /// Adds bytes, all or none of them.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| {
            // A part of them would make what comes later unreadable.
            let _ = self.file.set_len(self.len).and_then(|()| self.file.seek(SeekFrom::Start(self.len)));
            Error::io(&self.path, e)
        })?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Where a chain of symbolic links ends, whether a file is there or not.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            return Ok(path);
        }
        let to = fs::read_link(&path)?;
        path = path.parent().map_or(to.clone(), |folder| folder.join(&to));
    }
    Err(io::Error::new(
        ErrorKind::InvalidInput,
        format!("more than {LINKS} symbolic links lead to each other"),
    ))
}

/// A new temporary file, locked if the file system has locks.
fn temporary(folder: &Path) -> io::Result<(PathBuf, File)> {
    loop {
        let digits = RandomState::new().build_hasher().finish();
        let path = folder.join(format!("{START}{digits:016x}{END}"));
        let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
            other => other?,
        };
        // Before it was locked, somebody who clears up may have taken it for a dead one's.
        let taken = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        if !taken && fs::exists(&path)? {
            return Ok((path, file));
        }
    }
}

/// Removes the temporary files of writers that are no more. Without locks nobody knows, and they stay.
fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(START)?.strip_suffix(END));
        if digits.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit())) {
            // The lock is held until it is gone: see `temporary`.
            let file = OpenOptions::new().write(true).open(entry.path());
            if file.as_ref().is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A folder of a test's own, gone when the test is over.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("kolmo-files-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            Folder(folder)
        }

        fn names(&self) -> Vec<String> {
            let names = fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn all_of_many_who_write_at_once_succeed_and_leave_one_whole_file() {
        let folder = Folder::new();
        let path = folder.0.join("file");
        std::thread::scope(|s| {
            for i in 0..8u8 {
                let path = &path;
                s.spawn(move || {
                    for _ in 0..40 {
                        write_atomically(path, &vec![i; 1000 + 10 * i as usize]).unwrap();
                        let seen = fs::read(path).unwrap();
                        assert!(
                            seen.len() == 1000 + 10 * seen[0] as usize && seen.iter().all(|b| *b == seen[0])
                        );
                    }
                });
            }
        });
        assert_eq!(folder.names(), ["file"]);
    }

    #[test]
    fn what_a_dead_writer_left_goes_and_what_a_living_one_writes_stays() {
        let folder = Folder::new();
        let (living, file) = temporary(&folder.0).unwrap();
        let (dead, gone) = temporary(&folder.0).unwrap();
        drop(gone);
        for other in [".kolmo-notes.tmp", "model.tmp", ".kolmo-0123456789abcdef"] {
            fs::write(folder.0.join(other), "not ours").unwrap();
        }
        write_atomically(&folder.0.join("file"), b"new").unwrap();
        assert!(living.exists() && !dead.exists());
        assert_eq!(folder.names().len(), 5);
        drop(file);
        write_atomically(&folder.0.join("file"), b"newer").unwrap();
        assert!(!living.exists() && folder.names().len() == 4);
    }

    #[test]
    fn what_can_be_read_is_not_replaced_by_what_can_not() {
        let folder = Folder::new();
        let path = folder.0.join("file");
        write_atomically(&path, b"good").unwrap();
        let broken = |_: &[u8]| -> Result<()> { Err(Error::invalid("test", "no sense in it")) };
        let error = write_readable(&path, b"bad", broken).unwrap_err().to_string();
        assert!(error.contains("no sense in it") && error.contains("as it was"), "{error}");
        assert_eq!((fs::read(&path).unwrap(), folder.names().len()), (b"good".to_vec(), 1));
        // A name that can't be replaced: the old thing stays, and nothing beside it.
        fs::create_dir(folder.0.join("folder")).unwrap();
        assert!(write_atomically(&folder.0.join("folder"), b"new").is_err());
        assert!(write_atomically(&folder.0.join("none/file"), b"new").is_err());
        assert_eq!(folder.names(), ["file", "folder"]);
        // As long as a name may be.
        write_atomically(&folder.0.join("n".repeat(255)), b"new").unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_links_and_permissions_what_they_were() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
        let folder = Folder::new();
        let [real, link, second, dangling] = ["real", "link", "second", "dangling"].map(|n| folder.0.join(n));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
        symlink("real", &link).unwrap();
        symlink(&link, &second).unwrap();
        symlink("later", &dangling).unwrap();
        write_atomically(&second, b"new").unwrap();
        write_atomically(&dangling, b"made").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read(folder.0.join("later")).unwrap(), b"made");
        assert!([&link, &second, &dangling].iter().all(|l| fs::symlink_metadata(l).unwrap().is_symlink()));
        symlink("round", folder.0.join("round")).unwrap();
        assert!(write_atomically(&folder.0.join("round"), b"new").is_err());
        // What isn't a file is not replaced by one.
        write_atomically(Path::new("/dev/null"), b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
