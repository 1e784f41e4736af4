//! Seals: a number in a row that says that the row is what was written.
//!
//! A changed bit in a page of the right shape is seen by nobody else. A seal stands over all that
//! its row says; the one of a message is made of two halves, one over what never changes and one
//! over its fate, so that a change of state needs no second look at its body.
//!
//! Rows of version 1 have a narrower checksum, which is positive; seals are negative. They are
//! told apart by that, and a row keeps what it has until it goes.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

/// What of a sum is kept: with it a seal always takes four bytes, and a row whose seal changes
/// keeps its size.
const MASK: u32 = 0x3fff_ffff;
pub(super) const FIRST: i64 = -0x4000_0001;

/// Short values are gathered, so that the sum is made over few long pieces.
const GATHERED: usize = 192;

/// A sum over values, each with its kind and length: none can pass for its neighbour.
#[derive(Debug)]
pub(super) struct Sum {
    hasher: crc32fast::Hasher,
    gathered: [u8; GATHERED],
    length: usize,
}

impl Default for Sum {
    fn default() -> Self {
        Self { hasher: crc32fast::Hasher::new(), gathered: [0; GATHERED], length: 0 }
    }
}

impl Sum {
    pub(super) fn int(&mut self, value: i64) -> &mut Self {
        let mut bytes = [1; 9];
        bytes[1..].copy_from_slice(&value.to_le_bytes());
        self.add(&bytes)
    }

    fn add(&mut self, bytes: &[u8]) -> &mut Self {
        if bytes.len() > GATHERED - self.length {
            self.hasher.update(&self.gathered[..self.length]);
            self.length = 0;
            if bytes.len() > GATHERED {
                self.hasher.update(bytes);
                return self;
            }
        }
        let end = self.length + bytes.len();
        self.gathered[self.length..end].copy_from_slice(bytes);
        self.length = end;
        self
    }

    pub(super) fn maybe_int(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.int(value),
            None => self.null(),
        }
    }

    pub(super) fn text(&mut self, value: &[u8]) -> &mut Self {
        self.bytes(3, value)
    }

    pub(super) fn maybe_text(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    pub(super) fn blob(&mut self, value: &[u8]) -> &mut Self {
        self.bytes(4, value)
    }

    fn null(&mut self) -> &mut Self {
        self.add(&[0])
    }

    fn bytes(&mut self, kind: u8, value: &[u8]) -> &mut Self {
        let mut head = [kind; 9];
        head[1..].copy_from_slice(&(value.len() as u64).to_le_bytes());
        self.add(&head).add(value)
    }

    fn value(&mut self, value: ValueRef<'_>) -> &mut Self {
        match value {
            ValueRef::Null => self.null(),
            ValueRef::Integer(value) => self.int(value),
            ValueRef::Real(value) => self.bytes(2, &value.to_bits().to_le_bytes()),
            ValueRef::Text(value) => self.text(value),
            ValueRef::Blob(value) => self.blob(value),
        }
    }

    pub(super) fn seal(&mut self) -> i64 {
        self.hasher.update(&self.gathered[..self.length]);
        self.length = 0;
        FIRST - i64::from(self.hasher.clone().finalize() & MASK)
    }
}

/// Whether this is a seal, and not a checksum of version 1.
pub(super) const fn is_one(stored: i64) -> bool {
    stored < 0
}

/// Two halves as one seal.
pub(super) const fn both(one: i64, other: i64) -> i64 {
    FIRST - ((FIRST - one) ^ (FIRST - other))
}

/// What turns a seal with one half into one with the other: to be exchanged bit by bit in its
/// distance from [`FIRST`].
pub(super) const fn difference(before: i64, after: i64) -> i64 {
    (FIRST - before) ^ (FIRST - after)
}

/// A number of a row as it stands there; what is no number fits no seal.
pub(super) fn int(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    Ok(row.get_ref(column)?.as_i64().unwrap_or(i64::MIN))
}

/// As [`int`], where there may be none.
pub(super) fn maybe_int(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<i64>> {
    let value = row.get_ref(column)?;
    Ok((value != ValueRef::Null).then(|| value.as_i64().unwrap_or(i64::MIN)))
}

/// Teaches a connection `seal(…)`, over all its arguments, and `resealed(seal, before, after)`,
/// which takes one half out and another in (and leaves a checksum of version 1 as it is).
pub(super) fn teach(conn: &Connection) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function("seal", -1, flags, |values: &mut Context<'_>| {
        let mut sum = Sum::default();
        for at in 0..values.len() {
            sum.value(values.get_raw(at));
        }
        Ok(sum.seal())
    })?;
    conn.create_scalar_function("resealed", 3, flags, |values: &mut Context<'_>| {
        let (stored, before, after) = (values.get::<i64>(0)?, values.get(1)?, values.get(2)?);
        Ok(if is_one(stored) { both(both(stored, before), after) } else { stored })
    })
}

/// Small tables whose rows are sealed, with the columns a seal stands over.
pub(super) const SEALED: &[(&str, &str)] = &[
    ("facts", "name, value"),
    ("cursors", "name, seq, last_seen"),
    ("resume", "server, stream, cursor"),
    ("kept", "server, name, value"),
    ("remembered", "name, value"),
];

/// Takes out of the small tables what is not what was written, so that the session begins without
/// it rather than with something wrong. Says what follows for people.
pub(super) fn weed(conn: &Connection, first_seq: i64) -> rusqlite::Result<Vec<String>> {
    let weed = |table: &str, columns: &str, verb: &str| -> rusqlite::Result<usize> {
        conn.execute(&format!("{verb} WHERE seal IS NOT NULL AND seal <> seal({columns})"), []).inspect(
            |count| {
                if *count > 0 {
                    tracing::warn!(table, count, "rows are not what was written");
                }
            },
        )
    };
    let mut notes = Vec::new();
    for (table, columns) in SEALED {
        let (verb, what_follows) = match *table {
            "facts" => continue,
            "cursors" => (
                format!(
                    "UPDATE cursors SET seq = {0}, seal = seal(name, {0}, last_seen)",
                    (first_seq - 1).max(0)
                ),
                "cursors of apps were damaged: those apps are told again everything that is kept",
            ),
            "resume" => (
                "DELETE FROM resume".to_owned(),
                "places to go on from at the server were damaged: what came meanwhile is told as a gap",
            ),
            "kept" => (
                "DELETE FROM kept".to_owned(),
                "values kept for the server were damaged: they are asked anew",
            ),
            _ => (
                format!("DELETE FROM {table}"),
                "remembered switches were damaged: they stand as at the first start",
            ),
        };
        match weed(table, columns, &verb)? {
            0 => {}
            count => notes.push(format!("{count} {what_follows}")),
        }
    }
    Ok(notes)
}

/// Seals all rows of the small tables that have none.
pub(super) fn seal_all(conn: &Connection) -> rusqlite::Result<()> {
    for (table, columns) in SEALED {
        conn.execute(&format!("UPDATE {table} SET seal = seal({columns}) WHERE seal IS NULL"), [])?;
    }
    Ok(())
}

/// What a damaged file's table of this name has of sound rows, as a condition for a question.
pub(super) fn sound_rows(old: &Connection, table: &str) -> String {
    let sealed = SEALED.iter().find(|(name, _)| *name == table);
    let Some((_, columns)) = sealed else { return String::new() };
    // A file of version 1 has no seals.
    match old.prepare(&format!("SELECT seal FROM {table}")) {
        Ok(_) => format!(" WHERE seal IS NULL OR seal = seal({columns})"),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::{Sum, both, is_one, teach};

    #[test]
    fn a_seal_takes_four_bytes_and_its_halves_can_be_exchanged() {
        let halves: Vec<i64> = (0..1000).map(|value| Sum::default().int(value).seal()).collect();
        for seal in &halves {
            assert!(i32::try_from(*seal).is_ok() && i32::try_from(*seal).unwrap() < -0x4000_0000);
        }
        let sealed = both(halves[1], halves[2]);
        assert!(is_one(sealed));
        assert_eq!(both(both(sealed, halves[2]), halves[3]), both(halves[1], halves[3]));
    }

    #[test]
    fn sql_seals_as_the_code_does_and_leaves_checksums_of_version_1() {
        let conn = Connection::open_in_memory().unwrap();
        teach(&conn).unwrap();
        let ask = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let ours = Sum::default().int(7).text(b"a").maybe_text(None).blob(b"b").seal();
        assert_eq!(ask("SELECT seal(7, 'a', NULL, x'62')"), ours);
        assert_ne!(ask("SELECT seal(7, 'a', NULL, 'b')"), ours);
        assert_eq!(ask("SELECT resealed(12345, seal(1), seal(2))"), 12345);
        assert_eq!(
            ask("SELECT resealed(resealed(seal(9), seal(1), seal(2)), seal(2), seal(1)) = seal(9)"),
            1
        );
    }
}
