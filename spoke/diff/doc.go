// Package diff shows what becomes of an object: [Objects] compares it before and after, as YAML, without what the API
// server keeps of its own, and with the values of Secrets masked so that a change is seen and no value is.
package diff
