//! In a container we are root, and so is all that we start. What is made in the workspace belongs to
//! whom the workspace belongs: later steps want to write it, and the next job to remove it.

use std::ffi::CStr;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{AtFlags, CWD, Dir, Gid, Mode, OFlags, Stat, Uid, chownat, fstat, openat, statat};

/// The directories above an entry that are followed; each holds a file open.
const DEEPEST: usize = 200;

/// The kernel's clock for files may be behind by a tick.
const TICK: SignedDuration = SignedDuration::from_secs(1);

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Gives what this user has made below `root` since then to the owner of `root`. What cannot be given
/// stays as it is: nobody could do anything about it.
pub(super) fn give_to_owner(root: &Path, since: Timestamp) {
    let opened = openat(CWD, root, DIRECTORY, Mode::empty());
    let Ok((dir, owner)) = opened.and_then(|dir| fstat(&dir).map(|owner| (dir, owner))) else {
        return;
    };
    let us = rustix::process::geteuid().as_raw();
    if owner.st_uid != us {
        let since = (since - TICK).as_nanosecond();
        Handover { owner, us, since }.walk(&dir, 0);
    }
}

struct Handover {
    /// The directory that says who the owner is.
    owner: Stat,
    us: u32,
    /// In nanoseconds.
    since: i128,
}

impl Handover {
    /// Links are never followed: where they lead is not ours to give.
    fn walk(&self, dir: &impl std::os::fd::AsFd, depth: usize) {
        let Ok(entries) = Dir::read_from(dir) else { return };
        let entries = entries.filter_map(Result::ok);
        for entry in entries.filter(|entry| ![c".", c".."].contains(&entry.file_name())) {
            self.entry(dir, entry.file_name(), depth);
        }
    }

    fn entry(&self, dir: &impl std::os::fd::AsFd, name: &CStr, depth: usize) {
        let Ok(stat) = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else { return };
        if stat.st_dev != self.owner.st_dev {
            return;
        }
        let changed = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
        if stat.st_uid == self.us && changed >= self.since {
            let (uid, gid) = (Uid::from_raw(self.owner.st_uid), Gid::from_raw(self.owner.st_gid));
            // See `give_to_owner`.
            let _ = chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
        }
        let is_dir = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
        if is_dir
            && depth < DEEPEST
            && let Ok(inner) = openat(dir, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
        {
            self.walk(&inner, depth + 1);
        }
    }
}
