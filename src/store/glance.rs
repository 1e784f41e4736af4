//! A look at the database's file from outside: no lock, no SQLite, nothing written.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::disk;
use super::files::file_bytes;
use super::migrations::{APPLICATION_ID, MIGRATIONS, version_of};

/// What a file looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// Its size, with its log.
    pub bytes: u64,
    /// What its header says it is.
    pub content: Content,
}

/// What the header of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A database of this version.
    Ours,
    /// One that the next start upgrades, of this version.
    Older(i64),
    /// One of a newer version.
    Newer(i64),
    /// A database of another program.
    Foreign,
    /// No database.
    Damaged,
}

/// The disk under a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// Free bytes for us; none where the system does not say.
    pub free: Option<u64>,
    /// The kind of file system, where other machines share it.
    pub shared: Option<String>,
}

/// Looks at the disk under `folder`, where a database is or is to be.
#[must_use]
pub fn ground(folder: &Path) -> Ground {
    let database = folder.join("database");
    Ground { free: disk::free_bytes(&database), shared: disk::network_file_system(&database) }
}

/// Bytes of a database's header (file format, section 1.3).
const HEADER: usize = 100;
/// Where `user_version` stands in it.
const USER_VERSION: usize = 60;
/// Where `application_id` stands in it.
const APPLICATION: usize = 68;

/// Looks at the file. What stands only in its log is not seen: a version that was upgraded right
/// before a crash may still show as the older one.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn glance(path: &Path) -> io::Result<Glance> {
    let mut header = Vec::with_capacity(HEADER);
    File::open(path)?.take(HEADER as u64).read_to_end(&mut header)?;
    Ok(Glance { bytes: file_bytes(path), content: content(&header) })
}

fn content(header: &[u8]) -> Content {
    if header.len() < HEADER || !header.starts_with(b"SQLite format 3\0") {
        return Content::Damaged;
    }
    let number = |at: usize| -> i64 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&header[at..at + 4]);
        i32::from_be_bytes(bytes).into()
    };
    let (version, ours) = (number(USER_VERSION), version_of(MIGRATIONS));
    if number(APPLICATION) != APPLICATION_ID {
        Content::Foreign
    } else if version > ours {
        Content::Newer(version)
    } else if version < ours {
        Content::Older(version)
    } else {
        Content::Ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_whose_database_it_is() {
        let header = |application: i64, version: i64| {
            let mut header = b"SQLite format 3\0".to_vec();
            header.resize(HEADER, 0);
            for (at, number) in [(USER_VERSION, version), (APPLICATION, application)] {
                let number = i32::try_from(number).unwrap();
                header[at..at + 4].copy_from_slice(&number.to_be_bytes());
            }
            header
        };
        let ours = version_of(MIGRATIONS);
        assert_eq!(content(&header(APPLICATION_ID, ours)), Content::Ours);
        assert_eq!(content(&header(APPLICATION_ID, ours + 1)), Content::Newer(ours + 1));
        assert_eq!(content(&header(APPLICATION_ID, ours - 1)), Content::Older(ours - 1));
        assert_eq!(content(&header(1, ours)), Content::Foreign);
        assert_eq!(content(&header(APPLICATION_ID, ours)[..99]), Content::Damaged);
        assert_eq!(content(&[b'x'; HEADER]), Content::Damaged);
    }
}
