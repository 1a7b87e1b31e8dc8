//! Readings that may block, on a thread that may block, one at a time.
//!
//! A file system or a kernel call that does not answer blocks the reading and not the node. While a reading hangs, later
//! calls wait for the same one, and the sampler's time-out makes them fail. Read next: [`crate::host`].

use crate::sensor::{Sample, SensorError};
use tokio::task::{JoinHandle, spawn_blocking};

/// The state, given back by the thread that read with it, and the result.
type Reading<S> = (S, Result<Vec<Sample>, SensorError>);

/// The state of a sensor whose readings may block.
pub(crate) struct Blocking<S> {
    /// Nothing while a reading is in progress.
    state: Option<S>,
    reading: Option<JoinHandle<Reading<S>>>,
}

impl<S: Default + Send + 'static> Blocking<S> {
    pub(crate) fn new(state: S) -> Self {
        Self { state: Some(state), reading: None }
    }

    /// Begins a reading, or waits for the one in progress. Dropping the future keeps the reading.
    ///
    /// # Errors
    /// Those of `read`, and one if it panicked; the next reading then begins with a new state.
    pub(crate) async fn read(
        &mut self,
        sensor: &str,
        read: impl FnOnce(&mut S) -> Result<Vec<Sample>, SensorError> + Send + 'static,
    ) -> Result<Vec<Sample>, SensorError> {
        let reading = match &mut self.reading {
            Some(reading) => reading,
            none => {
                let mut state = self.state.take().unwrap_or_default();
                none.insert(spawn_blocking(move || {
                    let samples = read(&mut state);
                    (state, samples)
                }))
            }
        };
        let ended = reading.await;
        self.reading = None;
        let (state, samples) = ended.map_err(|_| SensorError::Panicked { sensor: sensor.to_owned() })?;
        self.state = Some(state);
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_reading_in_progress_is_kept_when_its_caller_gives_up() {
        let mut counted = Blocking::new(0_u32);
        let (go, gate) = mpsc::channel::<()>();
        let read = move |state: &mut u32| {
            *state += 1;
            let _released = gate.recv();
            Ok(vec![Sample::text("read", &state.to_string())])
        };
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(Box::pin(counted.read("s", read)).as_mut().poll(&mut context).is_pending());
        go.send(()).unwrap();
        let never = |_: &mut u32| panic!("a second reading was begun");
        assert_eq!(counted.read("s", never).await.unwrap(), [Sample::text("read", "1")]);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_next_reading_begins_anew() {
        let mut counted = Blocking::new(7_u32);
        let failed = counted.read("s", |_| panic!("a bug")).await.unwrap_err();
        assert_eq!(failed.to_string(), "read `s`: its code panicked");
        let read = |state: &mut u32| Ok(vec![Sample::text("read", &state.to_string())]);
        assert_eq!(counted.read("s", read).await.unwrap(), [Sample::text("read", "0")]);
    }
}
