//! Turns sent to OpenTelemetry endpoints: into a collector that is not ours, and to endpoints that misbehave.

mod collector;
mod faults;
mod sink;
