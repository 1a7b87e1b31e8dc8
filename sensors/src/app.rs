//! Sensors of the application: a closure per quantity, usable in rules as `node.<name>`.

use crate::sensor::{BoxFuture, Sample, Sensor, SensorError};
use rhizo_types::fact::SensorKind;
use std::error::Error;
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// The result of one call of the application's closure.
pub type AppReading = Result<f64, Box<dyn Error + Send + Sync>>;

type Closure = Box<dyn Fn() -> BoxFuture<'static, AppReading> + Send + Sync>;

/// Reads one quantity of the application by calling its code.
///
/// The code runs on the application's own tokio runtime, so that neither a panic nor a blocking call in it stops the
/// node.
pub struct AppSensor {
    name: String,
    every: Duration,
    runtime: Handle,
    closure: std::sync::Arc<Closure>,
}

impl AppSensor {
    /// A sensor that reads `node.<name>` by calling `closure` on `runtime`.
    pub fn new<F, R, E>(name: &str, every: Duration, runtime: Handle, closure: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<f64, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let closure: Closure = Box::new(move || {
            let reading = closure();
            Box::pin(async move { reading.await.map_err(Into::into) })
        });
        Self { name: name.to_owned(), every, runtime, closure: std::sync::Arc::new(closure) }
    }
}

/// Aborts the task that runs the application's code when the reading is dropped.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sensor for AppSensor {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> SensorKind {
        SensorKind::Application
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn sample(&mut self) -> BoxFuture<'_, Result<Vec<Sample>, SensorError>> {
        Box::pin(async {
            let closure = std::sync::Arc::clone(&self.closure);
            // The closure itself is called there too: it may panic before it returns a future.
            let task = self.runtime.spawn(async move { closure().await });
            let _abort = AbortOnDrop(task.abort_handle());
            let sensor = || self.name.clone();
            let number = task
                .await
                .map_err(|_| SensorError::Panicked { sensor: sensor() })?
                .map_err(|source| SensorError::Read { sensor: sensor(), source })?;
            let sample = Sample::number(&self.name, number);
            Ok(vec![sample.ok_or_else(|| SensorError::NotFinite { sensor: sensor() })?])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    async fn read<R>(closure: impl Fn() -> R + Send + Sync + 'static) -> Result<Vec<Sample>, SensorError>
    where
        R: Future<Output = io::Result<f64>> + Send + 'static,
    {
        AppSensor::new("queue_depth", Duration::from_secs(5), Handle::current(), closure).sample().await
    }

    #[tokio::test]
    async fn the_closures_number_is_the_attribute_of_its_name() {
        let samples = read(|| async { Ok(42.0) }).await.unwrap();
        assert_eq!(samples, [Sample::number("queue_depth", 42.0).unwrap()]);
    }

    #[tokio::test]
    async fn an_error_a_panic_and_nonsense_are_errors_and_not_numbers() {
        let error = read(|| async { Err(io::Error::other("queue gone")) }).await.unwrap_err();
        assert_eq!(error.to_string(), "read `queue_depth`");
        assert_eq!(error.source().unwrap().to_string(), "queue gone");
        let error = read(|| async { panic!("application's bug") }).await.unwrap_err();
        assert!(matches!(error, SensorError::Panicked { .. }), "{error}");
        let error = read(|| async { Ok(f64::NAN) }).await.unwrap_err();
        assert!(matches!(error, SensorError::NotFinite { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_closure_that_nobody_waits_for_is_ended() {
        let (alive, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        let mut sensor = AppSensor::new("stuck", Duration::from_secs(5), Handle::current(), move || {
            let alive = alive.clone();
            async move {
                let _alive = alive;
                std::future::pending::<io::Result<f64>>().await
            }
        });
        let given_up = tokio::time::timeout(Duration::from_millis(50), sensor.sample()).await;
        assert!(given_up.is_err());
        drop(sensor);
        assert_eq!(ended.recv().await, None, "the future and its captures are gone");
    }
}
