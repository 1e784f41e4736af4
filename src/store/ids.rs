//! Our own message ids hold their place.
//!
//! An index over every id would cost up to half of the insert rate for a question that is seldom
//! asked. So the low 40 of the 62 free bits of a UUIDv7 (RFC 9562, 5.7 and 6.2) are the row's
//! place: the id leads to the row, and ids of one millisecond sort by place.

use uuid::Uuid;

use crate::model::MessageId;

const PLACE_BITS: u128 = (1 << 40) - 1;

/// `fresh`, made to lead to `place`.
pub(super) fn own(fresh: Uuid, place: i64) -> Uuid {
    let place = u128::from(place.unsigned_abs()) & PLACE_BITS;
    Uuid::from_u128((fresh.as_u128() & !PLACE_BITS) | place)
}

/// Where the row of `id` stands if it is one of ours. An app's id may look like ours: the row
/// there decides.
pub(super) fn place_in(id: &MessageId) -> Option<(Uuid, i64)> {
    let uuid = Uuid::try_parse(id.as_str()).ok()?;
    let ours = uuid.get_version_num() == 7 && uuid.hyphenated().to_string() == id.as_str();
    let place = i64::try_from(uuid.as_u128() & PLACE_BITS).ok()?;
    ours.then_some((uuid, place))
}

#[cfg(test)]
mod tests {
    use super::{own, place_in};
    use crate::model::MessageId;

    #[test]
    fn an_id_of_ours_leads_to_its_place_and_stays_a_version_7_uuid() {
        let uuid = own(uuid::Uuid::now_v7(), 123_456_789);
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(place_in(&MessageId::from(uuid)), Some((uuid, 123_456_789)));
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
