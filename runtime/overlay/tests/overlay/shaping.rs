//! Emulated delay is what the round-trip measurement sees, and is found by the dialer's own address.

use crate::harness::{Node, config, mesh};
use rhizo_overlay::{Class, LinkShaper, OverlayConfig, OverlayEvent};
use rhizo_types::PeerKey;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One-way delays by the other end's address.
struct Delays(BTreeMap<IpAddr, Duration>);

impl LinkShaper for Delays {
    fn one_way_delay(&self, remote: SocketAddr) -> Duration {
        self.0.get(&remote.ip()).copied().unwrap_or_default()
    }
}

fn shaped(host: u8, delays: &[(u8, u64)]) -> OverlayConfig {
    let delay = |(host, ms): &(u8, u64)| (IpAddr::from([127, 9, 0, *host]), Duration::from_millis(*ms));
    let mut config = config(host);
    config.shaper = Some(Arc::new(Delays(delays.iter().map(delay).collect())));
    config
}

/// The shortest of a few measured round trips.
async fn rtt_min(node: &mut Node, peer: PeerKey) -> Duration {
    let mut samples = Vec::new();
    node.until("round trips", |event| {
        if let OverlayEvent::Rtt { peer: other, rtt } = event
            && other == peer
        {
            samples.push(rtt);
        }
        if samples.len() < 4 { None } else { samples.iter().min().copied() }
    })
    .await
}

#[tokio::test]
async fn both_ends_measure_the_emulated_round_trip_of_each_pair() {
    // Hosts 1 and 2 are 60 ms apart, 1 and 3 are 140 ms apart, 2 and 3 are neighbours.
    let configs = vec![shaped(1, &[(2, 30), (3, 70)]), shaped(2, &[(1, 30)]), shaped(3, &[(1, 70)])];
    let mut nodes = mesh(configs).await;
    for (from, to, ms) in [(0, 1, 60), (1, 0, 60), (0, 2, 140), (2, 0, 140)] {
        let peer = nodes[to].key();
        let rtt = rtt_min(&mut nodes[from], peer).await;
        println!("emulated {ms} ms, measured {rtt:?}");
        assert!(rtt >= Duration::from_millis(ms), "{rtt:?} is shorter than {ms} ms");
    }
    let peer = nodes[2].key();
    let rtt = rtt_min(&mut nodes[1], peer).await;
    println!("not emulated, measured {rtt:?}");
    assert!(rtt < Duration::from_millis(60), "{rtt:?}: neighbours were delayed");
}

#[tokio::test]
async fn a_long_path_carries_large_frames_whole_and_in_order() {
    // 300 ms apart, 12 MiB in frames of 1 MiB. The time is printed. The test asserts that nothing is lost or changed.
    let mut nodes = mesh(vec![shaped(1, &[(2, 150)]), shaped(2, &[(1, 150)])]).await;
    let mut receiver = nodes.pop().unwrap();
    let sender = nodes.pop().unwrap();
    let to = receiver.key();
    let started = Instant::now();
    let sending = async {
        for number in 0..12_u8 {
            while sender.overlay.send(to, Class::Bulk, vec![number; 1 << 20]).is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let mut next = 0;
    let receiving = receiver.until("all frames", |event| {
        if let OverlayEvent::Frame { body, .. } = event {
            assert!(body.iter().all(|byte| *byte == next));
            next += 1;
        }
        (next == 12).then_some(())
    });
    tokio::join!(sending, receiving);
    println!("12 MiB over 300 ms of round trip took {:?}", started.elapsed());
}
