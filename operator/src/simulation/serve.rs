//! What becomes of requests: carried out or not, answered properly, wrongly, late or never.

use serde_json::{Value, json};

use super::mutation::Mutation;
use super::resource::Target;
use super::server::{Answer, Request};
use super::wire::Call;
use super::{Death, Simulation};

/// How a request fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Refused by the server, which says so.
    Refused(u16, &'static str),
    /// Carried out, and the answer says that it failed.
    Belied(u16, &'static str),
    /// The connection breaks, before it is carried out or after.
    Broken(bool),
    /// Nobody ever answers, whether it was carried out or not.
    Silence(bool),
}

const FATES: [(usize, Fate); 10] = [
    (3, Fate::Refused(409, "Conflict")),
    (3, Fate::Refused(429, "TooManyRequests")),
    (3, Fate::Refused(500, "InternalError")),
    (2, Fate::Refused(403, "Forbidden")),
    (3, Fate::Belied(500, "InternalError")),
    (3, Fate::Belied(504, "Timeout")),
    (2, Fate::Broken(false)),
    (3, Fate::Broken(true)),
    (1, Fate::Silence(false)),
    (2, Fate::Silence(true)),
];

impl Simulation {
    /// One request is carried out, or one answer arrives; false when nothing is under way.
    pub(super) fn serve(&mut self) -> bool {
        let chance = &mut self.chance;
        let Some(mut call) = self.wire.with(|calls| chance.take(calls)) else {
            return false;
        };
        if let Some(answer) = call.answer.take() {
            if !call.is_lease() {
                self.note(|_| format!("answer {} to {}", answer.code, line(&call)));
            }
            if self.dying == Some(call.id) {
                self.doomed = Some(call.manager);
            }
            call.reply(answer);
            return true;
        }
        if !call.is_lease() {
            self.figures.requests += 1;
            self.figures.writes += usize::from(call.is_write());
            if call.is_write() && self.dies(&call) {
                return true;
            }
        }
        if self.dying == Some(call.id) {
            self.answer(call);
            return true;
        }
        let fate = self
            .chance
            .percent(self.faults)
            .then(|| self.chance.weighted(&FATES))
            .flatten();
        if let Some(fate) = fate {
            self.figures.faults += 1;
            self.go_wrong(call, fate);
            return true;
        }
        self.answer(call);
        true
    }

    fn answer(&mut self, mut call: Call) {
        let answer = self.carry_out(&call);
        if !call.is_lease() {
            self.note(|_| format!("{}: {}", line(&call), answer.code));
        }
        call.answer = Some(answer);
        self.wire.with(|calls| calls.push(call));
    }

    /// Whether the leader's time has come, with this write: now, or when it has taken in the answer.
    fn dies(&mut self, call: &Call) -> bool {
        let Some((writes, death)) = self.death else {
            return false;
        };
        let at = self
            .managers
            .iter()
            .position(|manager| manager.id == call.manager);
        let Some(at) = at.filter(|at| !self.managers[*at].paused) else {
            return false;
        };
        if writes > 0 {
            self.death = Some((writes - 1, death));
            return false;
        }
        self.death = None;
        self.figures.crashes_at_writes += 1;
        match death {
            Death::Before => self.note(|_| format!("{}: not carried out", line(call))),
            Death::Unanswered => {
                let code = self.carry_out(call).code;
                self.note(|_| format!("{}: {code}, not answered", line(call)));
            }
            Death::Answered => {
                self.dying = Some(call.id);
                return false;
            }
        }
        self.crash(at);
        true
    }

    fn go_wrong(&mut self, mut call: Call, fate: Fate) {
        // The guard sets a limit to writes, and the election to all of its requests. Other reads end when the
        // connection does.
        let limited = call.is_write() || call.is_lease();
        let fate = match fate {
            Fate::Silence(_) if !limited => Fate::Broken(false),
            fate => fate,
        };
        if matches!(fate, Fate::Belied(..) | Fate::Broken(true) | Fate::Silence(true)) {
            self.carry_out(&call);
        }
        self.note(|_| format!("{}: {fate:?}", line(&call)));
        match fate {
            Fate::Refused(code, reason) | Fate::Belied(code, reason) => {
                call.answer = Some(Answer::error(code, reason));
                self.wire.with(|calls| calls.push(call));
            }
            Fate::Broken(_) => call.break_off(),
            Fate::Silence(_) => self.lost.push(call),
        }
    }

    fn carry_out(&mut self, call: &Call) -> Answer {
        let Some(target) = Target::parse(&call.path) else {
            return discovered(&call.path);
        };
        let request = Request {
            method: call.method.clone(),
            target,
            body: self.seen_by_server(call),
        };
        self.observe(&request);
        let answer = self.server.carry_out(&request);
        self.lost.retain(|call| !call.is_given_up());
        answer
    }

    /// Without preconditions when that is the mutation.
    fn seen_by_server(&self, call: &Call) -> Value {
        let mut body = call.body.clone();
        if self.mutation == Some(Mutation::IgnoresPreconditions) && !call.is_lease() {
            let meta = body.get_mut("metadata").and_then(|meta| meta.as_object_mut());
            meta.map(|meta| meta.remove("resourceVersion"));
            body.as_object_mut().map(|body| body.remove("preconditions"));
        }
        body
    }
}

/// What the server says about its kinds.
fn discovered(path: &str) -> Answer {
    if path != "/apis/apps/v1" {
        return Answer::error(404, "NotFound");
    }
    let body = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": [
        {"name": "statefulsets", "singularName": "statefulset", "namespaced": true, "kind": "StatefulSet",
         "verbs": ["get", "list", "watch"]}]});
    Answer { code: 200, body }
}

fn line(call: &Call) -> String {
    let name = call.body["metadata"]["name"].as_str().unwrap_or_default();
    format!("manager-{} {} {} {name}", call.manager, call.method, call.path)
}
