//! A body's bytes over HTTP: entity tag, caching, ranges. RFC 9110 §13, §14.

use std::ops::RangeInclusive;

use warp::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use warp::http::{HeaderName, StatusCode};

use super::reply::{Response, problem, with_type};
use crate::chain::{Body, BodyError};
use crate::problem::{Code, Problem};
use crate::wire::BlockState;

/// A final block's body never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// A body that is committed but not final may be another one after a reorganisation of the root chain.
const FOR_NOW: &str = "public, max-age=2, immutable";

/// Answers a request for a block's body with these headers. Reads files.
pub(super) fn reply(body: &Body, state: BlockState, request: &HeaderMap) -> Result<Response, BodyError> {
    let tag = format!("\"{}\"", body.header().tx_root);
    let mut response = if matches(request, &IF_NONE_MATCH, &tag) {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        content(body, range_asked_for(request, &tag))?
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(&tag).expect("hex digits"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let caching = match state {
        BlockState::Final => FOR_EVER,
        BlockState::Open | BlockState::Closed | BlockState::Submitted | BlockState::Committed | BlockState::Void => {
            FOR_NOW
        }
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    Ok(response)
}

fn content(body: &Body, range: Option<Asked>) -> Result<Response, BodyError> {
    const BYTES: &str = "application/octet-stream";
    let Some(asked) = range else { return Ok(with_type(BYTES, body.bytes()?)) };
    let total = body.bytes_len()?;
    let Some(range) = asked.within(total) else {
        let mut response =
            problem(&Problem::new(Code::RangeNotSatisfiable, format_args!("the body has {total} bytes")));
        insert(&mut response, CONTENT_RANGE, &format!("bytes */{total}"));
        return Ok(response);
    };
    let (first, last) = range.into_inner();
    let mut response = with_type(BYTES, body.part(first..last + 1)?);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    insert(&mut response, CONTENT_RANGE, &format!("bytes {first}-{last}/{total}"));
    Ok(response)
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    response.headers_mut().insert(name, HeaderValue::from_str(value).expect("ASCII"));
}

/// What `Range` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    From(u64),
    FromTo(u64, u64),
    Last(u64),
}

impl Asked {
    /// Reads `bytes=…` with one range; a client that asks for anything else gets the whole (RFC 9110 §14.2).
    fn read(value: &str) -> Option<Self> {
        let (first, last) = value.strip_prefix("bytes=")?.trim().split_once('-')?;
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
            is_number.then(|| digits.parse().unwrap_or(u64::MAX))
        };
        match (number(first), number(last)) {
            (Some(first), Some(last)) => (first <= last).then_some(Self::FromTo(first, last)),
            (Some(first), None) => last.is_empty().then_some(Self::From(first)),
            (None, Some(count)) => first.is_empty().then_some(Self::Last(count)),
            (None, None) => None,
        }
    }

    /// Returns the first and last byte of a body with `total` bytes, if any byte is asked for.
    fn within(self, total: u64) -> Option<RangeInclusive<u64>> {
        let end = total.checked_sub(1)?;
        let range = match self {
            Self::From(first) => first..=end,
            Self::FromTo(first, last) => first..=last.min(end),
            Self::Last(0) => return None,
            Self::Last(count) => total.saturating_sub(count)..=end,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// Returns the range asked for, unless the client has parts of another body.
fn range_asked_for(request: &HeaderMap, tag: &str) -> Option<Asked> {
    if request.contains_key(IF_RANGE) && !matches(request, &IF_RANGE, tag) {
        return None;
    }
    Asked::read(request.get(RANGE)?.to_str().ok()?)
}

fn matches(request: &HeaderMap, name: &HeaderName, tag: &str) -> bool {
    let values = request.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim() == tag || value.trim() == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_lies_within_the_body_or_is_refused() {
        let within = |value, total| Asked::read(value).map(|asked| asked.within(total));
        assert_eq!(within("bytes=0-0", 10), Some(Some(0..=0)));
        assert_eq!(within("bytes=5-", 10), Some(Some(5..=9)));
        assert_eq!(within("bytes=5-99999999999999999999999", 10), Some(Some(5..=9)));
        assert_eq!(within("bytes=-3", 10), Some(Some(7..=9)));
        assert_eq!(within("bytes=-30", 10), Some(Some(0..=9)));
        for outside in ["bytes=10-", "bytes=10-11", "bytes=-0"] {
            assert_eq!(within(outside, 10), Some(None));
        }
        assert_eq!(within("bytes=0-", 0), Some(None));
        for ignored in
            ["bytes=3-2", "bytes=-", "bytes=0-1,3-4", "bytes=+1-2", "items=0-1", "bytes", "bytes=a-b", "bytes=1-x"]
        {
            assert_eq!(within(ignored, 10), None, "{ignored}");
        }
    }
}
