//! What apps and people do, and what goes wrong.

use super::*;

impl World {
    pub(super) fn app(&mut self) {
        if self.healed {
            return;
        }
        let wait = if self.rng.u8(..4) > 0 { self.rng.u64(1..50) } else { self.rng.u64(500..12_000) };
        self.after(Duration::from_millis(wait), Event::App);
        if self.session.is_none() {
            return;
        }
        if self.rng.u8(..40) == 0 {
            self.cancel();
            return;
        }
        self.stats.messages += 1;
        let number = self.stats.messages;
        let id = message_id(number);
        let (kind, confirm) = match self.rng.u8(..10) {
            0..4 => ("reply", Confirm::Reply),
            4..6 => ("known", Confirm::Learned),
            6 => ("mute", Confirm::Learned),
            7..9 => ("barrier", Confirm::Barrier),
            _ => ("sent", Confirm::Sent),
        };
        let lane: Arc<str> = LANES[self.rng.usize(..LANES.len())].into();
        let latest = &*lane == "bulk" && self.rng.bool();
        let key: Option<Arc<str>> = latest.then(|| format!("k{}", self.rng.u8(..4)).into());
        let resend = if !latest && self.rng.u8(..15) == 0 { Resend::Never } else { Resend::Always };
        let at = self.moment();
        let ttl = Duration::from_secs(self.rng.u64(1..600));
        let expires = (self.rng.u8(..6) == 0).then(|| at.steady.after(ttl));
        if matches!(kind, "mute" | "barrier" | "sent") {
            self.server.mute.insert(id.as_str().to_owned());
        }
        if self.rng.u16(..800) == 0 {
            self.server.poison.insert(id.as_str().to_owned());
        }
        self.numbers.insert(id.as_str().to_owned(), number);
        let receipt = self.bug == Some(Bug::ReceiptBeforeCommit);
        let sent = Sent {
            lane: Arc::clone(&lane),
            place: None,
            confirm,
            resend,
            expires,
            receipt,
            kind,
            crashes: self.stats.crashes,
        };
        self.sent.insert(number, sent);
        let told = if self.bug == Some(Bug::NoTtl) { None } else { expires };
        let body = format!("{{\"n\":{number}}}");
        self.put(Op::Insert(new_row(id, kind, lane, key, confirm, resend, at.steady, told, body)));
    }

    /// An app takes one back.
    pub(super) fn cancel(&mut self) {
        let queued: Vec<Place> = self
            .store
            .rows
            .iter()
            .rev()
            .filter(|(_, row)| row.state == MessageState::Queued)
            .map(|(place, _)| *place)
            .take(20)
            .collect();
        if queued.is_empty() {
            return;
        }
        let place = queued[self.rng.usize(..queued.len())];
        let mut taken = false;
        self.with_session(|session| taken = session.withdraw(place));
        if taken {
            let fails = self.rng.u8(..4) == 0;
            self.put(Op::Cancel(place, fails));
        }
    }

    pub(super) fn sweep(&mut self) {
        self.after(Duration::from_secs(30), Event::Sweep);
        self.quiet = self.healed && self.is_quiet();
        if let Some(session) = &self.session {
            let skip: BTreeSet<Place> = session.wire_places().into_iter().collect();
            let now = self.moment().steady;
            self.put(Op::Sweep { now, skip });
        }
        if self.healed {
            self.person();
        }
    }

    /// In the end a person looks at what waits for one.
    pub(super) fn person(&mut self) {
        let waiting: Vec<(Place, MessageId, MessageState)> = self
            .store
            .rows
            .iter()
            .filter(|(_, row)| row.state.waits_for_person() || row.state == MessageState::Rejected)
            .map(|(place, row)| (*place, row.due.id.clone(), row.state))
            .collect();
        for (place, id, state) in waiting {
            let poison = self.server.poison.contains(id.as_str());
            let blocking = &*self.sent[&self.numbers[id.as_str()]].lane == "blocking";
            if state == MessageState::Parked && !poison {
                self.put(Op::Retry(place));
            } else if state != MessageState::Rejected || blocking {
                self.put(Op::Drop(place));
            }
        }
    }

    pub(super) fn news(&mut self) {
        if self.healed {
            return;
        }
        let wait = Duration::from_millis(self.rng.u64(10..8_000));
        self.after(wait, Event::News);
        let open = self.link.open && self.server.welcomed;
        if self.rng.u8(..6) == 0 {
            if open {
                self.send_down(Wire::Frame(render(&ServerSays::Typing)));
            }
            return;
        }
        self.server.last_event += 1;
        if open {
            self.send_down(Wire::Frame(render(&ServerSays::Event(self.server.last_event))));
        }
    }

    pub(super) fn fault(&mut self) {
        if self.healed {
            return;
        }
        let wait = Duration::from_secs(self.rng.u64(1..120));
        self.after(wait, Event::Fault);
        match self.rng.u8(..16) {
            0..4 => self.cut(),
            4..6 => self.go_silent(),
            6 => {
                if self.link.open {
                    let code = [1000, 1001, 1008, 1009, 1011, 1012, 1013][self.rng.usize(..7)];
                    self.send_down(Wire::Close(code));
                }
            }
            7..9 => self.crash(),
            9 => {
                if !self.paused && self.session.is_some() {
                    self.paused = true;
                    self.feed(Input::Pause);
                    let wait = Duration::from_secs(self.rng.u64(1..300));
                    self.after(wait, Event::Resume);
                }
            }
            10 => {
                self.woken = self.now;
                self.feed(Input::Woke);
            }
            11 => {
                let usable = self.rng.bool();
                self.feed(Input::NetworkChanged { usable });
            }
            12 => self.feed(Input::CredentialChanged),
            13 => self.skew = self.rng.i64(-86_400_000..86_400_000),
            14 => {
                self.now += nanos(Duration::from_secs(self.rng.u64(1..600)));
                self.woken = self.now;
                self.feed(Input::Woke);
            }
            _ => self.feed(Input::Reconnect(holdline::model::ReasonKind::Requested)),
        }
    }

    /// The connection breaks: what is on its way is lost, and both sides know.
    pub(super) fn cut(&mut self) {
        if self.link.open {
            self.link.open = false;
            self.feed(Input::LinkDown(Failure::Lost { detail: String::new() }));
        }
    }

    /// The connection breaks, and nobody is told.
    pub(super) fn go_silent(&mut self) {
        if self.link.open && !self.link.silent {
            self.link.silent = true;
            let link = self.link.number;
            self.after(NOTICED, Event::Noticed { link });
        }
    }

    /// From here on nothing goes wrong.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        if self.session.is_none() {
            self.start_daemon();
        }
        if self.paused {
            self.paused = false;
            self.feed(Input::Resume);
        }
        self.feed(Input::CredentialChanged);
        self.feed(Input::Reconnect(holdline::model::ReasonKind::Requested));
    }
}

pub(super) fn settings(rng: &mut fastrand::Rng) -> Settings {
    let lane = |block, window| LaneSettings { block, window };
    Settings {
        url: "wss://server/".to_owned(),
        server_key: "wss://server/ lines".to_owned(),
        heartbeat: HeartbeatSettings { mode: HeartbeatMode::Auto, interval: None, timeout: None },
        reconnect: ReconnectSettings {
            delays: [2, 5, 10, 20, 30, 60].map(Duration::from_secs).to_vec(),
            jitter: 0.5,
            stable_after: Duration::from_secs(30),
            unavailable_after: 5,
        },
        outbox: OutboxSettings {
            window: [1, 4, 32, 256][rng.usize(..4)],
            window_bytes: [200, 1 << 20][rng.usize(..2)],
            confirm_timeout: Duration::from_secs(30),
            max_attempts: 10,
            drain_rate: [0, 0, 5][rng.usize(..3)],
        },
        sign_in: None,
        types: Arc::new(TypeRules(vec![TypeRule {
            glob: TypeGlob::new("typing"),
            delivery: Delivery::Ephemeral,
            key: None,
            ttl: None,
            lane: None,
            confirm: None,
            resend: Resend::Always,
            schema: None,
        }])),
        lanes: vec![("strict".into(), lane(false, Some(1))), ("blocking".into(), lane(true, None))],
    }
}
