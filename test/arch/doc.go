// Package arch holds the import table as a test: who may import whom.
package arch
