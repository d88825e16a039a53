//! Writing messages in the wire format of Protocol Buffers.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

/// A message under construction. Each function adds a field, by its number.
#[derive(Default)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

/// How a field is encoded: the lowest three bits of its tag.
enum WireType {
    Varint = 0,
    Length = 2,
}

impl Message {
    /// Returns a message of numbers.
    pub(crate) fn of_numbers(fields: &[(u32, u64)]) -> Self {
        let mut message = Self::default();
        fields.iter().for_each(|(field, value)| message.number(*field, *value));
        message
    }

    /// Returns the encoded message.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a number, unless it is 0, which readers assume.
    pub(crate) fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.tag(field, WireType::Varint);
            self.varint(value);
        }
    }

    /// Adds a list of numbers.
    pub(crate) fn numbers(&mut self, field: u32, values: impl IntoIterator<Item = u64>) {
        let mut list = Self::default();
        values.into_iter().for_each(|value| list.varint(value));
        if !list.bytes.is_empty() {
            self.length_delimited(field, &list.bytes);
        }
    }

    /// Adds a string to a list of strings.
    pub(crate) fn string(&mut self, field: u32, value: &str) {
        self.length_delimited(field, value.as_bytes());
    }

    /// Adds a message.
    pub(crate) fn message(&mut self, field: u32, value: &Self) {
        self.length_delimited(field, &value.bytes);
    }

    fn length_delimited(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, WireType::Length);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn tag(&mut self, field: u32, ty: WireType) {
        self.varint(u64::from(field) << 3 | ty as u64);
    }

    /// Seven bits for each byte, the lowest first; the highest bit tells that another byte follows.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}
