//! One attempt at a release: its steps, and the designs that it can follow.

use super::world::{Call, JobId, Record, Response};

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
    /// After DescribeJob found a job, although the listing had no record.
    Recheck,
    Claim,
    Sign,
    Copy,
    Stream,
    CreateJob,
    /// After CreateJob failed.
    FindJob,
    CleanUp,
    PutReceipt(Outcome),
    Ended(Outcome),
}

/// The handler's design with one defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mutant {
    /// No defect: the design of the handler.
    None,
    /// An existing stream or job is an error.
    NoAdoption,
    /// If CreateJob fails, the stream is deleted.
    CompensatingDelete,
    /// Each attempt uses the job ID of the tags that it read.
    NoClaim,
    /// Records are neither read nor written.
    NoReceipt,
    /// The last check for a newer version is ignored.
    BlindToNewer,
    /// A claim that S3 accepts is trusted.
    TrustingClaim,
}

/// One attempt at a release.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    step: Step,
    /// The requests of this step without a response so far.
    pending: Vec<Call>,
    tags: Option<JobId>,
    is_current: Option<bool>,
    /// The result of the listing: true for a record, and true for a signed object.
    listed: Option<(bool, bool)>,
    record: Option<Record>,
    /// True if the record has versions of other attempts.
    is_overtaken: bool,
    has_stream: bool,
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
            has_stream: false,
            mutant,
        }
    }

    pub fn pending(&self) -> &[Call] {
        &self.pending
    }

    pub fn outcome(&self) -> Option<Outcome> {
        if let Step::Ended(outcome) = self.step { Some(outcome) } else { None }
    }

    /// The job ID that this attempt uses.
    pub fn job_id(&self) -> JobId {
        self.record.map(|record| record.job_id).or(self.tags).unwrap_or_default()
    }

    fn enter(&mut self, step: Step, calls: &[Call]) {
        self.step = step;
        self.pending = calls.to_vec();
    }

    /// Starts again, because another attempt has written a record.
    fn restart(&mut self) {
        *self = Self::new(self.mutant);
    }

    fn end(&mut self, outcome: Outcome) {
        self.step = Step::Ended(outcome);
    }

    /// Continues with the response to a request.
    pub fn receive(&mut self, call: Call, response: Response) {
        self.pending.retain(|pending| *pending != call);
        match self.step {
            Step::Inspect => self.receive_inspected(response),
            Step::ReadRecord => match response {
                Response::Record(record) => {
                    self.record = Some(record);
                    self.enter(Step::AdoptRecorded, &[Call::DescribeJob]);
                }
                _ => self.end(Outcome::Failed),
            },
            Step::AdoptRecorded => {
                let is_receipt = self.record.is_some_and(|record| record.is_receipt);
                match response {
                    Response::Present(true) if is_receipt => self.end(Outcome::Adopted),
                    Response::Present(true) => self.put_receipt(Outcome::Adopted),
                    Response::Present(false) if is_receipt => self.end(Outcome::JobDeleted),
                    Response::Present(false) => self.preflight(),
                    _ => self.end(Outcome::Failed),
                }
            }
            Step::Preflight => match response {
                Response::Present(true) if self.record.is_none() && self.writes_records() => {
                    self.enter(Step::Recheck, &[Call::ListRecord]);
                }
                Response::Present(true) => self.put_receipt(Outcome::Adopted),
                Response::Present(false) if self.record.is_none() && self.writes_records() => {
                    self.enter(Step::Claim, &[Call::Claim]);
                }
                Response::Present(false) => self.sign(&[]),
                _ => self.end(Outcome::Failed),
            },
            Step::Recheck => match response {
                Response::Versions(Some(_)) => self.restart(),
                // The job belongs to another upload.
                _ => self.end(Outcome::Failed),
            },
            Step::Claim => match response {
                Response::Done => {
                    self.record = Some(Record::claim(self.job_id()));
                    let is_trusted = self.mutant == Mutant::TrustingClaim;
                    self.sign(if is_trusted { &[] } else { &[Call::ListRecord] });
                }
                Response::Exists => self.restart(),
                _ => self.end(Outcome::Failed),
            },
            Step::Sign => self.receive_signed(response),
            Step::Copy if response == Response::Done => self.start_stream(),
            Step::Stream => self.receive_streamed(call, response),
            Step::CreateJob => match response {
                Response::Done => self.put_receipt(Outcome::Created),
                _ if self.mutant == Mutant::NoAdoption => self.end(Outcome::Failed),
                _ => self.enter(Step::FindJob, &[Call::DescribeJob]),
            },
            Step::FindJob => match response {
                Response::Present(true) => self.put_receipt(Outcome::Adopted),
                Response::Present(false) if self.mutant == Mutant::CompensatingDelete => {
                    self.enter(Step::CleanUp, &[Call::DeleteStream]);
                }
                _ => self.end(Outcome::Failed),
            },
            Step::Copy | Step::CleanUp => self.end(Outcome::Failed),
            Step::PutReceipt(outcome) => self.end(if response == Response::Done { outcome } else { Outcome::Failed }),
            Step::Ended(_) => unreachable!("a process that has ended sends no request"),
        }
    }

    fn receive_inspected(&mut self, response: Response) {
        match response {
            Response::Tags(tags) => self.tags = Some(tags),
            Response::Present(is_current) => self.is_current = Some(is_current),
            Response::Listed { record, is_signed } => self.listed = Some((record, is_signed)),
            _ => {}
        }
        if !self.pending.is_empty() {
            return;
        }
        match (self.tags, self.listed) {
            (Some(_), Some((true, _))) if self.mutant != Mutant::NoReceipt => {
                self.enter(Step::ReadRecord, &[Call::ReadRecord]);
            }
            (Some(_), Some(_)) => self.preflight(),
            _ => self.end(Outcome::Failed),
        }
    }

    fn preflight(&mut self) {
        match self.is_current {
            Some(true) => self.enter(Step::Preflight, &[Call::DescribeJob]),
            Some(false) => self.end(Outcome::Superseded),
            None => self.end(Outcome::Failed),
        }
    }

    fn writes_records(&self) -> bool {
        !matches!(self.mutant, Mutant::NoClaim | Mutant::NoReceipt)
    }

    fn sign(&mut self, first: &[Call]) {
        let mut calls = first.to_vec();
        if self.listed.is_none_or(|(_, is_signed)| !is_signed) {
            calls.push(Call::Sign);
        }
        self.enter(Step::Sign, &calls);
        self.continue_if_signed();
    }

    fn receive_signed(&mut self, response: Response) {
        match response {
            Response::Failed => return self.end(Outcome::Failed),
            Response::Versions(has_one_version) => self.is_overtaken = has_one_version != Some(true),
            _ => {}
        }
        self.continue_if_signed();
    }

    fn continue_if_signed(&mut self) {
        if !self.pending.is_empty() {
        } else if self.is_overtaken {
            self.restart();
        } else {
            self.enter(Step::Copy, &[Call::Copy]);
        }
    }

    fn start_stream(&mut self) {
        self.is_current = None;
        self.enter(Step::Stream, &[Call::CreateStream, Call::Current]);
    }

    fn receive_streamed(&mut self, call: Call, response: Response) {
        match (call, response) {
            (Call::CreateStream, Response::Done) | (Call::DescribeStream, Response::Present(true)) => {
                self.has_stream = true;
            }
            (Call::CreateStream, _) if self.mutant != Mutant::NoAdoption => self.pending.push(Call::DescribeStream),
            (Call::Current, Response::Present(is_current)) => self.is_current = Some(is_current),
            _ => {}
        }
        if !self.pending.is_empty() {
            return;
        }
        match self.is_current {
            _ if !self.has_stream => self.end(Outcome::Failed),
            None => self.end(Outcome::Failed),
            Some(false) if self.mutant != Mutant::BlindToNewer => self.end(Outcome::Superseded),
            Some(_) => self.enter(Step::CreateJob, &[Call::CreateJob]),
        }
    }

    fn put_receipt(&mut self, outcome: Outcome) {
        if self.mutant == Mutant::NoReceipt {
            return self.end(outcome);
        }
        self.enter(Step::PutReceipt(outcome), &[Call::Receipt]);
    }
}
