//! A small real filesystem under a directory: it can be filled, emptied, and made to fail.
//!
//! Mounting needs root, or a user and mount namespace of its own. Nothing is emulated: the errors that the application
//! sees are the kernel's.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::application::copy_folder;

/// The size of each filesystem. The files of one node need about 200 KB before the bench makes them grow.
const SIZE: &str = "6m";

/// The size of a device before it fails, and the size to which it shrinks then: nothing behind it can be reached.
const DEVICE_SIZE: &str = "16m";
const FAILED_SIZE: &str = "64k";

/// The fault that the bench causes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Fault {
    /// No space is left: ENOSPC, until files are removed.
    Full,
    /// The device fails: EIO for every block, and it does not heal.
    Failing,
}

impl Fault {
    /// The words of the system's error.
    pub(super) fn error(self) -> &'static str {
        match self {
            Self::Full => "No space left on device",
            Self::Failing => "Input/output error",
        }
    }
}

/// A directory on a filesystem of its own.
pub(super) struct Disk {
    dir: PathBuf,
    /// Where the file behind a failing device lies.
    backing: Option<PathBuf>,
    is_mounted: bool,
}

impl Disk {
    /// Moves a directory onto a filesystem of its own. No process may have a file of it open.
    pub(super) fn under(dir: &Path, fault: Fault) -> Result<Self, String> {
        let kept = beside(dir, "kept");
        let failed = |error: std::io::Error| format!("move {} to a small disk: {error}", dir.display());
        fs::rename(dir, &kept).and_then(|()| fs::create_dir(dir)).map_err(failed)?;
        let mut disk = Self { dir: dir.to_owned(), backing: None, is_mounted: false };
        if fault == Fault::Failing {
            disk.mount_device()?;
        } else {
            mount(&["-t", "tmpfs", "-o", &format!("size={SIZE}"), "small"], dir)?;
        }
        disk.is_mounted = true;
        copy_content(&kept, dir).and_then(|()| fs::remove_dir_all(&kept)).map_err(failed)?;
        Ok(disk)
    }

    /// Mounts a device that can be made to fail.
    fn mount_device(&mut self) -> Result<(), String> {
        let backing = beside(&self.dir, "backing");
        fs::create_dir(&backing).map_err(|error| format!("make {}: {error}", backing.display()))?;
        mount(&["-t", "tmpfs", "-o", &format!("size={SIZE}"), "backing"], &backing)?;
        let image = backing.join("image");
        self.backing = Some(backing);
        let path = image.display().to_string();
        run("truncate", &["-s", DEVICE_SIZE, &path])?;
        // No journal, so that the filesystem itself goes on when the device fails.
        run("mkfs.ext4", &["-q", "-O", "^has_journal", &path])?;
        mount(&["-o", "loop,errors=continue", &path], &self.dir)
    }

    /// Brings the fault about.
    pub(super) fn fail(&self) -> Result<(), String> {
        match &self.backing {
            Some(backing) => {
                let image = backing.join("image").display().to_string();
                run("truncate", &["-s", FAILED_SIZE, &image])?;
                let device = run("losetup", &["--noheadings", "--output", "NAME", "-j", &image])?;
                run("losetup", &["--set-capacity", device.trim()]).map(drop)
            }
            None => fill(&self.dir),
        }
    }

    /// Ends the fault of a filesystem that was full.
    pub(super) fn heal(&self) -> Result<(), String> {
        let ballast = self.dir.join("ballast");
        fs::remove_file(&ballast).map_err(|error| format!("remove {}: {error}", ballast.display()))
    }

    /// Moves the directory back. No process may have a file of it open.
    pub(super) fn take_back(mut self) -> Result<(), String> {
        let kept = beside(&self.dir, "kept");
        let failed = |error: std::io::Error| format!("move {} back: {error}", self.dir.display());
        copy_folder(&self.dir, &kept).map_err(failed)?;
        run("umount", &[&self.dir.display().to_string()])?;
        self.is_mounted = false;
        fs::remove_dir(&self.dir).and_then(|()| fs::rename(&kept, &self.dir)).map_err(failed)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // After a failure processes may still have files open. The mounts then end with these processes.
        if self.is_mounted {
            drop(run("umount", &["-l", &self.dir.display().to_string()]));
        }
        if let Some(backing) = &self.backing {
            drop(run("umount", &["-l", &backing.display().to_string()]));
            drop(fs::remove_dir(backing));
        }
    }
}

/// A name next to a directory that no host has.
fn beside(dir: &Path, word: &str) -> PathBuf {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    // Far from the hosts' directories, which the provider lists.
    let above = dir.ancestors().find(|path| path.join(".rhizo").exists()).unwrap_or(dir);
    above.join(format!("disk-{name}-{word}"))
}

fn copy_content(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Writes until not a byte fits.
fn fill(dir: &Path) -> Result<(), String> {
    let path = dir.join("ballast");
    let mut ballast = File::create(&path).map_err(|error| format!("make {}: {error}", path.display()))?;
    let mut block = vec![1_u8; 64 * 1024];
    while !block.is_empty() {
        if ballast.write_all(&block).is_err() {
            block.truncate(block.len() / 2);
        }
    }
    Ok(())
}

fn mount(arguments: &[&str], dir: &Path) -> Result<(), String> {
    let dir = dir.display().to_string();
    let all: Vec<&str> = arguments.iter().copied().chain([dir.as_str()]).collect();
    run("mount", &all).map(drop).map_err(|error| {
        format!(
            "{error}; this bench mounts small filesystems, so it needs root and a machine that allows mounts"
        )
    })
}

/// Runs a program of the system to its end and returns its output.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let ended = Command::new(program).args(arguments).output();
    match ended {
        Ok(ended) if ended.status.success() => Ok(String::from_utf8_lossy(&ended.stdout).into_owned()),
        Ok(ended) => Err(format!(
            "run {program} {arguments:?}: {}: {}",
            ended.status,
            String::from_utf8_lossy(&ended.stderr).trim()
        )),
        Err(error) => Err(format!("run {program}: {error}")),
    }
}
