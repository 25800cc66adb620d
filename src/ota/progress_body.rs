//! The body of an upload that reports its progress.

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use indicatif::ProgressBar;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The size of the parts that are handed to the connection.
const PART: usize = 64 * 1024;

/// The bytes of a file, and the bar that shows how many were sent.
struct ProgressBody {
    rest: Bytes,
    bar: ProgressBar,
}

impl Body for ProgressBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PART);
        let part = self.rest.split_to(length);
        self.bar.inc(length as u64);
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// The body of a request with these bytes. A retry begins with an empty bar.
pub fn body(bytes: Vec<u8>, bar: ProgressBar) -> ByteStream {
    let bytes = Bytes::from(bytes);
    ByteStream::new(SdkBody::retryable(move || {
        bar.reset();
        SdkBody::from_body_1_x(ProgressBody { rest: bytes.clone(), bar: bar.clone() })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_body_has_all_bytes_and_moves_the_bar() {
        let bytes: Vec<u8> = (0..=255).cycle().take(PART * 2 + 1).collect();
        let bar = ProgressBar::hidden();
        let read = body(bytes.clone(), bar.clone()).collect().await.unwrap().into_bytes();
        assert_eq!((read, bar.position()), (Bytes::from(bytes), PART as u64 * 2 + 1));
    }
}
