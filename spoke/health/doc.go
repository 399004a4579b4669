// Package health says which of an App's objects are not as healthy as they should be, and why.
//
//   - Evaluate is kstatus, with Flux's rule for Jobs: a Job is ready when it has completed.
//     An App's own expressions (spec.healthCheckExprs) come before kstatus.
//   - Reason is what a workload's Pods say: the first reason why one of them waits or has ended.
//   - Watcher keeps the objects that are not ready. It hears of every change from the metadata watches that drift
//     correction has anyway, and reads an object in full only after its status may have changed; it watches the Pods
//     of a workload only while that is not ready. What is ready costs nothing.
//   - Lookout follows objects that an App waits for and that are not its own (spec.healthChecks), each by a watch of its
//     own as long as these are few.
package health
