//! The ways to break a block, by name: what the cheating operator puts into it, or says of the unspent set, and the rule that
//! it breaks. §3.

use alloy_primitives::{Address, B256};
use plasmid_exit_game::fault::Rule;
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::signature::{Domain, Signature};
use plasmid_exit_game::transaction::{INPUTS_MAX, OUTPUTS_MAX, VERSION};
use plasmid_exit_game::utxo_tree::{self, UtxoTree};

use crate::people::{Coin, Person, Signed};

/// Body and witness of a leaf, as bytes that may be anything; both empty for the empty leaf.
pub type LeafBytes = (Vec<u8>, Vec<u8>);

/// A short valid chain that is about to be broken.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The signing domain.
    pub domain: Domain,
    /// A thief, who has the operator's favour.
    pub mallory: Person,
    /// Where the next block's first transaction will stand.
    pub next: Place,
    /// The first transaction of block 1: Mallory's, of a deposit into two coins.
    pub payment: Signed,
    /// The deposit that it spends.
    pub spent: Coin,
    /// The coins that it makes.
    pub coins: [Coin; 2],
    /// A deposit of Mallory's that block 1 covers.
    pub covered: Coin,
    /// A deposit of hers that no block covers.
    pub uncovered: Coin,
    /// A deposit of Alice's that block 1 covers.
    pub alices: Coin,
    /// A coin of Mallory's that the root chain has paid, if the breach wants one.
    pub paid: Option<Coin>,
    /// A coin of Mallory's whose in-flight exit has frozen it, if the breach wants one.
    pub in_flight: Option<Coin>,
}

/// What has to have happened on the root chain before a breach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// An exit of a coin of Mallory's is paid.
    Paid,
    /// A coin of Mallory's is an input of an open in-flight exit, past its freeze.
    InFlight,
}

/// A way to break a block.
#[derive(Debug, Clone, Copy)]
pub struct Breach {
    /// What stories call it.
    pub name: &'static str,
    /// The rule that is broken first, in the order of the leaves.
    pub rule: Rule,
    /// What it needs.
    pub before: Before,
    /// Makes the leaves of the next block.
    pub build: fn(&Scene) -> Vec<LeafBytes>,
}

impl Scene {
    /// What each of [`Self::coins`] holds, in wei. A deposit holds twice that.
    pub const AMOUNT: u128 = 1_000_000;

    /// Mallory's spend of coins into outputs.
    fn spend(&self, coins: &[Coin], outputs: Vec<Output>) -> Signed {
        self.mallory.sign(&self.domain, coins, outputs)
    }

    /// Mallory's spend of one coin into another of hers.
    #[must_use]
    pub fn pass_on(&self, coin: Coin) -> Signed {
        self.spend(&[coin], vec![self.mallory.gets(ETHER, coin.output.amount)])
    }

    /// Mallory's spend of what `id` names, said to be made at `position`.
    fn claim(&self, id: OutputId, position: Position) -> Vec<LeafBytes> {
        let output = self.mallory.gets(ETHER, Self::AMOUNT);
        vec![leaf(&self.pass_on(Coin { id, position, output }))]
    }

    /// A good payment with a spoilt body.
    fn spoilt_body(&self, spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<LeafBytes> {
        let (mut body, witness) = leaf(&self.spend(&self.coins, vec![self.mallory.gets(ETHER, 2 * Self::AMOUNT)]));
        spoil(&mut body);
        vec![(body, witness)]
    }

    /// A good payment with a spoilt witness.
    fn spoilt_witness(&self, spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<LeafBytes> {
        let (body, mut witness) = leaf(&self.spend(&self.coins, vec![self.mallory.gets(ETHER, 2 * Self::AMOUNT)]));
        spoil(&mut witness);
        vec![(body, witness)]
    }

    /// A spend of a deposit, with other bits for its position.
    fn spoilt_position(&self, bits: u64) -> Vec<LeafBytes> {
        let (body, mut witness) = leaf(&self.pass_on(self.covered));
        let position = self.covered.position.bits() | bits;
        witness.splice(64.., position.to_be_bytes());
        vec![(body, witness)]
    }
}

/// Where the outputs of [`Scene::spoilt_body`]'s two inputs begin.
const OUTPUT: usize = 3 + 2 * 32;
/// Order of the curve's group.
const ORDER: [u8; 32] = alloy_primitives::hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");

/// Every breach.
pub const BREACHES: &[Breach] = &[
    breach("version 0", Rule::R1, |scene| scene.spoilt_body(|body| body[0] = 0)),
    breach("version 2", Rule::R1, |scene| scene.spoilt_body(|body| body[0] = VERSION + 1)),
    breach("no inputs", Rule::R1, |_| vec![sized(0, 1)]),
    breach("17 inputs", Rule::R1, |_| vec![sized(INPUTS_MAX + 1, 1)]),
    breach("no outputs", Rule::R1, |_| vec![sized(1, 0)]),
    breach("17 outputs", Rule::R1, |_| vec![sized(1, OUTPUTS_MAX + 1)]),
    breach("ids descend", Rule::R1, |scene| scene.spoilt_body(|body| body[3..OUTPUT].rotate_left(32))),
    breach("an id twice", Rule::R1, |scene| scene.spoilt_body(|body| body.copy_within(3..35, 35))),
    breach("kind 0", Rule::R1, |scene| scene.spoilt_body(|body| body[OUTPUT] = 0)),
    breach("kind 2", Rule::R1, |scene| scene.spoilt_body(|body| body[OUTPUT] = 2)),
    breach("zero owner", Rule::R1, |scene| scene.spoilt_body(|body| body[OUTPUT + 1..][..20].fill(0))),
    breach("zero amount", Rule::R1, |scene| scene.spoilt_body(|body| body[OUTPUT + 41..][..16].fill(0))),
    breach("a byte after the body", Rule::R1, |scene| scene.spoilt_body(|body| body.push(0))),
    breach("body a byte short", Rule::R1, |scene| scene.spoilt_body(|body| body.truncate(body.len() - 1))),
    breach("body of a byte", Rule::R1, |scene| scene.spoilt_body(|body| body.truncate(1))),
    breach("a byte after the witness", Rule::R1, |scene| scene.spoilt_witness(|witness| witness.push(0))),
    breach("witness a byte short", Rule::R1, |scene| scene.spoilt_witness(|witness| witness.truncate(79))),
    breach("a placement too few", Rule::R1, |scene| scene.spoilt_witness(|witness| witness.truncate(72))),
    breach("a placement too many", Rule::R1, |scene| scene.spoilt_witness(|witness| witness.extend([0; 8]))),
    breach("zero r", Rule::R1, |scene| scene.spoilt_witness(|witness| witness[..32].fill(0))),
    breach("r out of range", Rule::R1, |scene| scene.spoilt_witness(|witness| witness[..32].copy_from_slice(&ORDER))),
    breach("zero s", Rule::R1, |scene| scene.spoilt_witness(|witness| witness[32..64].fill(0))),
    breach("high s", Rule::R1, |scene| scene.spoilt_witness(|witness| witness[32..64].fill(0xff))),
    breach("a deposit's position with an output index", Rule::R1, |scene| scene.spoilt_position(1)),
    breach("a deposit's position with a high bit", Rule::R1, |scene| scene.spoilt_position(1 << 62)),
    breach("spend of itself", Rule::R2, |scene| scene.claim(scene.coins[0].id, scene.next.first_output())),
    breach("spend of an own output that it lacks", Rule::R2, |scene| {
        scene.claim(scene.coins[0].id, at(scene.next, 15))
    }),
    breach("spend of the block's future", Rule::R2, |scene| {
        let maker = scene.pass_on(scene.coins[0]);
        let later = Place { index: TxIndex::new(1).expect("few transactions"), ..scene.next };
        let id = OutputId::of_output(maker.body.hash(), 0);
        [scene.claim(id, at(later, 0)), vec![leaf(&maker)]].concat()
    }),
    breach("spend of a block that is not made", Rule::R2, |scene| {
        let block = scene.next.block.next().expect("few blocks");
        scene.claim(scene.coins[0].id, at(Place { block, ..scene.next }, 0))
    }),
    breach("block 0", Rule::R3, |scene| {
        let nowhere = Place { block: BlockNumber::ZERO, ..scene.next };
        scene.claim(scene.coins[0].id, at(nowhere, 0))
    }),
    breach("a leaf beyond txCount", Rule::R3, |scene| scene.claim(scene.coins[0].id, in_block_1(1, 0))),
    breach("an empty leaf", Rule::R3, |scene| {
        [vec![EMPTY], scene.claim(scene.coins[0].id, scene.next.first_output())].concat()
    }),
    breach("output index too high", Rule::R3, |scene| {
        scene.claim(OutputId::of_output(scene.payment.body.hash(), 2), in_block_1(0, 2))
    }),
    breach("an output of another id", Rule::R3, |scene| scene.claim(scene.coins[0].id, scene.coins[1].position)),
    breach("a coin that nobody made", Rule::R3, |scene| {
        scene.claim(OutputId(B256::repeat_byte(7)), scene.coins[0].position)
    }),
    breach("a deposit said to be an output", Rule::R3, |scene| scene.claim(scene.covered.id, scene.coins[0].position)),
    breach("a deposit not covered", Rule::R3, |scene| scene.claim(scene.uncovered.id, scene.uncovered.position)),
    breach("a deposit that never was", Rule::R3, |scene| {
        let deposit = Deposit { nonce: 0, output: scene.mallory.gets(ETHER, 5 * Scene::AMOUNT) };
        scene.claim(deposit.output_id(), of_deposit(0))
    }),
    breach("a nonce that never was", Rule::R3, |scene| {
        let deposit = Deposit { nonce: 1_000, output: scene.mallory.gets(ETHER, Scene::AMOUNT) };
        scene.claim(deposit.output_id(), of_deposit(1_000))
    }),
    breach("a deposit under another nonce", Rule::R3, |scene| scene.claim(scene.covered.id, scene.alices.position)),
    breach("an output said to be a deposit", Rule::R3, |scene| scene.claim(scene.coins[0].id, scene.covered.position)),
    breach("an exited output said to be a deposit", Rule::R3, |scene| {
        scene.claim(paid(scene).id, scene.covered.position)
    })
    .before(Before::Paid),
    breach("another's coin", Rule::R4, |scene| vec![leaf(&scene.pass_on(scene.alices))]),
    breach("inputs of two owners", Rule::R4, |scene| {
        let all = vec![scene.mallory.gets(ETHER, 2 * Scene::AMOUNT)];
        vec![leaf(&scene.spend(&[scene.covered, scene.alices], all))]
    }),
    breach("another body's signature", Rule::R4, |scene| {
        let signature = scene.payment.signature;
        vec![leaf(&Signed { signature, ..scene.pass_on(scene.coins[0]) })]
    }),
    breach("a signature of nobody's", Rule::R4, |scene| {
        let payment = scene.pass_on(scene.coins[0]);
        let digest = payment.body.signing_hash(&scene.domain);
        let mut signatures = (1..=u8::MAX).filter_map(|x| Signature::decode(scalars(x)).ok());
        let signature = signatures.find(|signature| signature.recover(digest).is_none());
        vec![leaf(&Signed { signature: signature.expect("half of all x are on no point"), ..payment })]
    }),
    breach("value made", Rule::R5, |scene| vec![leaf(&mint(scene, scene.coins[0]))]),
    breach("value lost", Rule::R5, |scene| {
        vec![leaf(&scene.spend(&scene.coins, vec![scene.mallory.gets(ETHER, 2 * Scene::AMOUNT - 1)]))]
    }),
    breach("a sum past 2^128", Rule::R5, |scene| {
        let outputs = vec![scene.mallory.gets(ETHER, u128::MAX), scene.mallory.gets(ETHER, Scene::AMOUNT + 1)];
        vec![leaf(&scene.spend(&scene.coins[..1], outputs))]
    }),
    breach("balanced in one asset, not in another", Rule::R5, |scene| {
        let token = Address::repeat_byte(0x70);
        let outputs = vec![scene.mallory.gets(ETHER, Scene::AMOUNT), scene.mallory.gets(token, 1)];
        vec![leaf(&scene.spend(&scene.coins[..1], outputs))]
    }),
    breach("an asset turned into another", Rule::R5, |scene| {
        let token = Address::repeat_byte(0x70);
        vec![leaf(&scene.spend(&scene.coins[..1], vec![scene.mallory.gets(token, Scene::AMOUNT)]))]
    }),
    breach("double spend within a block", Rule::R6, |scene| {
        let halves = vec![scene.mallory.gets(ETHER, Scene::AMOUNT / 2); 2];
        let second = scene.spend(&scene.coins[..1], halves);
        vec![leaf(&scene.pass_on(scene.coins[0])), leaf(&second)]
    }),
    breach("double spend across blocks", Rule::R6, |scene| vec![leaf(&scene.pass_on(scene.spent))]),
    breach("a transaction twice within a block", Rule::R6, |scene| vec![leaf(&scene.pass_on(scene.coins[0])); 2]),
    breach("a transaction twice across blocks", Rule::R6, |scene| vec![leaf(&scene.payment)]),
    breach("a paid coin", Rule::R7, |scene| vec![leaf(&scene.pass_on(paid(scene)))]).before(Before::Paid),
    breach("an input of an in-flight exit after its freeze", Rule::R7, |scene| {
        vec![leaf(&scene.pass_on(scene.in_flight.expect("a breach says what it needs")))]
    })
    .before(Before::InFlight),
    // Two in one block: the first in the order of its leaves is found, and one suffices.
    breach("value made, and body of a byte", Rule::R5, |scene| {
        vec![leaf(&mint(scene, scene.coins[0])), (vec![VERSION], vec![0])]
    }),
    breach("kind 2, and its output spent", Rule::R1, |scene| {
        let spoilt = scene.spoilt_body(|body| body[OUTPUT] = 2);
        [spoilt, scene.claim(scene.coins[1].id, scene.next.first_output())].concat()
    }),
    breach("another's coin, and value made of it", Rule::R4, |scene| vec![leaf(&mint(scene, scene.alices))]),
    breach("double spend across blocks, and value made", Rule::R6, |scene| vec![leaf(&mint(scene, scene.spent))]),
];

/// A lie about the unspent set, in a block whose transactions are good.
#[derive(Debug, Clone, Copy)]
pub struct Lie {
    /// What stories call it.
    pub name: &'static str,
    /// The rule by which it is convicted.
    pub rule: Rule,
    /// Makes of the true tree after the block the root that is committed, and the tree that is shown to whoever asks.
    ///
    /// The block passes [`Scene::coins`]' first on, to the coin that is handed in.
    pub tell: fn(&Scene, &UtxoTree, Coin) -> (B256, UtxoTree),
    /// Whether the block covers [`Scene::uncovered`].
    pub covers: bool,
}

/// Every lie about the unspent set.
pub const LIES: &[Lie] = &[
    lie("a coin kept after it was spent", Rule::R8, |scene, tree, _| hidden(tree.updated([kept(scene.coins[0])]))),
    lie("a deposit kept after it was spent", Rule::R8, |scene, tree, _| hidden(tree.updated([kept(scene.spent)]))),
    lie("a deposit that is not covered", Rule::R8, |scene, tree, _| hidden(tree.updated([kept(scene.uncovered)]))),
    lie("a coin kept and another left out, shown", Rule::R8, |scene, tree, new| {
        shown(tree.updated([kept(scene.coins[0]), (new.position, None)]))
    }),
    lie("a value changed, shown", Rule::R8, |scene, tree, _| {
        shown(tree.updated([(scene.coins[1].position, Some(B256::repeat_byte(7)))]))
    }),
    lie("a deposit's value changed, shown", Rule::R8, |scene, tree, _| {
        shown(tree.updated([(scene.alices.position, Some(B256::repeat_byte(7)))]))
    }),
    lie("a new coin left out", Rule::R9, |_, tree, new| hidden(tree.updated([(new.position, None)]))),
    lie("an old coin left out", Rule::R9, |scene, tree, _| hidden(tree.updated([(scene.coins[1].position, None)]))),
    lie("a covered deposit left out", Rule::R9, |scene, tree, _| {
        hidden(tree.updated([(scene.uncovered.position, None)]))
    })
    .covering(),
    lie("two coins left out, the others shown", Rule::R9, |scene, tree, new| {
        shown(tree.updated([(scene.alices.position, None), (new.position, None)]))
    }),
    lie("a value changed, nothing shown", Rule::R9, |scene, tree, _| {
        hidden(tree.updated([(scene.coins[1].position, Some(B256::repeat_byte(7)))]))
    }),
    lie("a key never made, nothing shown", Rule::R9, |scene, tree, _| {
        hidden(tree.updated([(at(scene.next, 15), Some(B256::repeat_byte(7)))]))
    }),
    lie("garbage for a root", Rule::R9, |_, _, _| (B256::repeat_byte(7), UtxoTree::default())),
];

const fn lie(name: &'static str, rule: Rule, tell: fn(&Scene, &UtxoTree, Coin) -> (B256, UtxoTree)) -> Lie {
    Lie { name, rule, tell, covers: false }
}

impl Lie {
    const fn covering(self) -> Self {
        Self { covers: true, ..self }
    }
}

/// A tree of which nothing is shown.
fn hidden(tree: UtxoTree) -> (B256, UtxoTree) {
    (tree.root(), UtxoTree::default())
}

fn shown(tree: UtxoTree) -> (B256, UtxoTree) {
    (tree.root(), tree)
}

fn kept(coin: Coin) -> (Position, Option<B256>) {
    (coin.position, Some(utxo_tree::value(coin.id, &coin.output)))
}

const EMPTY: LeafBytes = (Vec::new(), Vec::new());

const fn breach(name: &'static str, rule: Rule, build: fn(&Scene) -> Vec<LeafBytes>) -> Breach {
    Breach { name, rule, before: Before::Nothing, build }
}

impl Breach {
    const fn before(self, before: Before) -> Self {
        Self { before, ..self }
    }
}

fn leaf(signed: &Signed) -> LeafBytes {
    let placed = signed.placed();
    (placed.body.encode(), placed.witness.encode())
}

fn mint(scene: &Scene, coin: Coin) -> Signed {
    scene.spend(&[coin], vec![scene.mallory.gets(ETHER, coin.output.amount + 1)])
}

fn paid(scene: &Scene) -> Coin {
    scene.paid.expect("a breach says what it needs")
}

fn at(place: Place, output_index: u8) -> Position {
    place.output(output_index).expect("at most 16 outputs")
}

fn in_block_1(index: u32, output_index: u8) -> Position {
    at(Place { block: BlockNumber::FIRST, index: TxIndex::new(index).expect("few transactions") }, output_index)
}

fn of_deposit(nonce: u64) -> Position {
    Position::of_deposit(nonce).expect("few deposits")
}

/// A leaf that is canonical but for its counts.
fn sized(inputs: usize, outputs: usize) -> LeafBytes {
    let output = Output { owner: Address::repeat_byte(1), asset: ETHER, amount: 1 };
    let mut body = vec![VERSION, inputs as u8, outputs as u8];
    (1..=inputs).for_each(|input| body.extend(B256::with_last_byte(input as u8)));
    (0..outputs).for_each(|_| body.extend(output.encode()));
    body.extend(B256::ZERO);
    (body, [scalars(1).to_vec(), vec![0; 8 * inputs]].concat())
}

/// A signature in range: these r and s.
fn scalars(r: u8) -> [u8; 64] {
    let mut bytes = [0; 64];
    (bytes[31], bytes[63]) = (r, 1);
    bytes
}
