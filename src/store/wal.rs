//! Looking at a write-ahead log before SQLite does.
//!
//! SQLite reads a log up to the first frame that is not whole and takes what follows for the
//! remains of a write that a power cut ended. It cannot tell that from a frame that was damaged
//! later, and would let go of every commit behind it without a word. Here the rest is looked at
//! too: each commit syncs the one before it, so more than one commit behind a broken frame is
//! damage.
//!
//! The form of the file: <https://www.sqlite.org/fileformat2.html#walformat>.

use std::io::{self, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const PAGE: usize = 4096;
const FRAME: usize = FRAME_HEADER + PAGE;
/// "0x377f0682", the last bit says which way the sums read their words.
const MAGIC: u32 = 0x377f_0682;

/// What a log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    /// All its commits can be read.
    Whole,
    /// Its last commit is not whole, as a power cut leaves it.
    Cut,
    /// So many commits stand behind a broken frame: they were synced, and would be lost.
    Broken(usize),
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

/// The running sum of the log over pairs of words.
fn add(sum: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    if big_endian {
        add_words(sum, bytes, u32::from_be_bytes)
    } else {
        add_words(sum, bytes, u32::from_le_bytes)
    }
}

fn add_words((mut one, mut two): (u32, u32), bytes: &[u8], word: impl Fn([u8; 4]) -> u32) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let &[a, b, c, d, e, f, g, h] = pair else { continue };
        one = one.wrapping_add(word([a, b, c, d])).wrapping_add(two);
        two = two.wrapping_add(word([e, f, g, h])).wrapping_add(one);
    }
    (one, two)
}

struct Header {
    big_endian: bool,
    salts: [u8; 8],
    sum: (u32, u32),
}

/// The header, where it is whole.
fn header(log: &[u8]) -> Option<Header> {
    let log = log.get(..HEADER)?;
    let big_endian = word(log, 0) & 1 == 1;
    let sum = add((0, 0), &log[..24], big_endian);
    let whole =
        word(log, 0) & !1 == MAGIC && word(log, 8) as usize == PAGE && sum == (word(log, 24), word(log, 28));
    let mut salts = [0; 8];
    salts.copy_from_slice(&log[16..24]);
    whole.then_some(Header { big_endian, salts, sum })
}

fn salts(frame: &[u8]) -> &[u8] {
    &frame[8..16]
}

fn is_commit(frame: &[u8]) -> bool {
    word(frame, 4) != 0
}

/// Looks through a log; one that is not there is whole.
pub(super) fn look(path: &Path) -> io::Result<Log> {
    match std::fs::File::open(path) {
        Ok(log) => judge_as_read(log),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Log::Whole),
        Err(error) => Err(error),
    }
}

/// As [`look`], of a log in memory.
fn judge(log: &[u8]) -> Log {
    judge_as_read(log).expect("memory can be read")
}

/// Frames read at once.
const GULP: usize = 64;

/// Judges a log frame by frame: what is held of it in memory is no more than a gulp.
fn judge_as_read(log: impl Read) -> io::Result<Log> {
    let mut log = io::BufReader::with_capacity(GULP * FRAME, log);
    let mut head = [0; HEADER];
    if !fill(&mut log, &mut head)? || head == [0; HEADER] {
        return Ok(Log::Whole);
    }
    let header = header(&head);
    // The salts of the first frame are as good as those of a header that is broken.
    let mut own = header.as_ref().map(|header| header.salts);
    let mut sum = header.as_ref().map(|header| header.sum);
    let (mut behind, mut commits) = (0_usize, 0_usize);
    let mut frame = vec![0; FRAME];
    while fill(&mut log, &mut frame)? {
        let own = *own.get_or_insert_with(|| salts_of(&frame));
        if let (Some(header), Some(before)) = (&header, sum) {
            sum = header.sum_after(before, &frame);
            if sum.is_some() {
                continue;
            }
        }
        if salts(&frame) == own {
            behind += 1;
            commits += usize::from(is_commit(&frame));
        }
    }
    Ok(match (header.is_some(), behind, commits) {
        (true, 0, _) | (false, _, 0) => Log::Whole,
        (true, _, 0 | 1) => Log::Cut,
        (_, _, commits) => Log::Broken(commits),
    })
}

/// Fills the buffer; false where not enough is left.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The pages that a log brings, oldest first: of a whole log what is committed, of a broken one what
/// its round of commits wrote, whatever the sums say. (The rows say by their own seals which of them
/// are sound.)
pub(super) fn pages(log: &[u8]) -> Vec<(u32, &[u8])> {
    let frames: Vec<&[u8]> = log.get(HEADER..).unwrap_or_default().chunks_exact(FRAME).collect();
    let Some(first) = frames.first() else {
        return Vec::new();
    };
    let (own, whole) = match header(log) {
        Some(header) => (header.salts, whole_frames(&header, &frames)),
        None => (salts_of(first), frames.len()),
    };
    let usable = if matches!(judge(log), Log::Broken(_)) { &frames[..] } else { &frames[..whole] };
    // A frame between two of this round is of this round, whatever its salts say now.
    let last = usable.iter().rposition(|frame| salts(frame) == own && is_commit(frame));
    let usable = last.map_or(&usable[..0], |last| &usable[..=last]);
    usable.iter().map(|frame| (word(frame, 0), &frame[FRAME_HEADER..])).collect()
}

fn salts_of(frame: &[u8]) -> [u8; 8] {
    let mut own = [0; 8];
    own.copy_from_slice(salts(frame));
    own
}

/// How many frames SQLite itself would read.
fn whole_frames(header: &Header, frames: &[&[u8]]) -> usize {
    let mut sum = header.sum;
    frames
        .iter()
        .take_while(|frame| match header.sum_after(sum, frame) {
            Some(next) => {
                sum = next;
                true
            }
            None => false,
        })
        .count()
}

impl Header {
    /// The running sum with this frame; none where the frame is not the next whole one.
    fn sum_after(&self, sum: (u32, u32), frame: &[u8]) -> Option<(u32, u32)> {
        if salts(frame) != self.salts {
            return None;
        }
        let sum = add(sum, &frame[..8], self.big_endian);
        let sum = add(sum, &frame[FRAME_HEADER..], self.big_endian);
        (sum == (word(frame, 16), word(frame, 20))).then_some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::{FRAME, HEADER, Log, judge, pages};

    /// A log of SQLite's own, with a commit for each row.
    fn log(rows: usize) -> (tempfile::TempDir, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let conn = rusqlite::Connection::open(dir.path().join("x.db")).unwrap();
        conn.pragma_update(None, "journal_mode", "WAL").unwrap();
        conn.execute_batch("CREATE TABLE t (n)").unwrap();
        for row in 0..rows {
            conn.execute("INSERT INTO t VALUES (?1)", [i64::try_from(row).unwrap()]).unwrap();
        }
        let log = std::fs::read(dir.path().join("x.db-wal")).unwrap();
        (dir, log)
    }

    #[test]
    fn a_log_of_sqlite_is_whole_wherever_a_killed_process_left_it() {
        let (_dir, log) = log(6);
        assert_eq!(judge(&log), Log::Whole);
        for length in [0, 20, HEADER, HEADER + 10, HEADER + FRAME, log.len() - 1, log.len() - FRAME] {
            assert_eq!(judge(&log[..length]), Log::Whole, "{length}");
        }
    }

    #[test]
    fn a_broken_frame_with_commits_behind_it_is_damage_and_one_without_is_a_cut() {
        let (_dir, log) = log(6);
        for at in [HEADER + FRAME + 3, HEADER + FRAME + 9, HEADER + FRAME + 500] {
            let mut broken = log.clone();
            broken[at] ^= 4;
            assert!(matches!(judge(&broken), Log::Broken(2..)), "{at}");
        }
        let mut cut = log.clone();
        let last = cut.len() - 7;
        cut[last] ^= 1;
        assert_eq!(judge(&cut), Log::Cut);
        let mut headless = log.clone();
        headless[17] ^= 1;
        assert!(matches!(judge(&headless), Log::Broken(2..)));
    }

    #[test]
    fn the_pages_of_a_broken_log_are_those_of_every_commit() {
        let (_dir, log) = log(6);
        let sound = pages(&log);
        assert!(sound.len() >= 7);
        // Salts in the header and in a frame, a sum, the page itself.
        for at in [17, HEADER + FRAME + 9, HEADER + FRAME + 19, HEADER + 2 * FRAME + 300] {
            let mut broken = log.clone();
            broken[at] ^= 1;
            let found = pages(&broken);
            assert_eq!(found.len(), sound.len(), "{at}");
            let changed = found.iter().zip(&sound).filter(|(one, other)| one != other).count();
            assert!(changed <= 1, "{at}");
        }
        // Of a cut log nothing of the last commit.
        let mut cut = log.clone();
        let last = cut.len() - 7;
        cut[last] ^= 1;
        assert!(pages(&cut).len() < sound.len());
    }
}
