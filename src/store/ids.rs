//! Our own message ids hold their place.
//!
//! An index over every id would cost up to half of the insert rate for a question that is seldom
//! asked. So 40 of the 74 free bits of a UUIDv7 (RFC 9562, 5.7) are the row's place, in front of
//! 34 random ones: the id leads to the row, and ids of one millisecond sort by place.

use std::hash::{BuildHasher as _, RandomState};

use uuid::Uuid;

use crate::model::{MessageId, Timestamp};

/// The place's upper 12 bits stand in `rand_a`, its lower 28 at the top of `rand_b`.
const UPPER: u32 = 64;
const LOWER: u32 = 34;
const UPPER_MASK: u128 = 0xfff << UPPER;
const LOWER_MASK: u128 = 0xfff_ffff << LOWER;

/// Makes ids. Their chance comes from keys that the system gave once: asking it for every id costs a
/// system call each.
#[derive(Debug, Default)]
pub(super) struct Ids {
    keys: RandomState,
    made: u64,
}

impl Ids {
    /// A version 7 UUID of this time.
    pub(super) fn fresh(&mut self, wall: Timestamp) -> Uuid {
        self.made += 1;
        let chance = [self.keys.hash_one((self.made, 0)), self.keys.hash_one((self.made, 1))];
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&chance[0].to_le_bytes());
        bytes[8..].copy_from_slice(&chance[1].to_le_bytes()[..2]);
        let millis = u64::try_from(wall.as_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }
}

/// `fresh`, made to lead to `place`.
pub(super) fn own(fresh: Uuid, place: i64) -> Uuid {
    let place = u128::from(place.unsigned_abs());
    let upper = (place >> 28 << UPPER) & UPPER_MASK;
    let lower = (place << LOWER) & LOWER_MASK;
    Uuid::from_u128((fresh.as_u128() & !(UPPER_MASK | LOWER_MASK)) | upper | lower)
}

/// Where the row of `id` stands if it is one of ours. An app's id may look like ours: the row
/// there decides.
pub(super) fn place_in(id: &MessageId) -> Option<(Uuid, i64)> {
    let uuid = Uuid::try_parse(id.as_str()).ok()?;
    let ours = uuid.get_version_num() == 7 && uuid.hyphenated().to_string() == id.as_str();
    let bits = uuid.as_u128();
    let place = (bits & UPPER_MASK) >> UPPER << 28 | (bits & LOWER_MASK) >> LOWER;
    Some((uuid, i64::try_from(place).ok()?)).filter(|_| ours)
}

#[cfg(test)]
mod tests {
    use super::{own, place_in};
    use crate::model::MessageId;

    #[test]
    fn an_id_of_ours_leads_to_its_place_and_stays_a_version_7_uuid() {
        for place in [1, 2, 0xfff_ffff, 0x1000_0000, 123_456_789_012, (1 << 40) - 1] {
            let uuid = own(uuid::Uuid::now_v7(), place);
            assert_eq!(uuid.get_version_num(), 7);
            assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(place_in(&MessageId::from(uuid)), Some((uuid, place)));
        }
    }

    #[test]
    fn ids_of_one_place_and_one_millisecond_differ() {
        let mut ids: Vec<_> = (0..1000).map(|_| own(uuid::Uuid::now_v7(), 7)).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 1000);
    }

    #[test]
    fn other_spellings_and_other_texts_are_not_ours() {
        let uuid = own(uuid::Uuid::now_v7(), 5);
        for text in
            [uuid.simple().to_string(), uuid.hyphenated().to_string().to_uppercase(), "order-5".into()]
        {
            assert_eq!(place_in(&MessageId::new(&text).unwrap()), None, "{text}");
        }
    }
}
