//! A resource `fields`: headers or trailers.
//!
//! In: names and values from a guest, or the fields of a message that was received. Out: fields in their order, valid and
//! allowed. Names are in small letters, as they are sent. Never: more bytes than the guest's budget allows; a field that the
//! guest may not set; one that it may not see, such as `connection`.

use crate::budget::{Budget, Charge};
use crate::types::HeaderError;
use belljar::{Error, Result, bail};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::sync::Arc;

/// The size that RFC 9113 (6.5.2) adds to that of a field's name and value. It stands for the host's memory, too.
const FIELD_OVERHEAD: usize = 32;

/// Headers or trailers, in their order. Clones share the fields until one is changed.
#[derive(Clone, Debug)]
pub struct Fields {
    entries: Arc<Entries>,
    is_mutable: bool,
}

#[derive(Debug)]
struct Entries {
    list: Vec<(HeaderName, HeaderValue)>,
    /// Their size.
    size: Charge,
}

/// What a guest's fields may be.
#[derive(Clone, Debug)]
pub(crate) struct FieldLimits {
    /// The size of one `fields`.
    pub(crate) size: usize,
    /// What all `fields` of the guest together may have.
    pub(crate) all: Budget,
}

/// Why fields were not changed.
#[derive(Debug)]
pub(crate) enum Refusal {
    Header(HeaderError),
    /// The guest has too many: it ends.
    TooLarge(Error),
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

impl From<http::header::InvalidHeaderName> for Refusal {
    fn from(_: http::header::InvalidHeaderName) -> Self {
        Self::Header(HeaderError::InvalidSyntax)
    }
}

/// Tells whether a guest may not set a field.
pub(crate) type IsForbidden<'a> = dyn FnMut(&HeaderName) -> bool + 'a;

fn too_large(limits: &FieldLimits) -> Error {
    Error::msg(format!(
        "too many header fields: one `fields` may have {} bytes, and all of a guest together {}, counting {FIELD_OVERHEAD} more \
         for each field; `WasiHttpCtx::set_field_size_limit` sets this",
        limits.size,
        limits.all.limit()
    ))
}

fn size_of(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + FIELD_OVERHEAD
}

/// Returns the size of a section of header fields, as RFC 9113 (6.5.2) counts it.
pub(crate) fn section_size(map: &HeaderMap) -> usize {
    map.iter().map(|(name, value)| size_of(name, value)).sum()
}

fn value(name: &HeaderName, bytes: &[u8]) -> Result<HeaderValue, HeaderError> {
    // Anything but digits could be understood in two ways.
    if *name == header::CONTENT_LENGTH && length(bytes).is_none() {
        return Err(HeaderError::InvalidSyntax);
    }
    HeaderValue::from_bytes(bytes).map_err(|_| HeaderError::InvalidSyntax)
}

/// Returns the number that digits are.
fn length(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok()
}

impl Fields {
    /// Creates fields that the guest can change, without any.
    pub(crate) fn new(limits: &FieldLimits) -> Result<Self> {
        let size = limits.all.charge(0).ok_or_else(|| too_large(limits))?;
        Ok(Self { entries: Arc::new(Entries { list: Vec::new(), size }), is_mutable: true })
    }

    /// Takes fields that were received, which the guest cannot change. Leaves out those that it may not see.
    ///
    /// # Errors
    ///
    /// Returns an error if they are more than the guest may have.
    pub(crate) fn received(
        limits: &FieldLimits,
        map: &HeaderMap,
        is_forbidden: &mut IsForbidden<'_>,
    ) -> Result<Self> {
        let allowed: Vec<_> = map.iter().filter(|(name, _)| !is_forbidden(name)).collect();
        let size = allowed.iter().map(|(name, value)| size_of(name, value)).sum();
        let list = allowed.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let size = limits.all.charge(size).ok_or_else(|| too_large(limits))?;
        Ok(Self { entries: Arc::new(Entries { list, size }), is_mutable: false })
    }

    pub(crate) fn set_immutable(&mut self) {
        self.is_mutable = false;
    }

    /// Returns a copy that the guest can change.
    pub(crate) fn mutable_copy(&self) -> Self {
        Self { entries: self.entries.clone(), is_mutable: true }
    }

    /// Returns the fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.entries.list.iter().map(|(name, value)| (name, value))
    }

    /// Returns the values of a field; none if the name is not valid.
    pub(crate) fn get<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a HeaderValue> {
        let name = HeaderName::from_bytes(name.as_bytes()).ok();
        self.iter().filter(move |(known, _)| Some(*known) == name.as_ref()).map(|(_, value)| value)
    }

    /// Returns the entries, to change them: the guest's own, which no clone shares.
    fn edit(&mut self, limits: &FieldLimits) -> Result<&mut Entries, Refusal> {
        if !self.is_mutable {
            return Err(HeaderError::Immutable.into());
        }
        let full = || Refusal::TooLarge(too_large(limits));
        if Arc::get_mut(&mut self.entries).is_none() {
            let size = self.entries.size.again().ok_or_else(full)?;
            self.entries = Arc::new(Entries { list: self.entries.list.clone(), size });
        }
        Arc::get_mut(&mut self.entries).ok_or_else(full)
    }

    fn check(name: &str, is_forbidden: &mut IsForbidden<'_>) -> Result<HeaderName, Refusal> {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        if is_forbidden(&name) { Err(HeaderError::Forbidden.into()) } else { Ok(name) }
    }

    /// Adds a field.
    pub(crate) fn append(
        &mut self,
        limits: &FieldLimits,
        is_forbidden: &mut IsForbidden<'_>,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let entries = self.edit(limits)?;
        let name = Self::check(name, is_forbidden)?;
        let value = value(&name, bytes)?;
        entries.resize(limits, entries.size.amount() + size_of(&name, &value))?;
        entries.list.push((name, value));
        Ok(())
    }

    /// Sets all values of a field. They stand where the first one stood.
    pub(crate) fn set(
        &mut self,
        limits: &FieldLimits,
        is_forbidden: &mut IsForbidden<'_>,
        name: &str,
        values: &[Vec<u8>],
    ) -> Result<(), Refusal> {
        let entries = self.edit(limits)?;
        let name = Self::check(name, is_forbidden)?;
        let values = values.iter().map(|bytes| value(&name, bytes)).collect::<Result<Vec<_>, _>>()?;
        let before = entries.size_of_all(&name);
        let after: usize = values.iter().map(|value| size_of(&name, value)).sum();
        entries.resize(limits, entries.size.amount() - before + after)?;
        let at = entries.list.iter().position(|(known, _)| *known == name).unwrap_or(entries.list.len());
        entries.list.retain(|(known, _)| *known != name);
        entries.list.splice(at..at, values.into_iter().map(|value| (name.clone(), value)));
        Ok(())
    }

    /// Removes all values of a field.
    pub(crate) fn delete(
        &mut self,
        limits: &FieldLimits,
        is_forbidden: &mut IsForbidden<'_>,
        name: &str,
    ) -> Result<(), Refusal> {
        self.set(limits, is_forbidden, name, &[])
    }

    /// Returns the length that `content-length` tells.
    ///
    /// # Errors
    ///
    /// Returns an error if there are several, or it is no number.
    pub(crate) fn content_length(&self) -> Result<Option<u64>, ()> {
        let mut all = self.iter().filter(|(name, _)| **name == header::CONTENT_LENGTH);
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some((_, value)), None) => length(value.as_bytes()).map(Some).ok_or(()),
            (Some(_), Some(_)) => Err(()),
        }
    }

    /// Returns them as they are sent.
    ///
    /// # Errors
    ///
    /// Returns an error if they are more than an [`HeaderMap`] can hold.
    pub(crate) fn to_map(&self) -> Result<HeaderMap> {
        let mut map = HeaderMap::new();
        for (name, value) in self.iter() {
            if map.try_append(name.clone(), value.clone()).is_err() {
                bail!("too many header fields: they cannot be sent");
            }
        }
        Ok(map)
    }
}

impl Entries {
    fn size_of_all(&self, name: &HeaderName) -> usize {
        self.list.iter().filter(|(known, _)| known == name).map(|(name, value)| size_of(name, value)).sum()
    }

    fn resize(&mut self, limits: &FieldLimits, size: usize) -> Result<(), Refusal> {
        match size <= limits.size && self.size.change_to(size) {
            true => Ok(()),
            false => Err(Refusal::TooLarge(too_large(limits))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(size: usize, all: usize) -> FieldLimits {
        FieldLimits { size, all: Budget::new(all) }
    }

    fn show(fields: &Fields) -> String {
        let one = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}={}", String::from_utf8_lossy(value.as_bytes()))
        };
        fields.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn code(result: Result<(), Refusal>) -> Option<HeaderError> {
        match result {
            Ok(()) => None,
            Err(Refusal::Header(error)) => Some(error),
            Err(Refusal::TooLarge(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn order_and_multiplicity_are_kept() {
        let limits = limits(1000, 1000);
        let no = &mut |_: &HeaderName| false;
        let mut fields = Fields::new(&limits).unwrap();
        for (name, value) in [("B", "1"), ("a", "2"), ("b", "3"), ("c", "4"), ("a", "5")] {
            assert_eq!(code(fields.append(&limits, no, name, value.as_bytes())), None);
        }
        assert_eq!(show(&fields), "b=1 a=2 b=3 c=4 a=5");
        assert_eq!(fields.get("A").count(), 2);
        assert_eq!(fields.get("a b").count(), 0);
        let copy = fields.mutable_copy();
        assert_eq!(code(fields.set(&limits, no, "A", &[b"x".into(), b"".into()])), None);
        assert_eq!(show(&fields), "b=1 a=x a= b=3 c=4");
        assert_eq!(code(fields.delete(&limits, no, "b")), None);
        assert_eq!(show(&fields), "a=x a= c=4");
        assert_eq!(code(fields.set(&limits, no, "d", &[b"7".into()])), None);
        assert_eq!(show(&fields), "a=x a= c=4 d=7");
        assert_eq!(show(&copy), "b=1 a=2 b=3 c=4 a=5");
        assert_eq!(fields.to_map().unwrap().get_all("a").iter().count(), 2);
    }

    #[test]
    fn what_is_not_valid_or_not_allowed_is_refused() {
        let limits = limits(1000, 1000);
        let forbidden = &mut |name: &HeaderName| *name == header::HOST;
        let mut fields = Fields::new(&limits).unwrap();
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("a", "x\r\ny: z"),
            ("a", "\0"),
            ("content-length", "+5"),
            ("content-length", ""),
            ("content-length", "99999999999999999999"),
        ] {
            let error = code(fields.append(&limits, forbidden, name, value.as_bytes()));
            assert_eq!(error, Some(HeaderError::InvalidSyntax), "{name}: {value}");
            let error = code(fields.set(&limits, forbidden, name, &[value.into()]));
            assert_eq!(error, Some(HeaderError::InvalidSyntax), "{name}: {value}");
        }
        assert_eq!(code(fields.append(&limits, forbidden, "HOST", b"x")), Some(HeaderError::Forbidden));
        assert_eq!(code(fields.delete(&limits, forbidden, "Host")), Some(HeaderError::Forbidden));
        assert_eq!(code(fields.append(&limits, forbidden, "Content-Length", b"12")), None);
        assert_eq!(fields.content_length(), Ok(Some(12)));
        assert_eq!(code(fields.append(&limits, forbidden, "content-length", b"12")), None);
        assert_eq!(fields.content_length(), Err(()));
        fields.set_immutable();
        assert_eq!(code(fields.append(&limits, forbidden, "a", b"x")), Some(HeaderError::Immutable));
        assert_eq!(code(fields.delete(&limits, forbidden, "a")), Some(HeaderError::Immutable));
        assert_eq!(code(fields.mutable_copy().append(&limits, forbidden, "a", b"x")), None);
    }

    #[test]
    fn sizes_are_limited() {
        let no = &mut |_: &HeaderName| false;
        let few = limits(100, 150);
        let mut fields = Fields::new(&few).unwrap();
        assert_eq!(code(fields.append(&few, no, "name", &[b'x'; 64])), None);
        let Err(Refusal::TooLarge(error)) = fields.append(&few, no, "a", b"") else { panic!() };
        assert!(
            error.to_string().starts_with("too many header fields: one `fields` may have 100"),
            "{error}"
        );
        assert_eq!(code(fields.set(&few, no, "name", &[b"y".into()])), None);
        assert_eq!(code(fields.set(&few, no, "name", &[vec![b'x'; 64]])), None);
        // A copy takes of the budget when it differs.
        let mut copy = fields.mutable_copy();
        assert!(matches!(copy.append(&few, no, "a", b""), Err(Refusal::TooLarge(_))));
        drop(copy);
        let mut other = Fields::new(&few).unwrap();
        assert_eq!(code(other.append(&few, no, "name", &[b'x'; 14])), None);
        assert!(matches!(other.append(&few, no, "a", b""), Err(Refusal::TooLarge(_))));
        drop(fields);
        assert_eq!(code(other.append(&few, no, "a", b"")), None);
    }

    #[test]
    fn received_fields_show_only_what_a_guest_may_see() {
        let limits = limits(1000, 1000);
        let mut map = HeaderMap::new();
        map.append("a", HeaderValue::from_static("1"));
        map.append("connection", HeaderValue::from_static("close"));
        map.append("a", HeaderValue::from_static("2"));
        assert_eq!(section_size(&map), 2 * 34 + 47);
        let fields = Fields::received(&limits, &map, &mut |name| *name == header::CONNECTION).unwrap();
        assert_eq!(show(&fields), "a=1 a=2");
        assert!(!fields.is_mutable);
        let few = FieldLimits { all: Budget::new(67), ..limits };
        assert!(Fields::received(&few, &map, &mut |name| *name == header::CONNECTION).is_err());
    }
}
