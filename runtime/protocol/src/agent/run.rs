//! One run of an instance: from its first action to the end of its pause, retirement or reset.
//!
//! Only data. `actions` begins and ends what is kept here. Events of an earlier run are recognised by the attempt in
//! their [`RunId`](crate::turn::RunId) and ignored.

use litemap::LiteMap;
use rhizo_types::Time;
use rhizo_types::lifecycle::{Action, Step as ActionStep};
use rhizo_types::net::{Net, TransitionIx};

/// The action of a step that ends the service before a reset; it has no declaration in the life-cycle.
static STOP: Action = Action::Stop;

/// How far a run has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Progress {
    /// Its tokens have not yet been where the instance counts as started.
    Starting,
    /// It has reached the places that count as started.
    Started {
        /// When it first did; an instance that stays started is forgiven earlier failures.
        since: Time,
    },
    /// It has failed, and the operator has been notified of the failure: its end is not announced once more.
    Failed,
}

/// The purpose of an action.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Purpose {
    /// To carry out a transition.
    Transition(TransitionIx),
    /// To end the service before a reset.
    EndService,
    /// To carry out the step of `reset` with this index.
    Reset(usize),
    /// To notify the program of changed imports or attributes.
    Notify,
}

/// The state of an action that has begun.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum ActionState {
    /// The shell executes it.
    Running {
        /// When it is cancelled; none: it may take as long as it takes.
        deadline: Option<Time>,
    },
    /// The shell has the order to end it. It is over when the shell reports that nothing of it runs any more.
    Cancelled {
        /// The failure it counts as, if it was cancelled because it took too long; none: its end is no failure.
        timed_out: Option<String>,
    },
    /// It failed, nothing of it runs, and it is repeated.
    Repeating {
        /// When it is repeated.
        at: Time,
    },
}

/// An action that has begun.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Doing {
    pub(super) purpose: Purpose,
    /// How many times it has failed.
    pub(super) failures: u32,
    pub(super) state: ActionState,
}

/// One run of an instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Run {
    pub(super) progress: Progress,
    /// The actions that run or wait to be repeated, by their number in the run.
    pub(super) actions: LiteMap<u32, Doing>,
    /// How many actions have begun; a repetition counts as another action.
    pub(super) actions_begun: u32,
    /// Whether imports or attributes changed since the program was last notified.
    pub(super) notify_due: bool,
    /// The last answer of the start check, while the service has not passed it.
    pub(super) not_ready: Option<String>,
}

impl Purpose {
    /// Whether the action belongs to a reset: it is repeated although the instance has failed already.
    pub(super) fn is_reset(self) -> bool {
        matches!(self, Self::Reset(_) | Self::EndService)
    }

    /// The declaration of the action in the life-cycle; none for the stop of the service before a reset.
    pub(super) fn step(self, net: &Net) -> Option<&ActionStep> {
        match self {
            Self::Transition(transition) => Some(&net.transition(transition).step),
            Self::EndService => None,
            Self::Reset(position) => net.reset.get(position),
            Self::Notify => net.notify.as_ref(),
        }
    }

    /// The action for the shell to execute.
    pub(super) fn action(self, net: &Net) -> &Action {
        self.step(net).map_or(&STOP, |step| &step.action)
    }

    /// After how long the action is cancelled; none: never.
    pub(super) fn timeout_ms(self, net: &Net) -> Option<u64> {
        self.step(net)?.timeout_ms
    }

    /// How the action is called in notices.
    pub(super) fn name(self, net: &Net) -> String {
        match self {
            Self::Transition(transition) => net.transition(transition).name.to_string(),
            Self::EndService | Self::Reset(_) => "reset".to_owned(),
            Self::Notify => "notify".to_owned(),
        }
    }

    /// Whether the shell answers the action by what happens to the service: `Started`, `Stopped` and the like.
    pub(super) fn is_of_service(self, net: &Net) -> bool {
        matches!(self.action(net), Action::Start | Action::Stop)
    }
}

impl Doing {
    /// When a timer of the action is due.
    pub(super) fn due_at(&self) -> Option<Time> {
        match self.state {
            ActionState::Running { deadline } => deadline,
            ActionState::Cancelled { .. } => None,
            ActionState::Repeating { at } => Some(at),
        }
    }
}

impl Run {
    /// A run whose first action is about to begin.
    pub(super) fn new() -> Self {
        Self {
            progress: Progress::Starting,
            actions: LiteMap::new(),
            actions_begun: 0,
            notify_due: false,
            not_ready: None,
        }
    }

    /// Adds an action and returns its number.
    pub(super) fn add(&mut self, doing: Doing) -> u32 {
        self.actions_begun += 1;
        self.actions.insert(self.actions_begun, doing);
        self.actions_begun
    }

    /// Takes an action out. Empties the list's allocation with the last one: most instances are idle most of the time.
    pub(super) fn forget(&mut self, number: u32) -> Option<Doing> {
        let doing = self.actions.remove(&number);
        if self.actions.is_empty() {
            self.actions = LiteMap::new();
        }
        doing
    }
}
