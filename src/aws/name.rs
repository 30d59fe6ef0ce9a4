//! Names of temporary things, chosen before the call that makes them.

use jiff::Timestamp;
use uuid::Uuid;

/// A new id whose first eight digits are the seconds since 1970, so that a list of left-overs
/// sorts by age: `6560f0a1-….`
pub fn time_ordered_id() -> String {
    let seconds = Timestamp::now().as_second() as u64 & 0xffff_ffff;
    let random = Uuid::new_v4().simple().to_string();
    let digits = format!("{seconds:08x}{}", &random[8..]);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

/// The moment that a [time-ordered id](time_ordered_id) begins with; `None` for any other text.
pub fn time_of(id: &str) -> Option<Timestamp> {
    let id = Uuid::try_parse(id).ok().filter(|_| id.len() == 36)?;
    Timestamp::from_second(id.as_fields().0.into()).ok()
}

/// The name of a temporary key pair or security group: `packer_` and a
/// [time-ordered id](time_ordered_id), as clean-up scripts know them.
pub fn temporary() -> String {
    format!("packer_{}", time_ordered_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_begins_with_its_time_and_is_never_given_twice() {
        let (first, second) = (temporary(), temporary());
        assert_ne!(first, second);
        let id = first.strip_prefix("packer_").unwrap();
        assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        let seconds = i64::from_str_radix(&id[..8], 16).unwrap();
        assert!((Timestamp::now().as_second() - seconds).abs() < 5);
        assert_eq!(time_of(id).unwrap().as_second(), seconds);
        assert_eq!(time_of("somebody-else"), None);
    }
}
