//! A way into what is left of a damaged database: as it is, else with its log played into a copy,
//! else with the first page of a sound one.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::open::{beside, create_private, remove_if_there};
use super::seal;
use super::wal::{self, Log};

/// Bytes of a page, in every file of ours.
const PAGE: usize = 4096;

/// A connection to what is left, that writes nothing. Where the first page is gone, which says
/// what is where, a copy gets that of a new file: all files of a version begin alike.
pub(super) fn open_damaged(aside: &Path, fresh: &Path, scratch: &Path) -> Option<Connection> {
    let readable = |conn: &Connection| {
        conn.prepare("SELECT place FROM outbox LIMIT 1").is_ok()
            && conn.prepare("SELECT seq FROM inbox LIMIT 1").is_ok()
    };
    let open = |path: &Path| {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags).ok()?;
        seal::teach(&conn).ok()?;
        Some(conn).filter(readable)
    };
    let log = beside(aside, "-wal");
    if !matches!(wal::look(&log), Ok(Log::Broken(_))) {
        if let Some(conn) = open(aside) {
            return Some(conn);
        }
    } else if copy_played(aside, scratch).is_ok()
        && let Some(conn) = open(scratch)
    {
        return Some(conn);
    }
    let patched = (|| -> std::io::Result<()> {
        use std::io::{Seek as _, SeekFrom, Write as _};
        copy_played(aside, scratch)?;
        let mut page = std::fs::read(fresh)?;
        page.truncate(PAGE);
        let pages = std::fs::metadata(scratch)?.len() / PAGE as u64;
        let pages = u32::try_from(pages).unwrap_or(u32::MAX).max(1).to_be_bytes();
        // File format, 1.3: size in pages at 28, free list at 32 and 36, and what makes 28 valid.
        page[28..32].copy_from_slice(&pages);
        page[32..40].fill(0);
        let change_counter: [u8; 4] = [page[24], page[25], page[26], page[27]];
        page[92..96].copy_from_slice(&change_counter);
        let mut file = std::fs::OpenOptions::new().write(true).open(scratch)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&page)
    })();
    patched.ok().and_then(|()| open(scratch))
}

/// Copies what was set aside to where it may be written to, with the pages of its log in it.
fn copy_played(aside: &Path, scratch: &Path) -> std::io::Result<()> {
    use std::io::{Seek as _, SeekFrom, Write as _};
    for suffix in ["", "-wal", "-shm"] {
        remove_if_there(&beside(scratch, suffix))?;
    }
    create_private(scratch)?;
    std::fs::copy(aside, scratch)?;
    let log = match std::fs::read(beside(aside, "-wal")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        log => log?,
    };
    let pages = wal::pages(&log);
    let mut file = std::fs::OpenOptions::new().write(true).open(scratch)?;
    // No page stands further behind than all pages together: what does is a damaged number.
    let most = file.metadata()?.len() / PAGE as u64 + pages.len() as u64;
    for (number, page) in pages {
        if (1..=most).contains(&u64::from(number)) {
            file.seek(SeekFrom::Start((u64::from(number) - 1) * PAGE as u64))?;
            file.write_all(page)?;
        }
    }
    Ok(())
}
