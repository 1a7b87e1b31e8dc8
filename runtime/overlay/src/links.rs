//! Our libp2p behaviour: on every connection it opens one substream for each class and accepts one of each class.
//!
//! It keeps every connection alive and passes the substreams to [`crate::service`]; it does not read or write them.

use crate::class::Class;
use futures::future::{Ready, ready};
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    Stream, StreamProtocol, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll};

/// A substream of a connection is ready, or its negotiation failed.
#[derive(Debug)]
pub(crate) struct LaneEvent {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    pub(crate) change: LaneChange,
}

/// The outcome of negotiating a substream.
#[derive(Debug)]
pub(crate) enum LaneChange {
    /// We opened it and write to it.
    Opened(Class, Stream),
    /// The other end opened it and we read from it.
    Accepted(Class, Stream),
    /// We could not open it.
    Failed(Class),
}

/// The behaviour: a queue of the handlers' reports.
#[derive(Default)]
pub(crate) struct Links {
    events: VecDeque<LaneEvent>,
}

impl NetworkBehaviour for Links {
    type ConnectionHandler = LinkHandler;
    type ToSwarm = LaneEvent;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(LinkHandler::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(LinkHandler::new())
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        change: THandlerOutEvent<Self>,
    ) {
        // Bounded: the swarm polls until the queue is empty before it takes the next handler's report.
        self.events.push_back(LaneEvent { peer, connection, change });
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.events.pop_front().map_or(Poll::Pending, |event| Poll::Ready(ToSwarm::GenerateEvent(event)))
    }
}

/// One connection's share of the behaviour.
pub(crate) struct LinkHandler {
    to_open: VecDeque<Class>,
    changes: VecDeque<LaneChange>,
}

impl LinkHandler {
    fn new() -> Self {
        // Opening all at once costs nothing on the wire: a substream shows itself with its first bytes.
        Self { to_open: Class::ALL.into(), changes: VecDeque::new() }
    }
}

impl ConnectionHandler for LinkHandler {
    type FromBehaviour = Infallible;
    type ToBehaviour = LaneChange;
    type InboundProtocol = LaneProtocols;
    type OutboundProtocol = LaneProtocols;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Class;

    fn listen_protocol(&self) -> SubstreamProtocol<LaneProtocols> {
        SubstreamProtocol::new(LaneProtocols { classes: &Class::ALL }, ())
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<LaneProtocols, Class, LaneChange>> {
        if let Some(change) = self.changes.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(change));
        }
        if let Some(class) = self.to_open.pop_front() {
            let all: &'static [Class] = &Class::ALL;
            let only = &all[class.index()..=class.index()];
            let protocol = SubstreamProtocol::new(LaneProtocols { classes: only }, class);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<LaneProtocols, LaneProtocols, (), Class>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (class, stream),
                ..
            }) => self.changes.push_back(LaneChange::Accepted(class, stream)),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (class, stream),
                ..
            }) => self.changes.push_back(LaneChange::Opened(class, stream)),
            ConnectionEvent::DialUpgradeError(error) => {
                self.changes.push_back(LaneChange::Failed(error.info));
            }
            _ => {}
        }
    }
}

/// The protocols of some classes; negotiated, it yields the class and the bare stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneProtocols {
    classes: &'static [Class],
}

/// A class as a libp2p protocol: a value with a name.
#[derive(Clone, Debug)]
pub(crate) struct LaneName(Class, StreamProtocol);

impl AsRef<str> for LaneName {
    fn as_ref(&self) -> &str {
        self.1.as_ref()
    }
}

impl UpgradeInfo for LaneProtocols {
    type Info = LaneName;
    type InfoIter = Vec<LaneName>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.classes.iter().map(|class| LaneName(*class, StreamProtocol::new(class.protocol()))).collect()
    }
}

impl InboundUpgrade<Stream> for LaneProtocols {
    type Output = (Class, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: LaneName) -> Self::Future {
        ready(Ok((name.0, stream)))
    }
}

impl OutboundUpgrade<Stream> for LaneProtocols {
    type Output = (Class, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: LaneName) -> Self::Future {
        ready(Ok((name.0, stream)))
    }
}
