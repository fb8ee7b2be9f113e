//! Answers: JSON, problems, and what becomes of requests that no handler took.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, TryStreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use warp::http::StatusCode;
use warp::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use warp::{Filter, Rejection, reject};

use crate::problem::{Code, Problem};

/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// What a handler answers.
pub type Response = warp::reply::Response;

/// Returns `value` as JSON.
#[must_use]
pub fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_type("application/json", bytes),
        Err(error) => problem(&Problem::new(Code::NotReady, error)),
    }
}

/// Returns the problem as `application/problem+json`, with its status and Retry-After.
#[must_use]
pub fn problem(problem: &Problem) -> Response {
    let bytes = serde_json::to_vec(problem).expect("strings and numbers");
    let mut response = with_type("application/problem+json", bytes);
    *response.status_mut() = StatusCode::from_u16(problem.code.status()).expect("a status of the table");
    if let Some(seconds) = problem.code.retry_after_secs() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// Returns JSON or the problem.
#[must_use]
pub fn respond<T: Serialize>(result: Result<T, Problem>) -> Response {
    match result {
        Ok(value) => json(&value),
        Err(error) => problem(&error),
    }
}

/// Returns `bytes` with a content type.
pub(super) fn with_type(content_type: &'static str, bytes: impl Into<Bytes>) -> Response {
    let mut response = Response::new(bytes.into().into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Takes a JSON body of at most `bytes_max` bytes: too long is `too-large`, anything that is no `T` is `malformed`.
pub fn json_body<T: DeserializeOwned + Send>(
    bytes_max: usize,
) -> impl Filter<Extract = (Result<T, Problem>,), Error = Rejection> + Clone {
    body(bytes_max).map(|body: Result<Bytes, Problem>| {
        serde_json::from_slice(&body?).map_err(|error| Problem::new(Code::Malformed, error))
    })
}

/// Takes a body of at most `bytes_max` bytes: too long is `too-large`, too slow `timed-out`.
pub fn body(bytes_max: usize) -> impl Filter<Extract = (Result<Bytes, Problem>,), Error = Rejection> + Clone {
    let declared = warp::header::optional::<u64>("content-length");
    declared.and(warp::body::stream()).then(move |declared: Option<u64>, stream| async move {
        if declared.is_some_and(|bytes| bytes > bytes_max as u64) {
            return Err(too_large(bytes_max));
        }
        match tokio::time::timeout(BODY_TIMEOUT, collect(stream, bytes_max)).await {
            Ok(body) => body,
            Err(_) => Err(Problem::new(Code::TimedOut, "the request's body did not arrive in time")),
        }
    })
}

async fn collect(
    stream: impl Stream<Item = Result<impl Buf, warp::Error>>,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    let mut stream = std::pin::pin!(stream);
    let mut body = BytesMut::new();
    while let Some(mut chunk) = stream.try_next().await.map_err(|error| Problem::new(Code::Malformed, error))? {
        let chunk = chunk.copy_to_bytes(chunk.remaining());
        if body.len() + chunk.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Code::TooLarge, format_args!("a request's body has at most {bytes_max} bytes here"))
}

/// Says why no route took a request.
pub(super) async fn rejected(rejection: Rejection) -> Result<Response, Infallible> {
    let code = if rejection.is_not_found() {
        Code::NotFound
    } else if rejection.find::<reject::MethodNotAllowed>().is_some() {
        Code::MethodNotAllowed
    } else if rejection.find::<reject::PayloadTooLarge>().is_some() {
        Code::TooLarge
    } else {
        Code::Malformed
    };
    let detail = match rejection.find::<reject::InvalidQuery>() {
        Some(query) => query.to_string(),
        None => code.title().to_owned(),
    };
    Ok(problem(&Problem::new(code, detail)))
}
