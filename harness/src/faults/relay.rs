//! One connection through a proxy: two directions, and what must be known of the conversation to break it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::admin::Admin;
use super::frame::{Frame, Message};
use super::proxy::{Action, Control, Point};
use super::statement::{Statement, classify};

/// The first numbers of requests that are no start of a session.
const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// How often a client may ask for encryption before it begins.
const REQUESTS_MAX: u32 = 4;

/// The most prepared statements that are remembered.
const STATEMENTS_MAX: usize = 4_096;

/// What is known of a conversation.
#[derive(Debug, Default)]
struct Conversation {
    /// The server's process.
    pid: Option<i32>,
    in_transaction: bool,
    prepared: HashMap<Vec<u8>, Statement>,
    bound: Option<Statement>,
    /// What was executed since the last time that the server was ready.
    executed: Option<Statement>,
    /// A change is on its way to be permanent.
    committing: bool,
}

/// Why a direction has ended.
enum End {
    /// As its sides wanted.
    Closed,
    /// By a fault.
    Cut,
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Closed
    }
}

pub(super) async fn run(client: TcpStream, control: Arc<Control>) {
    let mut cut = control.cut.subscribe();
    tokio::select! {
        _ = converse(client, &control) => {}
        _ = cut.changed() => {}
    }
}

async fn converse(mut client: TcpStream, control: &Control) -> Result<(), End> {
    client.set_nodelay(true)?;
    let mut first = None;
    for _ in 0..REQUESTS_MAX {
        let frame = Frame::read_startup(&mut client).await?;
        match frame.number() {
            Some(SSL_REQUEST | GSS_REQUEST) => client.write_all(b"N").await?,
            _ => {
                first = Some(frame);
                break;
            }
        }
    }
    let Some(first) = first else { return Err(End::Closed) };
    let mut server = TcpStream::connect(&control.upstream).await?;
    server.set_nodelay(true)?;
    first.forward(&mut client, &mut server).await?;
    if first.number() == Some(CANCEL_REQUEST) {
        return Ok(());
    }
    let conversation = Mutex::new(Conversation::default());
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = Direction { control, conversation: &conversation, reader: from_client, writer: to_server };
    let down = Direction { control, conversation: &conversation, reader: from_server, writer: to_client };
    // A client that is gone must not keep the server from saying so, nor the other way round.
    tokio::select! {
        end = up.run(Conversation::client) => end,
        end = down.run(Conversation::server) => end,
    }
}

/// One direction of a conversation.
struct Direction<'a> {
    control: &'a Control,
    conversation: &'a Mutex<Conversation>,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
}

impl Direction<'_> {
    async fn run(mut self, look: fn(&mut Conversation, &Frame) -> [Option<Message>; 2]) -> Result<(), End> {
        while let Some(frame) = Frame::read(&mut self.reader).await? {
            // A message can be two things: a Sync that commits.
            let messages = look(&mut self.conversation(), &frame);
            for message in messages.into_iter().flatten() {
                self.control.count(message);
                if let Some(action) = self.control.at(Point::Before(message)) {
                    self.act(action, Some(&frame)).await?;
                }
            }
            frame.forward(&mut self.reader, &mut self.writer).await?;
            for message in messages.into_iter().flatten() {
                if let Some(action) = self.control.at(Point::After(message)) {
                    self.act(action, None).await?;
                }
            }
        }
        Ok(())
    }

    async fn act(&mut self, action: Action, frame: Option<&Frame>) -> Result<(), End> {
        match action {
            Action::Cut => Err(End::Cut),
            Action::Truncate(octets) => {
                if let Some(frame) = frame {
                    frame.truncated(octets, &mut self.writer).await?;
                }
                Err(End::Cut)
            }
            Action::Stall => {
                let mut released = self.control.released.subscribe();
                released.changed().await.map_err(|_| End::Cut)
            }
            Action::Delay(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Action::Terminate => {
                let Some(pid) = self.conversation().pid else { return Err(End::Cut) };
                // A server that refuses this is as good as gone: the fault stays one.
                let mut admin = Admin::connect(&self.control.direct).await.map_err(|_| End::Cut)?;
                admin.terminate(pid).await.map_err(|_| End::Cut)
            }
        }
    }

    fn conversation(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conversation {
    /// Takes note of a message of the client, and says what it is.
    fn client(&mut self, frame: &Frame) -> [Option<Message>; 2] {
        let mut commits = false;
        match frame.letter {
            b'P' => {
                let (name, next) = frame.text(0);
                let statement = classify(frame.text(next).0);
                if self.prepared.len() < STATEMENTS_MAX || self.prepared.contains_key(name) {
                    self.prepared.insert(name.to_vec(), statement);
                }
            }
            b'B' => {
                let (_, next) = frame.text(0);
                self.bound = self.prepared.get(frame.text(next).0).copied();
            }
            b'E' => self.note_executed(self.bound),
            b'S' => commits = self.commits(),
            b'Q' => {
                self.note_executed(Some(classify(frame.text(0).0)));
                commits = self.commits();
            }
            _ => {}
        }
        self.committing |= commits;
        [Message::of_client(frame.letter), commits.then_some(Message::Committing)]
    }

    fn note_executed(&mut self, statement: Option<Statement>) {
        // A change stays one, whatever is executed beside it.
        if self.executed != Some(Statement::Write) || statement == Some(Statement::Commit) {
            self.executed = statement;
        }
    }

    fn commits(&self) -> bool {
        match self.executed {
            Some(Statement::Write) => !self.in_transaction,
            Some(Statement::Commit) => true,
            _ => false,
        }
    }

    /// Takes note of a message of the server, and says what it is.
    fn server(&mut self, frame: &Frame) -> [Option<Message>; 2] {
        let mut committed = false;
        match frame.letter {
            b'K' => self.pid = frame.number().and_then(|pid| i32::try_from(pid).ok()),
            // What failed is not committed.
            b'E' => self.committing = false,
            b'Z' => {
                self.in_transaction = frame.head.first() != Some(&b'I');
                committed = self.committing && !self.in_transaction;
                (self.committing, self.executed) = (false, None);
            }
            _ => {}
        }
        [Message::of_server(frame.letter), committed.then_some(Message::Committed)]
    }
}
