// Package crowd is clusters without Kubernetes: real sessions with a real hub, whose Apps are as they should be once they
// are fetched. A fleet of a thousand clusters is cheap with them, where the hub and the wire are what is looked at.
package crowd
