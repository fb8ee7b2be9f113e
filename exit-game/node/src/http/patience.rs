//! Refusals that come later and later: to refuse must cost a server less than it costs whoever asks in vain.
//!
//! Nobody's first mistake is noticed. Who errs again and again on one connection waits a little longer each time, up to a
//! bound, and no more after the first request that is answered. While many requests wait the bound holds at once: then whoever
//! opens a connection for each attempt gains nothing by it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::Response;

/// What a refusal waits longer than the one before; a hundred times what it took to look at a signature.
const STEP: Duration = Duration::from_millis(4);
/// After so many in a row they wait no longer: 64 ms, for sixty strangers a thousand refusals a second.
const STEPS_MAX: u32 = 16;

/// How many of the things that a request asked for were refused, although it was answered. A part of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused(u32);

/// Returns the answer to a request of which `count` parts were forged or malformed: each of them delays it.
#[must_use]
pub fn refusing(count: usize, mut response: Response) -> Response {
    response.extensions_mut().insert(Refused(u32::try_from(count).unwrap_or(u32::MAX)));
    response
}

/// How many requests wait for their answers, those that are kept back included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crowd {
    /// As many as one expects.
    Few,
    /// More.
    Many,
}

/// What a server remembers of one connection: how much it refused since it last answered.
#[derive(Debug, Default)]
pub(super) struct Patience {
    refused: AtomicU32,
}

impl Patience {
    /// Counts an answer and returns how long it is kept back.
    pub(super) fn pause_before(&self, response: &Response, crowd: Crowd) -> Duration {
        let of_parts = response.extensions().get::<Refused>().map_or(0, |refused| refused.0);
        let now = of_parts.max(response.status().is_client_error().into());
        if now == 0 {
            self.refused.store(0, Ordering::Relaxed);
            return Duration::ZERO;
        }
        // A connection's requests are answered one after the other.
        let before = self.refused.load(Ordering::Relaxed);
        self.refused.store(before.saturating_add(now), Ordering::Relaxed);
        let steps = match crowd {
            Crowd::Few => before.min(STEPS_MAX),
            Crowd::Many => STEPS_MAX,
        };
        STEP * steps.max(now - 1)
    }
}

#[cfg(test)]
mod tests {
    use warp::http::StatusCode;

    use super::*;

    fn answer(status: StatusCode) -> Response {
        let mut response = Response::new(Vec::new().into());
        *response.status_mut() = status;
        response
    }

    #[test]
    fn who_errs_again_and_again_is_answered_later_and_later() {
        let (patience, refusal) = (Patience::default(), answer(StatusCode::BAD_REQUEST));
        let pauses = |count: usize| {
            let pauses = (0..count).map(|_| patience.pause_before(&refusal, Crowd::Few));
            pauses.map(|pause| pause.as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(pauses(4), [0, 4, 8, 12]);
        assert_eq!(pauses(20)[12..], [64; 8]);
        assert_eq!(patience.pause_before(&answer(StatusCode::OK), Crowd::Few), Duration::ZERO);
        assert_eq!(pauses(2), [0, 4], "one that is in order makes up for all");
    }

    #[test]
    fn a_batch_waits_for_each_of_its_forgeries_and_in_a_crowd_nobody_errs_for_nothing() {
        let (patience, ok) = (Patience::default(), || answer(StatusCode::OK));
        assert_eq!(patience.pause_before(&refusing(0, ok()), Crowd::Many), Duration::ZERO);
        assert_eq!(patience.pause_before(&refusing(1_000, ok()), Crowd::Few), STEP * 999);
        assert_eq!(patience.pause_before(&refusing(1, ok()), Crowd::Few), STEP * STEPS_MAX);
        let newcomer = Patience::default();
        assert_eq!(newcomer.pause_before(&answer(StatusCode::BAD_REQUEST), Crowd::Many), STEP * STEPS_MAX);
        assert_eq!(newcomer.pause_before(&answer(StatusCode::SERVICE_UNAVAILABLE), Crowd::Many), Duration::ZERO);
    }
}
