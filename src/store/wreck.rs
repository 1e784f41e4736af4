//! A way into what is left of a damaged database: as it is, else with its log played into a copy,
//! else with the table of tables of a sound one.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::files::{beside, create_private, remove_if_there};
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
        copy_played(aside, scratch)?;
        give_shape(&std::fs::read(fresh)?, scratch)
    })();
    patched.ok().and_then(|()| open(scratch))
}

/// Puts the tables' own table of a new file into `scratch`, which says what is where. It begins on
/// the first page; what of it stands on further ones is put behind everything else, where it is in
/// nobody's way: in a file that was upgraded these pages hold something else.
fn give_shape(sound: &[u8], scratch: &Path) -> std::io::Result<()> {
    use std::io::{Seek as _, SeekFrom, Write as _};
    // File format, 1.6: kinds of pages, and where their numbers of cells and last children stand.
    const HEADER: usize = 100;
    const INNER: u8 = 5;
    let strange = || std::io::Error::other("a new file has a strange first page");
    let mut first = sound.get(..PAGE).ok_or_else(strange)?.to_vec();
    let mut file = std::fs::OpenOptions::new().write(true).open(scratch)?;
    let mut pages = file.metadata()?.len().div_ceil(PAGE as u64).max(1);
    if first[HEADER] == INNER {
        let cells = usize::from(u16::from_be_bytes([first[HEADER + 3], first[HEADER + 4]]));
        let mut pointers = vec![HEADER + 8];
        for cell in 0..cells {
            let at = HEADER + 12 + 2 * cell;
            let cell = first.get(at..at + 2).ok_or_else(strange)?;
            pointers.push(usize::from(u16::from_be_bytes([cell[0], cell[1]])));
        }
        for at in pointers {
            let pointer = first.get_mut(at..at + 4).ok_or_else(strange)?;
            let child = u32::from_be_bytes([pointer[0], pointer[1], pointer[2], pointer[3]]) as usize;
            let from = child.checked_sub(1).ok_or_else(strange)? * PAGE;
            let child = sound.get(from..from + PAGE).ok_or_else(strange)?;
            file.seek(SeekFrom::Start(pages * PAGE as u64))?;
            file.write_all(child)?;
            pages += 1;
            pointer.copy_from_slice(&u32::try_from(pages).map_err(|_| strange())?.to_be_bytes());
        }
    }
    // File format, 1.3: size in pages at 28, free list at 32 and 36, and what makes 28 valid.
    first[28..32].copy_from_slice(&u32::try_from(pages).unwrap_or(u32::MAX).to_be_bytes());
    first[32..40].fill(0);
    let change_counter: [u8; 4] = [first[24], first[25], first[26], first[27]];
    first[92..96].copy_from_slice(&change_counter);
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&first)
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
