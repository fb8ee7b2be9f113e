//! An operator of a few lines that answers as it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use k256::ecdsa::SigningKey;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::receipt::{Receipt, SignedReceipt};
use plasmid_exit_game::signature::{Domain, Signature};
use plasmid_exit_game::transaction::{PlacedTransaction, Transaction, Witness};
use plasmid_exit_game::tx_tree;
use plasmid_node::problem::{Code, Problem};
use plasmid_node::wire::{self, Coin, List};
use serde::Serialize;
use serde_json::json;

/// What happens to the next transactions.
#[derive(Debug, Clone)]
pub(crate) enum Mood {
    /// It is read, and the connection dropped.
    Silent,
    /// It is refused for good.
    Refusing(Code),
    /// It is accepted with a receipt by this key, for a block due at this time.
    Accepting { key: SigningKey, by: u64 },
}

/// The operator. Its thread lives as long as the test's process.
pub(crate) struct StubOperator {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    domain: Domain,
    /// The coins that it knows, the first one a deposit, which alone is spent.
    coins: Vec<Coin>,
    mood: Mood,
    submitted: Vec<wire::Submission>,
    body: Option<Vec<u8>>,
    answers: BTreeMap<String, String>,
}

impl StubOperator {
    /// Starts an operator that knows one coin, a deposit.
    pub(crate) fn start(domain: Domain, coin: Coin) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (coins, mood, submitted) = (vec![coin], Mood::Silent, Vec::new());
        let state = State { domain, coins, mood, submitted, body: None, answers: BTreeMap::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, &shared)));
        Self { url, state }
    }

    /// Changes what happens to transactions.
    pub(crate) fn set(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// Serves these bytes as the body of the first block.
    pub(crate) fn serve_body(&self, body: Vec<u8>) {
        self.state.lock().unwrap().body = Some(body);
    }

    /// Knows one more coin.
    pub(crate) fn know(&self, coin: Coin) {
        self.state.lock().unwrap().coins.push(coin);
    }

    /// Answers with `answer` whoever asks for `path`.
    pub(crate) fn answer(&self, path: String, answer: &impl Serialize) {
        self.state.lock().unwrap().answers.insert(path, serde_json::to_string(answer).unwrap());
    }

    /// Returns what was submitted so far.
    pub(crate) fn submitted(&self) -> Vec<wire::Submission> {
        self.state.lock().unwrap().submitted.clone()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut state = state.lock().unwrap();
    let path = request.split(' ').nth(1).unwrap();
    if path == "/v1/blocks/1/body"
        && let Some(body) = &state.body
    {
        return reply(&mut stream, 200, "application/octet-stream", body);
    }
    let answer = match path {
        "/v1/fees" => {
            Some((200, json!({ "address": "0x000000000000000000000000000000000000dEaD", "assets": [] }).to_string()))
        }
        "/v1/transactions" => state.submit(&serde_json::from_slice(&body).unwrap()),
        path if state.answers.contains_key(path) => Some((200, state.answers[path].clone())),
        path if path.starts_with("/v1/outputs?") => {
            let list = List { items: state.coins.clone(), cursor: None };
            Some((200, serde_json::to_string(&list).unwrap()))
        }
        _ => Some((404, serde_json::to_string(&Problem::new(Code::NotFound, "no such thing")).unwrap())),
    };
    let Some((status, json)) = answer else { return };
    let kind = if status == 200 { "application/json" } else { "application/problem+json" };
    reply(&mut stream, status, kind, json.as_bytes());
}

fn reply(stream: &mut TcpStream, status: u16, kind: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
}

impl State {
    fn submit(&mut self, submission: &wire::Submission) -> Option<(u16, String)> {
        self.submitted.push(submission.clone());
        match &self.mood {
            Mood::Silent => None,
            Mood::Refusing(code) => {
                Some((code.status(), serde_json::to_string(&Problem::new(*code, "told to")).unwrap()))
            }
            Mood::Accepting { key, by } => {
                let PlacedTransaction { body, witness } = placed(submission, self.coins[0].position);
                let leaf = tx_tree::leaf(body.hash(), witness.hash());
                let place = Place { block: BlockNumber::FIRST, index: TxIndex::new(0).unwrap() };
                let receipt = Receipt { number: place.block, first: 0, count: 1, root: leaf, by: *by };
                let signed = SignedReceipt {
                    receipt,
                    signature: Signature::sign(key, receipt.signing_hash(&self.domain)),
                    index: place.index,
                    path: Vec::new(),
                };
                let accepted = wire::Accepted {
                    tx_hash: body.hash(),
                    positions: (0..body.outputs().len() as u8).map(|index| place.output(index).unwrap()).collect(),
                    placement: witness.encode()[64..].to_vec().into(),
                    receipt: wire::Receipt::new(&signed, leaf),
                };
                Some((200, serde_json::to_string(&accepted).unwrap()))
            }
        }
    }
}

/// Returns the name of what a submission carries.
pub(crate) fn hash_of(submission: &wire::Submission) -> TxHash {
    Transaction::decode(&submission.body).unwrap().hash()
}

/// Returns a submission as it stands in the block that the operator promises, its inputs placed at `placement`.
pub(crate) fn placed(submission: &wire::Submission, placement: Position) -> PlacedTransaction {
    let body = Transaction::decode(&submission.body).unwrap();
    let signature = Signature::decode(submission.signature).unwrap();
    let witness = Witness { signature, placement: vec![placement; body.inputs().len()] };
    PlacedTransaction { body, witness }
}

/// Returns the coins that a submission spends.
pub(crate) fn inputs_of(submission: &wire::Submission) -> Vec<OutputId> {
    Transaction::decode(&submission.body).unwrap().inputs().to_vec()
}
