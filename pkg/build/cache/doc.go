// Package cache keeps what builds can use again, in memory and within a number of bytes.
package cache
