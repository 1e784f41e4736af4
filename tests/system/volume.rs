//! File systems of a test's own, taken away again whatever becomes of the test.

use std::cell::Cell;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A mounted file system. Dropped, it is unmounted and its image is removed.
pub(crate) struct Volume {
    folder: TempDir,
    kind: &'static str,
    /// How often the power was cut. Each time the disk is another file.
    cuts: Cell<u32>,
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Volume {
    /// A file system in memory of this size.
    pub(crate) fn in_memory(size: &str) -> Self {
        let volume = Self::prepare("tmpfs");
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", volume.mount_point()]);
        volume
    }

    /// One on a loop device: `ext4` or `xfs`.
    pub(crate) fn on_disk(kind: &'static str) -> Self {
        let volume = Self::prepare(kind);
        let image = volume.image();
        let file = std::fs::File::create(&image).expect("an image");
        // The smallest that mkfs.xfs makes is 300 MiB. Only what is written takes room.
        file.set_len(320 * 1024 * 1024).expect("a size");
        let quiet = if kind == "ext4" { "-qF" } else { "-qf" };
        run(&format!("mkfs.{kind}"), &[quiet, image.to_str().expect("UTF-8")]);
        volume.mount();
        volume
    }

    fn prepare(kind: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("hlvol").tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("mnt")).expect("a mount point");
        Self { folder, kind, cuts: Cell::new(0) }
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join(format!("image-{}", self.cuts.get()))
    }

    fn mount_point(&self) -> &str {
        // Made by us, of ASCII.
        Box::leak(self.path().to_str().expect("UTF-8").to_owned().into_boxed_str())
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mnt")
    }

    /// A private folder on it for the daemon's state.
    pub(crate) fn state(&self) -> PathBuf {
        let state = self.path().join("state");
        if !state.exists() {
            std::fs::create_dir(&state).expect("a folder");
            std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).expect("private");
        }
        state
    }

    fn mount(&self) {
        // A copy has the name that XFS knows its disks by, and its twin may be held yet.
        let options = if self.kind == "xfs" { "loop,nouuid" } else { "loop" };
        run(
            "mount",
            &["-t", self.kind, "-o", options, self.image().to_str().expect("UTF-8"), self.mount_point()],
        );
    }

    /// What is on the disk after [`Volume::cut_power`] is mounted: the journal is played.
    ///
    /// It is mounted from a copy. Other tests have mount namespaces of their own, whose copies of
    /// our mount keep it alive after it is unmounted here; the same image would then be mounted as
    /// it is in memory, without power still. What those write later has no way to the copy.
    pub(crate) fn power_on(&self) {
        self.unmount();
        let before = self.image();
        self.cuts.set(self.cuts.get() + 1);
        let (before, after) = (before.to_str().expect("UTF-8"), self.image());
        run("cp", &["--sparse=always", before, after.to_str().expect("UTF-8")]);
        std::fs::remove_file(before).expect("the image of before");
        self.mount();
    }

    /// Takes it away, as a machine without power does: what was not synced is gone. The processes
    /// on it are still there and see errors.
    pub(crate) fn cut_power(&self) {
        // `GOINGDOWN` with the flag that says that the journal is not to be flushed (2); ext4 has
        // the same call.
        let script = "import fcntl, os, struct, sys\n\
                      fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        run("python3", &["-c", script, self.mount_point()]);
    }

    pub(crate) fn unmount(&self) {
        crate::support::until_blocking("the volume to be unmounted", || {
            let ended = Command::new("umount").arg(self.path()).stderr(Stdio::null()).status();
            ended.is_ok_and(|status| status.success()).then_some(())
        });
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: whatever of a failed test is still on it must not keep it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).stderr(Stdio::null()).status();
    }
}

/// Fills `path` with so many bytes that take real room.
pub(crate) fn fill(path: &Path, mebibytes: usize) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).expect("a file");
    let block = vec![0xa5_u8; 1024 * 1024];
    for _ in 0..mebibytes {
        file.write_all(&block).expect("room");
    }
}
