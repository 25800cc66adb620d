//! A model of the steps of a release, walked exhaustively: deliveries × attempts × troubles, with effects that land late.
//!
//! What attempts share is the [`World`]; an attempt is a [`Process`], which makes one [`Call`] after another, and those of
//! one step in any order. That the real handler takes just these steps is shown in `conformance.rs`.

use crate::tell;
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};
use std::{env, thread};

/// A call that reads or writes what attempts share. All others read what never changes: one of them that fails is like
/// the next of these that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    Tags,
    Current,
    List,
    ReadRecord,
    DescribeJob,
    Claim,
    /// The record's versions alone.
    ListRecord,
    Sign,
    Copy,
    CreateStream,
    DescribeStream,
    CreateJob,
    Receipt,
    /// Only mutants do.
    DeleteStream,
}

/// Which of two job IDs: that of the first tags, or that of the later ones.
pub type JobId = u8;

/// What the versions of the record say together: the receipt, or else the oldest claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    pub job_id: JobId,
    pub is_receipt: bool,
    /// Whether it has a single version.
    pub is_sole: bool,
    /// Whether a delete marker lies over it.
    pub is_hidden: bool,
}

impl Record {
    fn claim(job_id: JobId) -> Self {
        Self { job_id, is_receipt: false, is_sole: true, is_hidden: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Job {
    None,
    There,
    Deleted,
}

/// What attempts share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::struct_excessive_bools, reason = "what is there, and what is not")]
pub struct World {
    pub tags: JobId,
    pub is_current: bool,
    pub record: Option<Record>,
    pub is_signed: bool,
    pub is_copied: bool,
    pub has_stream: bool,
    pub jobs: [Job; 2],
    /// How many jobs were ever created.
    pub created: u8,
}

impl World {
    pub const NEW: Self = Self {
        tags: 0,
        is_current: true,
        record: None,
        is_signed: false,
        is_copied: false,
        has_stream: false,
        jobs: [Job::None; 2],
        created: 0,
    };

    /// Does what a call asks for, and answers it.
    pub fn perform(&mut self, call: Call, job_id: JobId) -> Answer {
        match call {
            Call::Tags => return Answer::Tags(self.tags),
            Call::Current => return Answer::There(self.is_current),
            Call::List => {
                return Answer::Listed { record: self.record.is_some(), is_signed: self.is_signed };
            }
            Call::ListRecord => return Answer::Versions(self.record.map(|record| record.is_sole)),
            Call::ReadRecord => return self.record.map_or(Answer::Failed, Answer::Record),
            Call::DescribeJob => return Answer::There(self.jobs[usize::from(job_id)] == Job::There),
            Call::DescribeStream => return Answer::There(self.has_stream),
            Call::Claim => match &mut self.record {
                // S3 accepts the claim over a delete marker.
                Some(record) if record.is_hidden => (record.is_sole, record.is_hidden) = (false, false),
                Some(_) => return Answer::Exists,
                None => self.record = Some(Record::claim(job_id)),
            },
            Call::Sign => self.is_signed = true,
            Call::Copy => self.is_copied = true,
            Call::CreateStream if self.has_stream => return Answer::Exists,
            Call::CreateStream => self.has_stream = true,
            Call::CreateJob if self.jobs[usize::from(job_id)] == Job::There => return Answer::Exists,
            Call::CreateJob => {
                self.jobs[usize::from(job_id)] = Job::There;
                self.created += 1;
            }
            Call::Receipt => {
                let is_sole = self.record.is_none();
                self.record = Some(Record { job_id, is_receipt: true, is_sole, is_hidden: false });
            }
            Call::DeleteStream => self.has_stream = false,
        }
        Answer::Done
    }

    /// A delete marker over the record.
    pub fn hide_record(&mut self) {
        self.record.iter_mut().for_each(|record| record.is_hidden = true);
    }
}

/// What an attempt hears of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    Tags(JobId),
    There(bool),
    Listed {
        record: bool,
        is_signed: bool,
    },
    Record(Record),
    /// The record's versions: `None`, or whether there is only one.
    Versions(Option<bool>),
    Done,
    Exists,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    Created,
    Adopted,
    Superseded,
    JobDeleted,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    Inspect,
    ReadRecord,
    AdoptRecorded,
    Preflight,
    /// After a look at a job that is there, of which no record was seen.
    Recheck,
    Claim,
    Sign,
    Copy,
    Stream,
    CreateJob,
    /// After a CreateJob that was not answered well.
    FindJob,
    CleanUp,
    PutReceipt(Outcome),
    Over(Outcome),
}

/// How a design might differ from that of the handler, for the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mutant {
    /// None: the design of the handler.
    None,
    /// What exists is an error.
    NoAdoption,
    /// The stream of a job that was refused is deleted.
    CompensatingDelete,
    /// Each attempt goes by the job ID that it read itself.
    NoClaim,
    /// What became of an earlier job is not looked up.
    NoReceipt,
    /// What the last look at the key told does not matter.
    BlindToNewer,
    /// A claim that S3 accepts holds.
    TrustingClaim,
}

/// One attempt at a release.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    step: Step,
    /// The calls of this step that are not answered yet.
    pending: Vec<Call>,
    tags: Option<JobId>,
    is_current: Option<bool>,
    /// Whether there was a record, and a signed object.
    listed: Option<(bool, bool)>,
    record: Option<Record>,
    /// Whether the record has other versions than the claim of this attempt.
    is_overtaken: bool,
    stream: bool,
    mutant: Mutant,
}

impl Process {
    pub fn new(mutant: Mutant) -> Self {
        Self {
            step: Step::Inspect,
            pending: vec![Call::Tags, Call::Current, Call::List],
            tags: None,
            is_current: None,
            listed: None,
            record: None,
            is_overtaken: false,
            stream: false,
            mutant,
        }
    }

    pub fn pending(&self) -> &[Call] {
        &self.pending
    }

    pub fn outcome(&self) -> Option<Outcome> {
        if let Step::Over(outcome) = self.step { Some(outcome) } else { None }
    }

    /// The job ID that this attempt goes by.
    pub fn job_id(&self) -> JobId {
        self.record.map(|record| record.job_id).or(self.tags).unwrap_or_default()
    }

    fn go(&mut self, step: Step, calls: &[Call]) {
        self.step = step;
        self.pending = calls.to_vec();
    }

    /// Another attempt has put a record meanwhile.
    fn start_again(&mut self) {
        *self = Self::new(self.mutant);
    }

    fn end(&mut self, outcome: Outcome) {
        self.step = Step::Over(outcome);
    }

    /// Goes on with the answer to a call.
    pub fn hear(&mut self, call: Call, answer: Answer) {
        self.pending.retain(|pending| *pending != call);
        match self.step {
            Step::Inspect => self.inspect(answer),
            Step::ReadRecord => match answer {
                Answer::Record(record) => {
                    self.record = Some(record);
                    self.go(Step::AdoptRecorded, &[Call::DescribeJob]);
                }
                _ => self.end(Outcome::Failed),
            },
            Step::AdoptRecorded => {
                let is_receipt = self.record.is_some_and(|record| record.is_receipt);
                match answer {
                    Answer::There(true) if is_receipt => self.end(Outcome::Adopted),
                    Answer::There(true) => self.put_receipt(Outcome::Adopted),
                    Answer::There(false) if is_receipt => self.end(Outcome::JobDeleted),
                    Answer::There(false) => self.preflight(),
                    _ => self.end(Outcome::Failed),
                }
            }
            Step::Preflight => match answer {
                Answer::There(true) if self.record.is_none() && self.claims() => {
                    self.go(Step::Recheck, &[Call::ListRecord]);
                }
                Answer::There(true) => self.put_receipt(Outcome::Adopted),
                Answer::There(false) if self.record.is_none() && self.claims() => {
                    self.go(Step::Claim, &[Call::Claim]);
                }
                Answer::There(false) => self.sign(&[]),
                _ => self.end(Outcome::Failed),
            },
            Step::Recheck => match answer {
                Answer::Versions(Some(_)) => self.start_again(),
                // Somebody else's.
                _ => self.end(Outcome::Failed),
            },
            Step::Claim => match answer {
                Answer::Done => {
                    self.record = Some(Record::claim(self.job_id()));
                    let trusts = self.mutant == Mutant::TrustingClaim;
                    self.sign(if trusts { &[] } else { &[Call::ListRecord] });
                }
                Answer::Exists => self.start_again(),
                _ => self.end(Outcome::Failed),
            },
            Step::Sign => self.signed(answer),
            Step::Copy if answer == Answer::Done => self.stream(),
            Step::Stream => self.streamed(call, answer),
            Step::CreateJob => match answer {
                Answer::Done => self.put_receipt(Outcome::Created),
                _ if self.mutant == Mutant::NoAdoption => self.end(Outcome::Failed),
                _ => self.go(Step::FindJob, &[Call::DescribeJob]),
            },
            Step::FindJob => match answer {
                Answer::There(true) => self.put_receipt(Outcome::Adopted),
                Answer::There(false) if self.mutant == Mutant::CompensatingDelete => {
                    self.go(Step::CleanUp, &[Call::DeleteStream]);
                }
                _ => self.end(Outcome::Failed),
            },
            Step::Copy | Step::CleanUp => self.end(Outcome::Failed),
            Step::PutReceipt(outcome) => self.end(if answer == Answer::Done { outcome } else { Outcome::Failed }),
            Step::Over(_) => unreachable!("nobody listens"),
        }
    }

    fn inspect(&mut self, answer: Answer) {
        match answer {
            Answer::Tags(tags) => self.tags = Some(tags),
            Answer::There(is_current) => self.is_current = Some(is_current),
            Answer::Listed { record, is_signed } => self.listed = Some((record, is_signed)),
            _ => {}
        }
        if !self.pending.is_empty() {
            return;
        }
        match (self.tags, self.listed) {
            (Some(_), Some((true, _))) if self.mutant != Mutant::NoReceipt => {
                self.go(Step::ReadRecord, &[Call::ReadRecord]);
            }
            (Some(_), Some(_)) => self.preflight(),
            _ => self.end(Outcome::Failed),
        }
    }

    fn preflight(&mut self) {
        match self.is_current {
            Some(true) => self.go(Step::Preflight, &[Call::DescribeJob]),
            Some(false) => self.end(Outcome::Superseded),
            None => self.end(Outcome::Failed),
        }
    }

    fn claims(&self) -> bool {
        !matches!(self.mutant, Mutant::NoClaim | Mutant::NoReceipt)
    }

    fn sign(&mut self, besides: &[Call]) {
        let mut calls = besides.to_vec();
        if self.listed.is_none_or(|(_, is_signed)| !is_signed) {
            calls.push(Call::Sign);
        }
        self.go(Step::Sign, &calls);
        self.when_signed();
    }

    fn signed(&mut self, answer: Answer) {
        match answer {
            Answer::Failed => return self.end(Outcome::Failed),
            Answer::Versions(is_sole) => self.is_overtaken = is_sole != Some(true),
            _ => {}
        }
        self.when_signed();
    }

    fn when_signed(&mut self) {
        if !self.pending.is_empty() {
        } else if self.is_overtaken {
            self.start_again();
        } else {
            self.go(Step::Copy, &[Call::Copy]);
        }
    }

    fn stream(&mut self) {
        self.is_current = None;
        self.go(Step::Stream, &[Call::CreateStream, Call::Current]);
    }

    fn streamed(&mut self, call: Call, answer: Answer) {
        match (call, answer) {
            (Call::CreateStream, Answer::Done) | (Call::DescribeStream, Answer::There(true)) => self.stream = true,
            (Call::CreateStream, _) if self.mutant != Mutant::NoAdoption => self.pending.push(Call::DescribeStream),
            (Call::Current, Answer::There(is_current)) => self.is_current = Some(is_current),
            _ => {}
        }
        if !self.pending.is_empty() {
            return;
        }
        match self.is_current {
            _ if !self.stream => self.end(Outcome::Failed),
            None => self.end(Outcome::Failed),
            Some(false) if self.mutant != Mutant::BlindToNewer => self.end(Outcome::Superseded),
            Some(_) => self.go(Step::CreateJob, &[Call::CreateJob]),
        }
    }

    fn put_receipt(&mut self, outcome: Outcome) {
        if self.mutant == Mutant::NoReceipt {
            return self.end(outcome);
        }
        self.go(Step::PutReceipt(outcome), &[Call::Receipt]);
    }
}

/// What can happen to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// Error upon error, and no effect.
    Error,
    /// It has its effect, but its answer and those of all tries again are lost.
    Unheard,
    /// It has its effect, its answer is lost, and the SDK tries again.
    TriedAgain,
    /// The process is killed before the call is made.
    KilledBefore,
    /// The process is killed after the effect.
    KilledAfter,
    /// The process is killed, and the call has its effect at any time after that.
    Late,
}

const TROUBLES: [Trouble; 6] =
    [Trouble::Error, Trouble::Unheard, Trouble::TriedAgain, Trouble::KilledBefore, Trouble::KilledAfter, Trouble::Late];

/// Whether a call changes something.
pub fn writes(call: Call) -> bool {
    use Call::{Claim, Copy, CreateJob, CreateStream, DeleteStream, Receipt, Sign};
    matches!(call, Claim | Sign | Copy | CreateStream | CreateJob | Receipt | DeleteStream)
}

/// What a process hears of a call that it does not survive, or of one that is answered.
pub fn answer(world: &mut World, call: Call, job_id: JobId, trouble: Option<Trouble>) -> Option<Answer> {
    match trouble {
        None => Some(world.perform(call, job_id)),
        Some(Trouble::Error) => Some(Answer::Failed),
        Some(Trouble::Unheard) => {
            world.perform(call, job_id);
            Some(Answer::Failed)
        }
        Some(Trouble::TriedAgain) => {
            world.perform(call, job_id);
            Some(world.perform(call, job_id))
        }
        Some(Trouble::KilledAfter) => {
            world.perform(call, job_id);
            None
        }
        Some(Trouble::KilledBefore | Trouble::Late) => None,
    }
}

/// One delivery of the upload's event: Lambda tries again after an attempt that fails.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Delivery {
    attempts_left: u8,
    process: Option<Process>,
    /// Whether the attempt had any trouble.
    is_troubled: bool,
    /// Whether the attempt saw that a newer version is current.
    saw_newer: bool,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    world: World,
    /// Sorted, as one delivery is like another.
    deliveries: Vec<Delivery>,
    in_flight: Vec<(Call, JobId)>,
    troubles_left: u8,
    hides_left: u8,
    /// What must not be, and is.
    wrong: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Begin(usize),
    Answer(usize, Call, Option<Trouble>),
    Land(usize),
    Retag,
    Overwrite,
    DeleteJob,
    /// Somebody puts a delete marker over the record.
    HideRecord,
}

/// How much can happen.
#[derive(Debug, Clone)]
struct Design {
    mutant: Mutant,
    deliveries: usize,
    attempts: u8,
    troubles: u8,
    /// Whether the upload is tagged anew, overwritten, and its job deleted by an operator, at any time, once each.
    is_changed: bool,
    /// How often the record is hidden by a delete marker, at any time.
    hides: u8,
}

impl Model for Design {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let delivery = Delivery {
            attempts_left: self.attempts,
            process: None,
            is_troubled: false,
            saw_newer: false,
            outcome: None,
        };
        vec![State {
            world: World::NEW,
            deliveries: vec![delivery; self.deliveries],
            in_flight: Vec::new(),
            troubles_left: self.troubles,
            hides_left: self.hides,
            wrong: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, delivery) in state.deliveries.iter().enumerate() {
            match &delivery.process {
                None if delivery.outcome.is_none() && delivery.attempts_left > 0 => actions.push(Action::Begin(at)),
                None => {}
                Some(process) => {
                    for call in process.pending() {
                        actions.push(Action::Answer(at, *call, None));
                        let troubles = TROUBLES.into_iter().filter(|trouble| {
                            state.troubles_left > 0
                                && (writes(*call) || matches!(trouble, Trouble::Error | Trouble::KilledBefore))
                        });
                        actions.extend(troubles.map(|trouble| Action::Answer(at, *call, Some(trouble))));
                    }
                }
            }
        }
        actions.extend((0..state.in_flight.len()).map(Action::Land));
        if state.hides_left > 0 && state.world.record.is_some_and(|record| !record.is_hidden) {
            actions.push(Action::HideRecord);
        }
        if self.is_changed {
            let World { tags, is_current, record, jobs, .. } = state.world;
            if tags == 0 {
                actions.push(Action::Retag);
            }
            if is_current {
                actions.push(Action::Overwrite);
            }
            // An operator takes longer to delete a job than attempts and calls take that were under way when it was made:
            // no call can be made to depend on what an operator did since the last look.
            let is_quiet = state.in_flight.is_empty() && state.deliveries.iter().all(|each| each.process.is_none());
            let is_told = record.is_some_and(|record| record.is_receipt) || self.mutant == Mutant::NoReceipt;
            if is_quiet && is_told && jobs.contains(&Job::There) {
                actions.push(Action::DeleteJob);
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut state = state.clone();
        match action {
            Action::Begin(at) => {
                let delivery = &mut state.deliveries[at];
                delivery.attempts_left -= 1;
                delivery.process = Some(Process::new(self.mutant));
                (delivery.is_troubled, delivery.saw_newer) = (false, false);
            }
            Action::Answer(at, call, trouble) => state.answer(at, call, trouble),
            Action::Land(at) => {
                let (call, job_id) = state.in_flight.remove(at);
                state.world.perform(call, job_id);
            }
            Action::Retag => state.world.tags = 1,
            Action::Overwrite => state.world.is_current = false,
            Action::HideRecord => {
                state.hides_left -= 1;
                state.world.hide_record();
            }
            Action::DeleteJob => {
                let there = state.world.jobs.iter_mut().filter(|job| **job == Job::There);
                there.for_each(|job| *job = Job::Deleted);
            }
        }
        state.in_flight.sort_unstable();
        state.deliveries.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one object version comes to at most one job", |_, state: &State| {
                state.world.created <= 1
            }),
            Property::always("a job has its stream, and a stream its signed image", |_, State { world, .. }| {
                let has_job = world.jobs.contains(&Job::There);
                (!has_job || world.has_stream) && (!world.has_stream || world.is_signed && world.is_copied)
            }),
            Property::always("an attempt without trouble ends well, and truly", |_, state: &State| {
                state.wrong.is_none()
            }),
            Property::sometimes("a job is created, and adopted", |_, state: &State| {
                [Outcome::Created, Outcome::Adopted]
                    .iter()
                    .all(|outcome| state.deliveries.iter().any(|delivery| delivery.outcome == Some(*outcome)))
            }),
        ]
    }
}

impl State {
    fn answer(&mut self, at: usize, call: Call, trouble: Option<Trouble>) {
        let delivery = &mut self.deliveries[at];
        let Some(process) = &mut delivery.process else { return };
        let job_id = process.job_id();
        if trouble.is_some() {
            self.troubles_left -= 1;
            delivery.is_troubled = true;
        }
        if trouble == Some(Trouble::Late) {
            self.in_flight.push((call, job_id));
        }
        if call == Call::CreateJob && delivery.saw_newer {
            self.wrong = Some("a job for a version that was seen to be old");
        }
        let outcome = match answer(&mut self.world, call, job_id, trouble) {
            None => Some(Outcome::Failed),
            Some(answer) => {
                delivery.saw_newer |= (call, answer) == (Call::Current, Answer::There(false));
                process.hear(call, answer);
                process.outcome()
            }
        };
        let Some(outcome) = outcome else { return };
        // What was under way beside a call that failed may have its effect later, or never.
        let under_way = process.pending.iter().filter(|pending| **pending != call && writes(**pending));
        self.in_flight.extend(under_way.map(|pending| (*pending, job_id)));
        delivery.process = None;
        let job = self.world.jobs[usize::from(job_id)];
        let is_true = match outcome {
            Outcome::Created | Outcome::Adopted => job != Job::None,
            Outcome::Superseded => !self.world.is_current,
            Outcome::JobDeleted => job == Job::Deleted,
            Outcome::Failed => delivery.is_troubled,
        };
        if !is_true {
            self.wrong = Some("an outcome that is not true");
        }
        if outcome != Outcome::Failed || delivery.attempts_left == 0 {
            delivery.outcome = Some(outcome);
        }
    }
}

/// Every state that a design can come to, up to an `end`, and which properties do not hold.
fn walk(design: Design, end: HasDiscoveries) -> (usize, Vec<&'static str>) {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let checker = design.checker().threads(threads).finish_when(end).spawn_bfs().join();
    let found = checker.discoveries();
    let properties = checker.model().properties();
    let wrong = properties.iter().filter(|property| match property.expectation {
        Expectation::Sometimes => !found.contains_key(property.name),
        _ => found.contains_key(property.name),
    });
    (checker.unique_state_count(), wrong.map(|property| property.name).collect())
}

#[test]
fn the_design_holds_whatever_happens() {
    let is_full = env::var("TORTURE").is_ok_and(|torture| torture == "full");
    let small = [(2, 1, 1, true, 2), (2, 1, 2, true, 0), (2, 2, 2, false, 0)];
    let full = [(2, 3, 3, false, 0), (2, 2, 2, true, 1), (3, 1, 2, false, 1), (3, 1, 0, true, 3)];
    for &(deliveries, attempts, troubles, is_changed, hides) in if is_full { &full[..] } else { &small } {
        let design = Design { mutant: Mutant::None, deliveries, attempts, troubles, is_changed, hides };
        let began = std::time::Instant::now();
        let (states, wrong) = walk(design.clone(), HasDiscoveries::AnyFailures);
        tell(format_args!("{design:?}: {states} states in {:.1?}", began.elapsed()));
        assert_eq!(wrong, Vec::<&str>::new(), "{design:?}");
        assert!(states > 1000, "{states}");
    }
}

#[test]
fn a_worse_design_is_caught() {
    let (one_job, has_stream) =
        ("one object version comes to at most one job", "a job has its stream, and a stream its signed image");
    let ends_well = "an attempt without trouble ends well, and truly";
    for (mutant, deliveries, attempts, troubles, hides, property) in [
        (Mutant::NoAdoption, 1, 2, 1, 0, ends_well),
        (Mutant::CompensatingDelete, 2, 1, 1, 0, has_stream),
        (Mutant::NoClaim, 2, 1, 0, 0, one_job),
        (Mutant::NoReceipt, 2, 1, 0, 0, one_job),
        (Mutant::BlindToNewer, 1, 1, 0, 0, ends_well),
        (Mutant::TrustingClaim, 2, 1, 0, 1, one_job),
    ] {
        let design = |mutant| Design { mutant, deliveries, attempts, troubles, is_changed: true, hides };
        // Another one that it breaks may be found first.
        let found = || HasDiscoveries::AnyOf([property].into());
        let (_, wrong) = walk(design(Mutant::None), found());
        assert!(!wrong.contains(&property), "{mutant:?} would not be told from the design: {wrong:?}");
        let (_, wrong) = walk(design(mutant), found());
        assert!(wrong.contains(&property), "{mutant:?}: {wrong:?}");
    }
}
