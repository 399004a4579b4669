// Package resource is what people declare: the kinds there are with the names one may call them by, and the strict
// decoding of an object. Flux's kinds are specified in package flux, the fleet's own in package fleet; here they are
// rows of one table.
package resource
