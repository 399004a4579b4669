// Package telemetry is what every binary says of itself: version, logs and metrics.
package telemetry
