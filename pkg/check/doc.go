// Package check asks what the gates of a Rollout want to know: a query of Prometheus, or a webhook. The hub asks, or each
// cluster. What it says of an answer holds no secret, whatever the server echoes.
package check
