//! The walk through every state, and the properties that must hold.

use super::fault::FAULTS;
use super::{Call, Fault, Job, JobId, Mutant, Outcome, Process, Response, World, send, writes};
use crate::support::{is_full_torture, report};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};
use std::thread;

/// One delivery of the upload's event. Lambda retries after a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Delivery {
    attempts_left: u8,
    process: Option<Process>,
    /// True if the attempt had a fault.
    is_faulty: bool,
    /// True if the attempt has read that a newer version is current.
    saw_newer: bool,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    world: World,
    /// Sorted, because all deliveries are equivalent.
    deliveries: Vec<Delivery>,
    /// The requests that can still have their effect.
    in_flight: Vec<(Call, JobId)>,
    faults_left: u8,
    hides_left: u8,
    /// A violated rule.
    violation: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Begin(usize),
    /// The response to a request of a delivery's process, with its fault.
    Respond(usize, Call, Option<Fault>),
    /// The late effect of a request.
    TakeEffect(usize),
    Retag,
    Overwrite,
    DeleteJob,
    /// A delete marker is put over the record.
    HideRecord,
}

/// A design, and the events of its walk.
#[derive(Debug, Clone)]
struct Design {
    mutant: Mutant,
    deliveries: usize,
    attempts: u8,
    faults: u8,
    /// True if three changes can happen, once each at any time: other tags, an overwrite, and a deletion of the job.
    is_changed: bool,
    /// The number of delete markers that are put over the record, at any time.
    hides: u8,
}

impl Model for Design {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let delivery =
            Delivery { attempts_left: self.attempts, process: None, is_faulty: false, saw_newer: false, outcome: None };
        vec![State {
            world: World::NEW,
            deliveries: vec![delivery; self.deliveries],
            in_flight: Vec::new(),
            faults_left: self.faults,
            hides_left: self.hides,
            violation: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, delivery) in state.deliveries.iter().enumerate() {
            match &delivery.process {
                None if delivery.outcome.is_none() && delivery.attempts_left > 0 => actions.push(Action::Begin(at)),
                None => {}
                Some(process) => {
                    for call in process.pending() {
                        actions.push(Action::Respond(at, *call, None));
                        let faults = FAULTS.into_iter().filter(|fault| {
                            state.faults_left > 0
                                && (writes(*call) || matches!(fault, Fault::Error | Fault::KilledBefore))
                        });
                        actions.extend(faults.map(|fault| Action::Respond(at, *call, Some(fault))));
                    }
                }
            }
        }
        actions.extend((0..state.in_flight.len()).map(Action::TakeEffect));
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
            // An operator deletes a job only while no attempt and no request is running. No attempt can know what an
            // operator did after the attempt's last read.
            let is_quiet = state.in_flight.is_empty() && state.deliveries.iter().all(|each| each.process.is_none());
            let has_receipt = record.is_some_and(|record| record.is_receipt) || self.mutant == Mutant::NoReceipt;
            if is_quiet && has_receipt && jobs.contains(&Job::Present) {
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
                (delivery.is_faulty, delivery.saw_newer) = (false, false);
            }
            Action::Respond(at, call, fault) => state.respond(at, call, fault),
            Action::TakeEffect(at) => {
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
                let present = state.world.jobs.iter_mut().filter(|job| **job == Job::Present);
                present.for_each(|job| *job = Job::Deleted);
            }
        }
        state.in_flight.sort_unstable();
        state.deliveries.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one object version has at most one job", |_, state: &State| state.world.created <= 1),
            Property::always("a job has its stream, and a stream its signed image", |_, State { world, .. }| {
                let has_job = world.jobs.contains(&Job::Present);
                (!has_job || world.has_stream) && (!world.has_stream || world.is_signed && world.is_copied)
            }),
            Property::always("an attempt without a fault succeeds with a true outcome", |_, state: &State| {
                state.violation.is_none()
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
    fn respond(&mut self, at: usize, call: Call, fault: Option<Fault>) {
        let delivery = &mut self.deliveries[at];
        let Some(process) = &mut delivery.process else { return };
        let job_id = process.job_id();
        if fault.is_some() {
            self.faults_left -= 1;
            delivery.is_faulty = true;
        }
        if fault == Some(Fault::Late) {
            self.in_flight.push((call, job_id));
        }
        if call == Call::CreateJob && delivery.saw_newer {
            self.violation = Some("a job for a version known to be superseded");
        }
        let outcome = match send(&mut self.world, call, job_id, fault) {
            None => Some(Outcome::Failed),
            Some(response) => {
                delivery.saw_newer |= (call, response) == (Call::Current, Response::Present(false));
                process.receive(call, response);
                process.outcome()
            }
        };
        let Some(outcome) = outcome else { return };
        // Concurrent requests of a failed attempt may have their effect later, or never.
        let concurrent = process.pending().iter().filter(|pending| **pending != call && writes(**pending));
        self.in_flight.extend(concurrent.map(|pending| (*pending, job_id)));
        delivery.process = None;
        let job = self.world.jobs[usize::from(job_id)];
        let is_true = match outcome {
            Outcome::Created | Outcome::Adopted => job != Job::None,
            Outcome::Superseded => !self.world.is_current,
            Outcome::JobDeleted => job == Job::Deleted,
            Outcome::Failed => delivery.is_faulty,
        };
        if !is_true {
            self.violation = Some("a false outcome");
        }
        if outcome != Outcome::Failed || delivery.attempts_left == 0 {
            delivery.outcome = Some(outcome);
        }
    }
}

/// Walks every state of a design until `end`. Returns the number of states, and the properties that do not hold.
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
fn the_design_holds_in_every_state() {
    let small = [(2, 1, 1, true, 2), (2, 1, 2, true, 0), (2, 2, 2, false, 0)];
    let full = [(2, 3, 3, false, 0), (2, 2, 2, true, 1), (3, 1, 2, false, 1), (3, 1, 0, true, 3)];
    for &(deliveries, attempts, faults, is_changed, hides) in if is_full_torture() { &full[..] } else { &small } {
        let design = Design { mutant: Mutant::None, deliveries, attempts, faults, is_changed, hides };
        let began = std::time::Instant::now();
        let (states, wrong) = walk(design.clone(), HasDiscoveries::AnyFailures);
        report(format_args!("{design:?}: {states} states in {:.1?}", began.elapsed()));
        assert_eq!(wrong, Vec::<&str>::new(), "{design:?}");
        assert!(states > 1000, "{states}");
    }
}

#[test]
fn each_worse_design_is_detected() {
    let (one_job, has_stream) =
        ("one object version has at most one job", "a job has its stream, and a stream its signed image");
    let succeeds = "an attempt without a fault succeeds with a true outcome";
    for (mutant, deliveries, attempts, faults, hides, property) in [
        (Mutant::NoAdoption, 1, 2, 1, 0, succeeds),
        (Mutant::CompensatingDelete, 2, 1, 1, 0, has_stream),
        (Mutant::NoClaim, 2, 1, 0, 0, one_job),
        (Mutant::NoReceipt, 2, 1, 0, 0, one_job),
        (Mutant::BlindToNewer, 1, 1, 0, 0, succeeds),
        (Mutant::TrustingClaim, 2, 1, 0, 1, one_job),
    ] {
        let design = |mutant| Design { mutant, deliveries, attempts, faults, is_changed: true, hides };
        // The walk may find another violation first.
        let found = || HasDiscoveries::AnyOf([property].into());
        let (_, wrong) = walk(design(Mutant::None), found());
        assert!(!wrong.contains(&property), "{mutant:?} does not differ from the design: {wrong:?}");
        let (_, wrong) = walk(design(mutant), found());
        assert!(wrong.contains(&property), "{mutant:?}: {wrong:?}");
    }
}
