// Package api serves the admin API: a file a service. Services are thin: they decode, call the store, and put what the
// store knows into the shapes that people read. Those shapes, Flux's status with the fleet's beside it, are made by
// pure functions in the status files.
package api
