package main

import "github.com/spf13/cobra"

// exitCode is how a command went, for scripts.
type exitCode int

// The exit codes. They are a promise: see the help topic.
const (
	exitDone         exitCode = 0
	exitGeneral      exitCode = 1
	exitDifferent    exitCode = 1 // of diff, which fails with a code of 2 or more
	exitUsage        exitCode = 2
	exitNotFound     exitCode = 3
	exitDenied       exitCode = 4
	exitUnreachable  exitCode = 5
	exitTimeout      exitCode = 6
	exitFailed       exitCode = 7
	exitPrecondition exitCode = 8
	exitPerson       exitCode = 9
	exitPartial      exitCode = 10
	exitInterrupted  exitCode = 130
)

func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What fleetctl's exit codes mean",
		Long: `What fleetctl's exit codes mean:

    0  done; the condition is met
    1  failed, for a reason that has no code of its own; of diff: there are differences
    2  wrong usage, an object that is not valid, or a confirmation that is missing
    3  not found
    4  not authenticated, or not allowed
    5  the hub cannot be reached, cannot answer, or its certificate cannot be trusted
    6  timed out while still in progress
    7  failed for good: nothing will change until somebody changes something
    8  a precondition does not hold: something changed meanwhile, is in use or exists, or hub and fleetctl do not fit
    9  a person has to act first: a rollout is paused, or waits for an approval, of a held prune too, to be started, for the
       end of a freeze or of a suspension, for a wave that takes a cluster, for a window where none opens any more, or for
       another rollout that does
   10  partial: some clusters did, some did not
  130  interrupted; what was asked for goes on at the hub

Of a rollout, ` + "`rollout wait`, and `rollout start` and `rollout rollback` with --wait" + `, end with

    0  it has succeeded (of rollback: it is rolled back)
    3  there is no such app or rollout
    6  --timeout is over, and it is still in progress
    7  it is halted, was rolled back, could not be rolled back, was cancelled, another took its place, or it will never begin
    9  a person has to act: it is paused, waits for an approval or to be started, all that it updates waits for a held prune
       to be approved, the fleet is frozen, or every cluster that a wave lacks, the app is suspended, no wave takes a cluster
       that one has to, no window opens any more, the rollout that it waits for waits for any of that, or the policy that is
       named is not declared; with --through-pauses all of it but the last is waited for, too

With 0, 6, 7 and 9, -o json, yaml and name write the rollout to stdout, if there is one; stderr says what went wrong.

` + "`rollout status` and `rollout watch`" + ` end with the same codes, but they go on through what a person has to do.`,
	}
}
