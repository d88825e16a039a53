//! The protocol: the request is one line of JSON, the response is another.
//!
//! ```text
//! {"version":1,"ask":"stores","detail":"innermost"}
//! {"version":1,"ask":"stores","detail":{"stacks":{"all_frames":true}}}
//! {"version":1,"ask":"profile","duration_ns":10000000000,"interval_ns":1000000}
//! {"version":1,"ask":"kill","store":3,"reason":"a sentence"}
//!
//! {"ok":…}     a ProcessReport; an array of profiles, one for each subject; how many guests were killed
//! {"error":"a sentence"}
//! ```

use crate::subject::{Detail, ProfileRequest};
use serde::{Deserialize, Serialize};

/// The protocol version. Any other version is refused, so a new version may change everything else.
pub(crate) const VERSION: u32 = 1;

/// The maximum size of a request.
pub(crate) const MAX_REQUEST_BYTES: usize = 64 << 10;

/// The maximum size of a response.
pub(crate) const MAX_RESPONSE_BYTES: usize = 256 << 20;

/// The maximum size of a response in a list of processes, which are all requested at once: enough for tens of thousands
/// of stores.
pub(crate) const MAX_LISTED_RESPONSE_BYTES: usize = 16 << 20;

/// A request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Request {
    Stores {
        detail: Detail,
    },
    Profile(ProfileRequest),
    Kill {
        #[serde(skip_serializing_if = "Option::is_none")]
        store: Option<u64>,
        reason: String,
    },
}

#[derive(Serialize)]
struct VersionedRequest<'a> {
    version: u32,
    #[serde(flatten)]
    question: &'a Request,
}

/// The only field that requests of every version have.
#[derive(Deserialize)]
struct VersionHeader {
    version: u32,
}

impl Request {
    /// Returns the maximum size of the response.
    pub(crate) fn max_response_bytes(&self) -> usize {
        match self {
            Self::Stores { detail: Detail::Innermost } | Self::Kill { .. } => MAX_LISTED_RESPONSE_BYTES,
            Self::Stores { .. } | Self::Profile(_) => MAX_RESPONSE_BYTES,
        }
    }

    /// Serializes the request to a line.
    pub(crate) fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&VersionedRequest { version: VERSION, question: self })
    }

    /// Parses a line.
    ///
    /// # Errors
    ///
    /// Returns a sentence for the client.
    pub(crate) fn of_line(line: &[u8]) -> Result<Self, String> {
        let unreadable = |error: serde_json::Error| format!("the request cannot be read: {error}");
        let head: VersionHeader = serde_json::from_slice(line).map_err(unreadable)?;
        if head.version != VERSION {
            return Err(format!(
                "the process speaks version {VERSION} of the protocol (it has belljar {}), and was asked in version {}: use \
                 the `belljar` program of its release",
                env!("CARGO_PKG_VERSION"),
                head.version
            ));
        }
        serde_json::from_slice(line).map_err(unreadable)
    }
}

/// A response.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Response<T> {
    Ok(T),
    Error(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn questions_look_as_documented() {
        let line = |question: Request| {
            let line = question.to_line().unwrap();
            assert_eq!(Request::of_line(&line), Ok(question));
            String::from_utf8(line).unwrap()
        };
        let stores = |detail| line(Request::Stores { detail });
        assert_eq!(stores(Detail::Innermost), r#"{"version":1,"ask":"stores","detail":"innermost"}"#);
        assert_eq!(
            stores(Detail::Stacks { all_frames: true }),
            r#"{"version":1,"ask":"stores","detail":{"stacks":{"all_frames":true}}}"#
        );
        let wanted = ProfileRequest::new(Duration::from_secs(10), Duration::from_millis(1));
        assert_eq!(
            line(Request::Profile(wanted)),
            r#"{"version":1,"ask":"profile","duration_ns":10000000000,"interval_ns":1000000}"#
        );
        let kill = |store| line(Request::Kill { store, reason: "enough".into() });
        assert_eq!(kill(Some(3)), r#"{"version":1,"ask":"kill","store":3,"reason":"enough"}"#);
        assert_eq!(kill(None), r#"{"version":1,"ask":"kill","reason":"enough"}"#);
    }

    #[test]
    fn another_version_is_told_both() {
        let message = Request::of_line(br#"{"version":9,"ask":"something","newer":[]}"#).unwrap_err();
        assert!(message.contains("version 1 ") && message.contains("version 9"), "{message}");
    }

    #[test]
    fn nonsense_is_an_error() {
        let deep = "[".repeat(60_000);
        let version = format!(r#"{{"version":1,"ask":"stores","detail":{deep}"#);
        let cases = [
            "",
            "{}",
            "null",
            "GET / HTTP/1.1",
            "\u{0}",
            r#"{"version":-1}"#,
            r#"{"version":1}"#,
            &deep,
            &version,
        ];
        for case in cases {
            assert!(Request::of_line(case.as_bytes()).is_err(), "{case}");
        }
        assert!(Request::of_line(&[0xff, 0xfe]).is_err());
        assert!(Request::of_line(br#"{"version":1,"ask":"stores","detail":"everything"}"#).is_err());
        assert!(
            Request::of_line(br#"{"version":1,"ask":"profile","duration_ns":-1,"interval_ns":1}"#).is_err()
        );
    }
}
