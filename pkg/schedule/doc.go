// Package schedule says when the windows of a RolloutPolicy are open. A cron expression is read by
// github.com/robfig/cron (five fields, and words such as @daily), in a time zone of the IANA database that comes with
// the binary.
package schedule
