//! Messages of Postgres's protocol, version 3: a letter, a length, and a body
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How much of a body is looked at.
const HEAD_OCTETS: usize = 4096;

/// The longest message that the protocol allows for.
const LENGTH_MAX: u32 = 0x4000_0000;

/// The longest message at the begin of a connection, as the server has it.
const STARTUP_LENGTH_MAX: u32 = 10_000;

/// A kind of message that faults can be injected at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// From the client: a statement to prepare.
    Parse,
    /// From the client: parameters.
    Bind,
    /// From the client: a question for the form of a result.
    Describe,
    /// From the client: execute what is bound.
    Execute,
    /// From the client: the end of what belongs together.
    Sync,
    /// From the client: a simple statement.
    Query,
    /// From the client: the message by which a change becomes permanent: a `COMMIT`, or what ends a statement that
    /// changes rows outside a transaction.
    Committing,
    /// From the server: a row.
    DataRow,
    /// From the server: a statement is done.
    CommandComplete,
    /// From the server: it is ready for the next statement.
    ReadyForQuery,
    /// From the server: it is ready, after a change has become permanent.
    Committed,
}

impl Message {
    /// Those of a client.
    pub const OF_CLIENT: [Self; 7] =
        [Self::Parse, Self::Bind, Self::Describe, Self::Execute, Self::Sync, Self::Query, Self::Committing];

    /// Those of a server.
    pub const OF_SERVER: [Self; 4] = [Self::DataRow, Self::CommandComplete, Self::ReadyForQuery, Self::Committed];

    pub(super) fn of_client(letter: u8) -> Option<Self> {
        Some(match letter {
            b'P' => Self::Parse,
            b'B' => Self::Bind,
            b'D' => Self::Describe,
            b'E' => Self::Execute,
            b'S' => Self::Sync,
            b'Q' => Self::Query,
            _ => return None,
        })
    }

    pub(super) fn of_server(letter: u8) -> Option<Self> {
        Some(match letter {
            b'D' => Self::DataRow,
            b'C' => Self::CommandComplete,
            b'Z' => Self::ReadyForQuery,
            _ => return None,
        })
    }
}

/// A message whose body is read in part; the rest is still to come from where it was read.
#[derive(Debug)]
pub(super) struct Frame {
    /// Its letter; 0 at the begin of a connection, when there is none.
    pub(super) letter: u8,
    header: Vec<u8>,
    pub(super) head: Vec<u8>,
    rest: u64,
}

impl Frame {
    /// The next message; None at the end of the stream.
    pub(super) async fn read(reader: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Self>> {
        let mut letter = [0];
        if reader.read(&mut letter).await? == 0 {
            return Ok(None);
        }
        Self::body(reader, letter[0], LENGTH_MAX).await.map(Some)
    }

    /// The first message of a connection, which has no letter.
    pub(super) async fn read_startup(reader: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Self> {
        Self::body(reader, 0, STARTUP_LENGTH_MAX).await
    }

    async fn body(reader: &mut (impl AsyncRead + Unpin), letter: u8, max: u32) -> std::io::Result<Self> {
        let mut length = [0; 4];
        reader.read_exact(&mut length).await?;
        let octets = u32::from_be_bytes(length);
        if !(4..=max).contains(&octets) {
            let message = format!("expected a message of 4 to {max} octets, found one of {octets}");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
        }
        let mut header = if letter == 0 { Vec::new() } else { vec![letter] };
        header.extend(length);
        let body = u64::from(octets - 4);
        let first = usize::try_from(body).unwrap_or(usize::MAX).min(HEAD_OCTETS.max(if letter == 0 {
            usize::try_from(STARTUP_LENGTH_MAX).unwrap_or(HEAD_OCTETS)
        } else {
            0
        }));
        let mut head = vec![0; first];
        reader.read_exact(&mut head).await?;
        let rest = body - u64::try_from(first).unwrap_or(body);
        Ok(Self { letter, header, head, rest })
    }

    /// Sends it on, with what of it is still to be read.
    pub(super) async fn forward(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> std::io::Result<()> {
        writer.write_all(&self.header).await?;
        writer.write_all(&self.head).await?;
        if self.rest > 0 {
            let copied = tokio::io::copy(&mut reader.take(self.rest), writer).await?;
            if copied < self.rest {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        writer.flush().await
    }

    /// Sends its first octets on, and never the rest.
    pub(super) async fn truncated(
        &self,
        octets: usize,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> std::io::Result<()> {
        let all = [self.header.as_slice(), self.head.as_slice()].concat();
        // Never the whole: what is truncated must not be complete.
        let end = octets.min(all.len().saturating_sub(1));
        writer.write_all(all.get(..end).unwrap_or_default()).await?;
        writer.flush().await
    }

    /// The text up to the next NUL, from an octet of the body on, and where the one after it begins.
    pub(super) fn text(&self, from: usize) -> (&[u8], usize) {
        let rest = self.head.get(from..).unwrap_or_default();
        let length = rest.iter().position(|octet| *octet == 0).unwrap_or(rest.len());
        (rest.get(..length).unwrap_or_default(), from + length + 1)
    }

    /// The number at the begin of the body.
    pub(super) fn number(&self) -> Option<u32> {
        let octets: [u8; 4] = self.head.get(..4)?.try_into().ok()?;
        Some(u32::from_be_bytes(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn a_message_is_forwarded_octet_by_octet() {
        runtime().block_on(async {
            for length in [0_u32, 1, 4092, 4096, 4097, 100_000] {
                let mut message = vec![b'd'];
                message.extend((length + 4).to_be_bytes());
                message.extend((0..length).map(|n| u8::try_from(n % 251).unwrap()));
                let mut reader = [message.as_slice(), b"X"].concat();
                let mut reader = std::mem::take(&mut reader);
                let mut input = reader.as_mut_slice() as &[u8];
                let frame = Frame::read(&mut input).await.unwrap().unwrap();
                let mut output = Vec::new();
                frame.forward(&mut input, &mut output).await.unwrap();
                assert_eq!((output, input), (message, b"X".as_slice()), "{length}");
            }
        });
    }

    #[test]
    fn what_is_no_message_is_refused() {
        runtime().block_on(async {
            for octets in [&b"Q\0\0\0\x03"[..], b"Q\xff\xff\xff\xff", b"Q\0\0", b"Q\0\0\0\x08ab"] {
                let mut input = octets;
                assert!(Frame::read(&mut input).await.is_err(), "{octets:?}");
            }
            let mut input = &b""[..];
            assert!(Frame::read(&mut input).await.unwrap().is_none());
            let mut input = &b"\0\0\xff\xff"[..];
            assert!(Frame::read_startup(&mut input).await.is_err());
        });
    }

    #[test]
    fn a_truncated_message_is_never_whole() {
        runtime().block_on(async {
            let mut input = &b"Z\0\0\0\x05I"[..];
            let frame = Frame::read(&mut input).await.unwrap().unwrap();
            for (octets, expected) in [(0, 0), (3, 3), (6, 5), (100, 5)] {
                let mut output = Vec::new();
                frame.truncated(octets, &mut output).await.unwrap();
                assert_eq!(output.len(), expected);
            }
        });
    }
}
